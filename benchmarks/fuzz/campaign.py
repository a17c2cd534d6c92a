"""A campaign: mutants of all kinds are given to their commands, and the answers are classified."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from benchmarks.fuzz.kinds import Kind, kinds, special_files, write_files
from benchmarks.fuzz.mutations import mutate
from benchmarks.fuzz.rewriting import rewritten
from benchmarks.fuzz.server import Answer, answer
from benchmarks.fuzz.structured import mutate_structure

NEGATIVE = ("actions solve", "actions validate")  # commands that answer "no" with exit code 1
_CHANGING = re.compile(r"\d+\.\d+ s\b|in [\d.]+ ?m?s\b|\d+(\.\d+)? ms|\S+/fuzz-\S+")


class Result(NamedTuple):
    """What became of a mutant.

    Attributes:
        kind: of the file.
        file: that was mutated.
        command: its first words.
        mutation: its names.
        verdict: "refused", "right", "traceback", "exit 3", "hang", "wrong", "killed" or "not one
            line".
        code: exit code.
        seconds, megabytes: what the command took.
        message: its last line on stderr.
    """

    kind: str
    file: str
    command: str
    mutation: str
    verdict: str
    code: int
    seconds: float
    megabytes: float
    message: str


class Bench:
    """Valid files in `folder`/valid, and runs of commands in copies of them.

    Args:
        folder: to work in.
        main: of the command line.
        seconds: of CPU time after which a command hangs.
        slow: whether commands that take seconds are among the kinds.
    """

    def __init__(
        self,
        folder: Path,
        main: Callable[[Sequence[str]], int],
        seconds: float = 20.0,
        *,
        slow: bool = True,
    ) -> None:
        self.main, self.seconds = main, seconds
        self.valid, self.place = folder / "valid", folder / "fuzz-case"
        self.valid.mkdir(parents=True)
        with patch.dict(os.environ, MINARI_DATASETS_PATH=str(self.valid)):
            write_files(
                self.valid, lambda argv: answer(argv, self.valid, 300.0, main).code, slow=slow
            )
        self.kinds = [kind for kind in kinds(self.valid) if slow or not kind.slow]

    def _make(self, argv: list[str]) -> int:
        return answer(argv, self.valid, 300.0, self.main).code

    def run(self, kind: Kind, change: Callable[[Path], object]) -> Answer:
        """The answer to the command of `kind` after `change` of its file."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.valid, self.place)
        change(self.place / kind.file)
        return answer(kind.argv, self.place, self.seconds, self.main)

    def mutant(self, kind: Kind, seed: int) -> Result:
        """The result of one mutant, which `seed` determines."""
        rng = random.Random(seed)
        data = (self.valid / kind.file).read_bytes()
        if rng.random() < 0.03:
            name = ""

            def replace(path: Path) -> None:
                nonlocal name
                name = special_files(path, rng.randrange(7))

            done = self.run(kind, replace)
            return _result(kind, name, done, verdict(kind, done))
        structured = None
        if rng.random() < 0.4:
            structured = mutate_structure(kind.file, data, rng)
        mutant, name = structured or mutate(data, kind.is_text, rng)
        done = self.run(kind, lambda path: path.write_bytes(mutant))
        found = verdict(kind, done)
        if found == "right" and done.code in (0, 1):
            other = rewritten(Path(kind.file), mutant)
            if other is not None:
                again = self.run(kind, lambda path: path.write_bytes(other))
                if not same(kind, done, again):
                    found = "wrong"
                    done = done._replace(err=f"{again.code}: {again.err or again.out}")
        return _result(kind, name, done, found)

    def check_valid(self) -> Iterator[str]:
        """Complaints about commands that refuse the valid files, or their other spelling."""
        for kind in self.kinds:
            done = self.run(kind, lambda path: None)
            if done.code != 0:
                yield f"{' '.join(kind.argv)}: {done.code}, {done.seconds:.1f} s: {done.err[-500:]}"
            other = rewritten(Path(kind.file), (self.valid / kind.file).read_bytes())
            if other is not None:
                again = self.run(kind, lambda path, text=other: path.write_bytes(text))  # type: ignore[misc]
                if not same(kind, done, again):
                    yield f"{kind.file} differs in another spelling: {again.err[-500:]}"


def verdict(kind: Kind, done: Answer) -> str:
    """The class of an answer."""
    lines = [line for line in done.err.splitlines() if line.startswith("worldplan: ")]
    if done.hung:
        return "hang"
    if done.code < 0:
        return "killed"
    if "Traceback (most recent" in done.err + done.out:
        return "traceback"
    if done.code == 3:
        return "exit 3"
    if done.code == 0 or (done.code == 1 and " ".join(kind.argv[:2]) in NEGATIVE):
        return "right"
    if done.code == 2 and lines and len(lines[-1]) < 1600:
        return "refused"
    return "not one line"


def same(kind: Kind, done: Answer, again: Answer) -> bool:
    """Whether two answers are the same. Those of slow commands contain times, and which plan a
    planner finds depends on its time limits.
    """
    if kind.slow or "solve" in kind.argv:
        return again.code == done.code
    return (again.code, _lasting(again.out)) == (done.code, _lasting(done.out))


def _lasting(printed: str) -> str:
    """What was printed without times and temporary folders, however its lines were broken."""
    return _CHANGING.sub("", " ".join(printed.split()))


def _result(kind: Kind, mutation: str, done: Answer, found: str) -> Result:
    message = (done.err.strip().splitlines() or [""])[-1][:400]
    return Result(
        kind.name,
        kind.file,
        " ".join(kind.argv[:2]),
        mutation,
        found,
        done.code,
        round(done.seconds, 3),
        round(done.megabytes),
        message,
    )
