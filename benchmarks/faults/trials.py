"""One trial: a command, a fault at a random moment, the same command again, and the comparison with
two undisturbed runs.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.cases import Case
from benchmarks.faults.contents import DRAFT, names, parts, run_folders
from benchmarks.faults.processes import Ended, Running, held_locks, run

_DAY = 86_400


@dataclass(frozen=True)
class Reference:
    """An undisturbed run.

    Args:
        template: folder with the input, which every trial begins with.
        words: of the command.
        seconds: that it took.
        runs: the parts of its run folder, if it has one; see `contents.parts`.
        rest: the parts of all else.
        not_compared: the parts that differ between two undisturbed runs.
        names: of its files.
        largest: bytes of its largest file.
        total: bytes of all files that it added.
    """

    template: Path
    words: str
    seconds: float
    runs: dict[str, str]
    rest: dict[str, str]
    not_compared: list[str]
    names: set[str]
    largest: int
    total: int


@dataclass
class Trial:
    """What a trial showed."""

    command: str
    fault: str
    number: int
    struck: bool = True  # the fault came before the command had ended
    finished: bool = False
    equal: bool = False
    lost: bool = False  # finished work was not taken up, or a run stays unfinished
    left_over: list[str] = field(default_factory=list)
    wrong_code: bool = False
    traceback: bool = False
    note: str = ""

    def row(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


class Failed(Exception):
    """A command fails without any fault."""


def reference(case: Case, folder: Path) -> Reference:
    """Make the input of a case, and run it twice.

    Raises:
        Failed: the command fails without any fault.
    """
    template = folder / "template"
    template.mkdir(parents=True)
    case.write_files(template)
    for words in case.before:
        _succeed(words, template)
    runs = run_folders(template)
    words = case.words.replace("RUN", str(runs[0].relative_to(template))) if runs else case.words
    copies, seconds = [folder / "undisturbed", folder / "again"], []
    for copy in copies:
        shutil.copytree(template, copy)
        begun = time.monotonic()
        _succeed(words, copy)
        seconds.append(time.monotonic() - begun)
    (run_parts, rest), (other_run, other_rest) = [_contents(copy) for copy in copies]
    same = {name for name in run_parts if run_parts[name] == other_run.get(name)}
    same_rest = {name for name in rest if rest[name] == other_rest.get(name)}
    differing = (run_parts.keys() | other_run) - same | (rest.keys() | other_rest) - same_rest
    sizes = [path.stat().st_size for path in copies[0].rglob("*") if path.is_file()]
    before = sum(path.stat().st_size for path in template.rglob("*") if path.is_file())
    return Reference(
        template,
        words,
        min(seconds),
        {name: run_parts[name] for name in same},
        {name: rest[name] for name in same_rest},
        sorted(differing),
        names(copies[0]) | names(copies[1]),
        max(sizes),
        sum(sizes) - before,
    )


def _succeed(words: str, folder: Path) -> None:
    """Run a command.

    Raises:
        Failed: it fails.
    """
    ended = run(words, folder)
    if ended.code != 0:
        raise Failed(f"worldplan {words}: exit code {ended.code}: {ended.last_line}")


def _contents(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The parts of the newest run folder, and of all else."""
    runs = run_folders(folder)
    return (parts(runs[-1], folder) if runs else {}), parts(folder, folder)


def judge(trial: Trial, usual: Reference, folder: Path, last: Ended) -> Trial:
    """Fill in what the folder shows after the last command."""
    trial.finished = last.code == 0
    trial.traceback |= last.has_traceback
    runs, rest = run_folders(folder), parts(folder, folder)
    contents = [parts(run, folder) for run in runs]
    complete = [found for found in contents if usual.runs.items() <= found.items()]
    trial.equal = usual.rest.items() <= rest.items() and len(complete) == len(runs)
    if not trial.equal:
        found = contents[-1] if contents else rest
        wanted = usual.runs if contents else usual.rest
        trial.note += (
            f" differs: {[name for name in wanted if found.get(name) != wanted[name]][:3]}"
        )
    # a kill after the last file leaves a finished run: the same command makes another one
    trial.lost |= len(complete) < len(runs) or (bool(usual.runs) and not runs)
    extra = names(folder) - usual.names
    trial.left_over += sorted(name for name in extra if DRAFT.search(name) or "tmp/" in name)
    trial.left_over += held_locks(folder)
    if not trial.finished:
        trial.note += f" again: {last.code} {last.last_line}"
    return trial


def _strike(trial: Trial, ended: Ended, allowed: tuple[int, ...]) -> None:
    """Fill in how the command with the fault ended."""
    trial.traceback |= ended.has_traceback
    trial.wrong_code |= ended.code not in allowed
    if ended.code not in allowed or (ended.code == 130 and "worldplan: " not in ended.last_line):
        trial.note += f" code {ended.code}: {ended.last_line}"
        trial.wrong_code = True


