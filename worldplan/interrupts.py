"""Ctrl-C of the command line: the first one interrupts the command, and further ones do not break
off its end, whose cleaning up would then be printed as a traceback.

Imports little: Ctrl-C may come while all else is imported.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130  # exit code
TEXT = "interrupted: repeat the command; what it has finished, if anything, is kept"
_PATIENCE = 2.0  # seconds after which another Ctrl-C ends the process at once

_first: float | None = None  # time of the first Ctrl-C


def guard_interrupts() -> None:
    """Let the first Ctrl-C raise KeyboardInterrupt and the next ones do nothing, but one that comes
    later than two seconds after the first ends the process at once. Files are safe then, too.

    Does nothing where Ctrl-C has another meaning already, as in a process in the background.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


@contextmanager
def interrupts_first() -> Iterator[None]:
    """Raise KeyboardInterrupt for whatever a Ctrl-C became in the block under `with`: the import of
    an extension module makes an ImportError of it, Lightning a SystemExit.

    Raises:
        KeyboardInterrupt: the block failed after a Ctrl-C.
        SystemExit: of the block, without a Ctrl-C; any other exception likewise.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if _first is None:
            raise
        raise KeyboardInterrupt from error


def ignore_interrupts() -> None:
    """Let Ctrl-C do nothing: the process ends by itself."""
    if _first is None and signal.getsignal(signal.SIGINT) is _interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _first  # noqa: PLW0603  # a signal handler has no other place
    if _first is None:
        _first = time.monotonic()
        if hasattr(signal, "pthread_sigmask"):
            # programs that are started to clean up inherit this: a second Ctrl-C must not end them
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            threading.Thread(target=_wait_for_another, daemon=True).start()
        raise KeyboardInterrupt
    if time.monotonic() > _first + _PATIENCE:
        _end()


def _wait_for_another() -> None:
    time.sleep(_PATIENCE)
    signal.sigwait({signal.SIGINT})
    _end()


def _end() -> NoReturn:
    os.write(2, f"worldplan: {TEXT}\n".encode())
    os._exit(INTERRUPTED)
