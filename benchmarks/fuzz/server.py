"""Commands in forked children of a process that has imported worldplan: a run takes as long as its
work, and cannot harm the next one.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

_MODULES = (
    "worldplan.commands.bandits.decide",
    "worldplan.commands.bandits.run",
    "worldplan.commands.studies.run",
    "worldplan.commands.actions.learn",
    "worldplan.commands.actions.solve",
    "worldplan.commands.data.command",
    "worldplan.commands.evaluation.command",
    "worldplan.commands.evaluation.bandits",
    "worldplan.commands.report",
    "worldplan.output.report",
    "worldplan.planners.bandits.sequoia.planner",
    "worldplan.planners.offline.policy",
    "worldplan.world_models.data.minari_files",
    "worldplan.world_models.data.files",
    "unified_planning.shortcuts",
    "h5py",
    "matplotlib.pyplot",
    "lightning.pytorch.cli",
)


class Answer(NamedTuple):
    """What a command did.

    Attributes:
        code: its exit code; -signal if it was killed.
        out: stdout.
        err: stderr.
        seconds: how long it took.
        megabytes: the most memory that it used.
        hung: whether it was ended at a time limit.
    """

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float
    hung: bool


def import_all() -> None:
    """Import, before the first fork, what the commands import."""
    for module in _MODULES:
        importlib.import_module(module)


def answer(
    argv: Sequence[str], folder: Path, seconds: float, main: Callable[[Sequence[str]], int]
) -> Answer:
    """Run `main(argv)` in a child whose working folder is `folder`, for at most `seconds` of its
    own CPU time, and ten times as long in all.
    """
    out, err = folder / ".stdout", folder / ".stderr"
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(folder, out, err, main, argv, int(seconds))
    hung, wait = False, 0.002
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - began > 10 * seconds and not hung:
            hung = True
            os.killpg(child, signal.SIGKILL)
        time.sleep(wait)
        wait = min(wait * 1.5, 0.05)
    with contextlib.suppress(ProcessLookupError):  # what the command left running
        os.killpg(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    hung = hung or code == -signal.SIGXCPU
    return Answer(
        code,
        out.read_text(errors="replace"),
        err.read_text(errors="replace"),
        time.monotonic() - began,
        usage.ru_maxrss / 1024,
        hung,
    )


def _become(
    folder: Path,
    out: Path,
    err: Path,
    main: Callable[[Sequence[str]], int],
    argv: Sequence[str],
    seconds: int,
) -> None:
    """Run `main` in this process, and end it."""
    code = 70
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        os.environ["HOME"] = os.environ["MINARI_DATASETS_PATH"] = str(folder)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, 2**28))
        for number, path in ((1, out), (2, err)):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(opened, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
            mode = "r" if name == "stdin" else "w"
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        code = main(argv)
    except BaseException:  # what a user would see
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
