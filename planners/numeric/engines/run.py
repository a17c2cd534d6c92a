"""`EngineRun`: the attempts of one engine at one problem, and whether a plan of them is valid."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from worldplan.milp.errors import DatasetError, WorldplanError, one_line
from worldplan.planners.numeric.engines.catalogue import PLAN, Engine
from worldplan.planners.numeric.engines.process import Ending, EngineProcess
from worldplan.world_models.numeric.domain import Ground
from worldplan.world_models.pddl.plans import read_plan

Fault = Callable[[tuple[Ground, ...]], str | None]  # what is wrong with a plan; None or "": nothing
_NO_MEMORY = re.compile("OutOfMemoryError|bad_alloc|MemoryError|out of memory", re.IGNORECASE)
_NO_PLAN = re.compile(
    r"unsolvable|no plan|no solution|not? solvable|search failed|could not find", re.IGNORECASE
)
_TROUBLE = re.compile(r"exception|error\b|violated|failed|unsupported|not supported", re.IGNORECASE)
_LONGEST_REASON = 200


class EngineRun:
    """The attempts of an engine, each a process that can be paused.

    Args:
        engine: the engine.
        prepare: writes the domain and the problem file into a folder.
        folder: of its own; it is created when needed.
        fault: maps a plan to what is wrong with it.
        memory_limit_mb: memory of each attempt.
        has_regions: whether the model has learned regions.

    Attributes:
        seconds: wall-clock time of its turns.
        plan: a valid plan; None before there is one.
        status: "waiting", "running", "satisficing", "no_plan_found", "memory_limit", "rejected" or
            "failed".
        reason: why it was rejected or failed, in one line.
        memory_mb: largest resident memory of an attempt.
    """

    def __init__(
        self,
        engine: Engine,
        prepare: Callable[[Path], None],
        folder: Path,
        *,
        fault: Fault,
        memory_limit_mb: int,
        has_regions: bool = False,
    ) -> None:
        self.engine, self.folder, self.fault = engine, folder, fault
        self.seconds, self.memory_mb = 0.0, 0
        self.plan: tuple[Ground, ...] | None = None
        self.status, self.reason = "waiting", ""
        self._memory_limit_mb = memory_limit_mb
        self._prepare = prepare
        self._commands = engine.commands(memory_limit_mb, has_regions)
        self._process: EngineProcess | None = None
        self._attempts = 0

    @property
    def ended(self) -> bool:
        """Whether it has a plan, or no further attempt."""
        return self.status not in ("waiting", "running")

    def resume(self) -> None:
        """Start the next attempt, or let the paused one continue."""
        if self.ended:
            return
        if self._process is None:
            self._start()
        else:
            self._process.resume()

    def pause(self) -> None:
        """Stop the attempt until `resume`."""
        if self._process is not None:
            self._process.pause()

    def poll(self) -> None:
        """Look whether the attempt has ended, and start the next one if its plan is wrong."""
        ending = self._process.poll() if self._process is not None else None
        if ending is not None:
            self._judge(ending)

    def close(self) -> None:
        """End the attempt."""
        if self._process is not None:
            ending = self._process.close()
            self.memory_mb = max(self.memory_mb, ending.memory_mb)
            self._process = None

    def _start(self) -> None:
        """Start the next attempt in a folder of its own; without one the last verdict stays."""
        self._attempts += 1
        place = self.folder / str(self._attempts)
        try:
            command = next(self._commands, None)
            if command is None:
                self.status = "rejected"
                return
            place.mkdir(parents=True)
            self._prepare(place)
        except (WorldplanError, OSError) as error:
            self.status, self.reason = "failed", one_line(error)
            return
        self._process = EngineProcess(command, place, self._memory_limit_mb)
        self.status = "running"

    def _judge(self, ending: Ending) -> None:
        """The status after the end of an attempt."""
        process, plan_file = self._process, self.folder / str(self._attempts) / PLAN
        if process is None:
            return
        output = process.output()
        self.close()
        if plan_file.exists():
            self._judge_plan(plan_file)
        elif ending.why == "memory" or _NO_MEMORY.search(output):
            self.status = "memory_limit"
        elif ending.why != "itself":
            self.status, self.reason = "failed", ending.reason or f"its process was {ending.why}"
        elif ending.code == 0 and (_NO_PLAN.search(output) or not _TROUBLE.search(output)):
            self.status = "no_plan_found"
        else:
            self.status, self.reason = "failed", _complaint(output, ending.code)

    def _judge_plan(self, plan_file: Path) -> None:
        """The status after an attempt that wrote a plan: valid, or the next attempt."""
        try:
            plan = read_plan(plan_file)
        except DatasetError as error:
            self.status = "failed"
            self.reason = f"its plan cannot be read: {str(error).removeprefix(f'{plan_file}: ')}"
            return
        fault = self.fault(plan)
        if not fault:
            self.plan, self.status, self.reason = plan, "satisficing", ""
            return
        self.reason = f"its plan of {len(plan)} actions fails the exact check: {fault}"
        self._start()


def _complaint(output: str, code: int | None) -> str:
    """What a program that broke down said, in one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    how = f"ended by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
    spoken = next(
        (line for line in reversed(lines) if _TROUBLE.search(line)), lines[-1] if lines else ""
    )
    printable = "".join(letter if letter.isprintable() else "?" for letter in spoken)
    text = printable[:_LONGEST_REASON]
    return f"{how}: {text}" if text else how
