"""Imported by every Python process that has this folder on its path: tells when the interpreter is
up, limits the size of files, and moves the clock.
"""

import os
import resource

if "FAULTS_BEGUN" in os.environ:
    with open(os.environ["FAULTS_BEGUN"], "a", encoding="utf-8"):
        pass
if "FAULTS_FILE_SIZE" in os.environ:
    limit = int(os.environ["FAULTS_FILE_SIZE"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
if "FAULTS_CLOCK" in os.environ:
    import datetime
    import time

    import pandas  # noqa: F401  # its extension types derive from the usual datetime

    seconds = float(os.environ["FAULTS_CLOCK"])
    usual_time, usual_localtime, usual_datetime = time.time, time.localtime, datetime.datetime

    class MovedType(type):
        """Lets usual datetimes pass for moved ones."""

        def __instancecheck__(cls, instance):
            return isinstance(instance, usual_datetime)

    class MovedDatetime(usual_datetime, metaclass=MovedType):
        """A datetime whose `now` is `FAULTS_CLOCK` seconds later."""

        __slots__ = ()  # extensions compare its size with that of the usual one

        @classmethod
        def now(cls, tz=None):
            return usual_datetime.now(tz) + datetime.timedelta(seconds=seconds)

        @classmethod
        def utcnow(cls):
            return usual_datetime.utcnow() + datetime.timedelta(seconds=seconds)

    time.time = lambda: usual_time() + seconds
    time.localtime = lambda moment=None: usual_localtime(time.time() if moment is None else moment)
    datetime.datetime = MovedDatetime
