"""The last line of defence of the command line: what no command expected becomes one line, and the
traceback goes into a file.
"""

from __future__ import annotations

import errno
import io
import os
import re
import select
import sys
import sysconfig
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from worldplan.milp.errors import one_line
from worldplan.near_files import near_path
from worldplan.shipped import PACKAGE
from worldplan.versions import versions

_LONGEST = 300  # characters of an exception's text on the terminal
_LONGEST_LINE = 1500
_MOST_WARNINGS = 5
_PLACE = re.compile(r'File "(.+?)", line (\d+)')  # as tracebacks name it
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of warnings of gymnasium
_NO_MEMORY = re.compile(r"can't allocate memory|out of memory|bad_alloc", re.IGNORECASE)
_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file: check the path",
    errno.EISDIR: "this is a folder: give a file",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.ENOSPC: "free some disk space",
    errno.ELOOP: "the link leads back to itself: replace it",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def guard_streams() -> None:
    """Let stdin, stdout and stderr exist, and let no character fail on the terminal.

    A descriptor that the caller closed would become that of the next opened file, into which a
    library would then print. A character that the terminal's encoding lacks is printed as "?".
    """
    with suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def complain(text: str) -> None:
    """Print `text` as one line on stderr. Does nothing where stderr cannot be written to."""
    line = " ".join(_COLOURS.sub("", text).split())
    if len(line) > _LONGEST_LINE:  # the start names the file, the end the remedy
        line = f"{line[: _LONGEST_LINE // 2]} ... {line[-_LONGEST_LINE // 2 :]}"
    with suppress(OSError, ValueError):
        print(f"worldplan: {line}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def few_warnings() -> Iterator[None]:
    """Print the warnings of libraries, in the block under `with`, as a line each, each text once,
    five at most.
    """
    seen = set[str]()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = f"{category.__name__}: {one_line(str(message), _LONGEST)}"
        if text not in seen and len(seen) < _MOST_WARNINGS:
            complain(text)
        seen.add(text)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def has_no_reader(stream: TextIO) -> bool:
    """Whether the program that read `stream` has ended, as in `worldplan --help | head -1`."""
    if not hasattr(select, "poll"):  # Windows
        return True
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False


def discard(stream: TextIO) -> None:
    """Send what `stream` still holds to nowhere, so that the end of the process does not fail."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def describe_os_error(error: OSError) -> str | None:
    """A line with path, reason and remedy; None for an error that is none of the system."""
    if error.errno is None or error.strerror is None:
        return None
    remedy = _REMEDIES.get(error.errno, "check the disk and the permissions")
    place = f"{error.filename}: " if error.filename is not None else ""
    near = near_path(error.filename) if error.errno == errno.ENOENT and place else ""
    return f"{place}{error.strerror}{near}: {remedy}"


def report(error: BaseException, argv: Sequence[str]) -> tuple[str, int]:
    """Write the traceback into a file, and return a line about it and the exit code.

    Args:
        error: what no command expected.
        argv: the words after `worldplan`.

    Returns:
        The line names the command, the error and the report file. The exit code is 2 where memory
        was too small or the user's own code failed, else 3: a fault of worldplan.
    """
    reason = f"{type(error).__name__}: {one_line(str(error), _LONGEST)}".removesuffix(": ")
    command = f"'{' '.join(argv[:2])}'"
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return f"{command} needs more memory than there is ({reason}): make its sizes smaller", 2
    file = write_report(error, argv)
    if file is None:
        traceback.print_exception(error)
    where = f"the traceback is in {file}" if file else "no file could be written for the traceback"
    place = user_code(error)
    if place is not None:
        return f"{command}: {place[0]}, line {place[1]}: {reason}: mend this code ({where})", 2
    return (
        f"{command} met an unexpected error, {reason}: this is a fault of worldplan; "
        f"{where}: send it to the authors",
        3,
    )


def write_report(error: BaseException, argv: Sequence[str]) -> Path | None:
    """Write traceback, command line and versions to a new file in the current folder, or in the
    folder for temporary files; returns it, or None where neither can be written to.
    """
    lines = [
        f"time: {datetime.now():%Y-%m-%d %H:%M:%S}",
        f"command line: worldplan {' '.join(map(repr, argv))}",
        *(f"{name}: {version}" for name, version in versions().items()),
        "",
        *traceback.format_exception(error),
    ]
    text = "\n".join(lines).encode("utf-8", errors="backslashreplace")
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
    for folder in (Path(), Path(tempfile.gettempdir())):
        with suppress(OSError):
            return _write_new(folder, stamp, text)
    return None


def _write_new(folder: Path, stamp: str, text: bytes) -> Path:
    """Write a file of a name that is free, whole or not at all.

    Raises:
        OSError: the folder cannot be written to.
        FileExistsError: no name is free.
    """
    for number in range(1, 1000):
        file = folder / f"worldplan-error-{stamp}{f'-{number}' if number > 1 else ''}.txt"
        try:
            stream = file.open("xb")
        except FileExistsError:
            continue
        try:
            with stream:
                stream.write(text)
        except OSError:
            file.unlink(missing_ok=True)
            raise
        return file.absolute()
    raise FileExistsError(errno.EEXIST, "too many reports in one second", str(folder))


def user_code(error: BaseException) -> tuple[str, int] | None:
    """(file, line) of the innermost frame that is neither worldplan's nor a library's, also in
    the text of a traceback from another process; None if there is no such frame.
    """
    places = [
        (frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    if error.__cause__ is not None and type(error.__cause__).__name__ == "_RemoteTraceback":
        places += [(file, int(line)) for file, line in _PLACE.findall(str(error.__cause__))]
    paths = sysconfig.get_paths()
    libraries = [Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    libraries.append(PACKAGE)
    for file, line in reversed(places):
        path = Path(file)
        if path.is_absolute() and not any(path.is_relative_to(folder) for folder in libraries):
            return file, line
    return None