def killed(trial: Trial, usual: Reference, folder: Path, draw: np.random.Generator) -> Trial:
    """SIGKILL at a random moment; the same command again."""
    return _ended(trial, usual, folder, draw, signal.SIGKILL, (-9, 0))


def interrupted(trial: Trial, usual: Reference, folder: Path, draw: np.random.Generator) -> Trial:
    """Ctrl-C at a random moment; the same command again."""
    return _ended(trial, usual, folder, draw, signal.SIGINT, (130, 0))


def clock_back(trial: Trial, usual: Reference, folder: Path, draw: np.random.Generator) -> Trial:
    """SIGKILL at a random moment; the same command again, a day earlier."""
    return _ended(trial, usual, folder, draw, signal.SIGKILL, (-9, 0), FAULTS_CLOCK=str(-_DAY))


def _ended(
    trial: Trial,
    usual: Reference,
    folder: Path,
    draw: np.random.Generator,
    number: signal.Signals,
    allowed: tuple[int, ...],
    **variables: str,
) -> Trial:
    running = Running(usual.words, folder)
    trial.struck = running.signalled(number, draw.uniform(0, 1.1 * usual.seconds))
    ended = running.end()
    _strike(trial, ended, allowed)
    if ended.code == 0:  # it had ended
        trial.struck = False
        last = ended
    else:
        last = run(usual.words, folder, **variables)
    trial.left_over += ["orphan"] * running.orphans()
    return judge(trial, usual, folder, last)


def same_moment(trial: Trial, usual: Reference, folder: Path, draw: np.random.Generator) -> Trial:
    """The command twice at the same moment."""
    return _twice(trial, usual, folder, 0.0)


def seconds_later(trial: Trial, usual: Reference, folder: Path, draw: np.random.Generator) -> Trial:
    """The command twice, 1 to 3 seconds apart."""
    return _twice(trial, usual, folder, draw.uniform(1, 3))


def _twice(trial: Trial, usual: Reference, folder: Path, delay: float) -> Trial:
    first = Running(usual.words, folder)
    time.sleep(delay)
    second = Running(usual.words, folder)
    both = [first.end(), second.end()]
    for ended in both:
        _strike(trial, ended, (0, 2))
        if ended.code == 2 and "FolderInUse" not in ended.last_line:
            trial.note += f" refused otherwise: {ended.last_line}"
            trial.wrong_code = True
    trial.left_over += ["orphan"] * (first.orphans() + second.orphans())
    return judge(trial, usual, folder, min(both, key=lambda ended: abs(ended.code)))


def small_files(trial: Trial, usual: Reference, folder: Path, draw: np.random.Generator) -> Trial:
    """No file may exceed a random size (RLIMIT_FSIZE); the same command again without a limit."""
    size = int(10 ** draw.uniform(1, math.log10(usual.largest)))
    ended = run(usual.words, folder, FAULTS_FILE_SIZE=str(size))
    _strike(trial, ended, (2, 0))
    trial.struck = ended.code != 0
    return judge(trial, usual, folder, run(usual.words, folder) if ended.code else ended)


def full_disk(trial: Trial, usual: Reference, folder: Path, draw: np.random.Generator) -> Trial:
    """The folder is a tmpfs with room for a random part of the results; the same command again
    after it has grown.
    """
    before = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    room = before + int(draw.uniform(0, 1) * usual.total)
    _mount(folder, room)
    try:
        shutil.copytree(usual.template, folder, dirs_exist_ok=True)
        ended = run(usual.words, folder)
        _strike(trial, ended, (2, 0))
        trial.struck = ended.code != 0
        _mount(folder, 2**30, "remount,")
        return judge(trial, usual, folder, run(usual.words, folder) if ended.code else ended)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False)


def _mount(folder: Path, size: int, option: str = "") -> None:
    pages = max(size // 4096, 1) + 64
    command = ["mount", "-t", "tmpfs", "-o", f"{option}size={4 * pages}k", "faults", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    """Whether this process may mount a tmpfs."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _mount(folder, 2**20)
    except subprocess.CalledProcessError:
        return False
    subprocess.run(["umount", folder], check=False)
    return True


Fault = Callable[[Trial, Reference, Path, np.random.Generator], Trial]
FAULTS: dict[str, Fault] = {
    "SIGKILL": killed,
    "SIGINT": interrupted,
    "two, same moment": same_moment,
    "two, 1-3 s apart": seconds_later,
    "disk full (RLIMIT_FSIZE)": small_files,
    "disk full (tmpfs)": full_disk,
    "SIGKILL, clock back": clock_back,
}
