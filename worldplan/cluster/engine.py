"""Run independent jobs on a Ray cluster whose machines share no folder."""

from __future__ import annotations

import itertools
import secrets
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from worldplan.cluster.luggage import Luggage, files_to_carry, folder_variables, own_modules
from worldplan.cluster.mailbox import Mailbox
from worldplan.cluster.parcels import Job, deliver, pack
from worldplan.cluster.session import connected, start_actor
from worldplan.cluster.there import Order, Outcome, leave, run_there
from worldplan.milp.errors import ConfigError, JobKilled, one_line
from worldplan.versions import package_versions

J = TypeVar("J", bound=Job)
SAVE_EVERY = 30.0  # seconds between two looks for new checkpoints of a running job
PATIENCE = 60.0  # seconds without a running job, after which the reason is printed
_REPEATS = 3  # of a job whose process or machine is lost
_CLEANING = 10.0  # seconds; what is left then is deleted by the next command


@dataclass(frozen=True)
class _Attempt(Generic[J]):
    """An attempt to run a job.

    Args:
        job: the job.
        number: of its own for each attempt.
        repeats: how often the job was lost before.
        names: what it has handed over into the run folder, besides its own files.
    """

    job: J
    number: int
    repeats: int = 0
    names: frozenset[str] = field(default_factory=frozenset)


def run_on_ray(
    work: Callable[[J], J],
    jobs: Sequence[J],
    processes: int,
    inputs: Iterable[Path],
    show: Callable[[Sequence[J]], None] = lambda running: None,
) -> Generator[J]:
    """Run `work(job)` for each job on the cluster, and yield the job as soon as its files are in
    the run folder.

    The machines need worldplan and nothing else: no folder of this machine. A running job hands
    over its files twice a minute: one whose machine is lost is repeated on another one, and
    continues from these. What still runs is ended when the generator is closed.

    Args:
        work: an importable function.
        jobs: see `Job`.
        processes: how many run in parallel; 0 for as many as the cluster has cores.
        inputs: the files that jobs read.
        show: is given the jobs that run, whenever they change.

    Raises:
        ConfigError: there is no such cluster, a machine has other versions, or an input is missing.
        JobKilled: a job ended without a result, and so did its repetitions.
        MissingExtra: Ray is not installed.
    """
    files = files_to_carry(inputs)
    with connected() as ray:
        run = _RayRun(ray, work, files)
        numbers = itertools.count()
        waiting = deque(_Attempt(job, next(numbers)) for job in jobs)
        try:
            while waiting or run.sent:
                while waiting and (not processes or len(run.sent) < processes):
                    run.send(waiting.popleft())
                for attempt, outcome in run.ended():
                    if outcome is None:
                        _check_repeats(attempt)
                        waiting.appendleft(
                            replace(attempt, number=next(numbers), repeats=attempt.repeats + 1)
                        )
                        continue
                    _accept(outcome, attempt.job)
                    yield attempt.job
                show(run.running())
        finally:
            run.close()


class _RayRun(Generic[J]):
    """The jobs of a command on a cluster.

    Args:
        ray: the module, connected.
        work: an importable function.
        files: absolute paths of the files that jobs read.
    """

    def __init__(self, ray: Any, work: Callable[[J], J], files: Sequence[Path]) -> None:
        self.sent: dict[Any, _Attempt[J]] = {}
        self._ray, self._work, self._token = ray, work, secrets.token_hex(8)
        self._begun: set[int] = set()
        self._start, self._warned = time.monotonic(), False
        self._mailbox = start_actor(ray, Mailbox)
        self._task = ray.remote(num_cpus=1, max_retries=0)(run_there)
        self._luggage = ray.put(
            Luggage(
                self._token,
                str(Path.cwd()),
                {str(file): ray.put(np.fromfile(file, np.uint8)) for file in files},
                tuple(dict.fromkeys(str(folder) for folder, _ in own_modules())),
                package_versions(),
                folder_variables(files),
            )
        )

    def send(self, attempt: _Attempt[J]) -> None:
        """Let the cluster run a job."""
        job = attempt.job
        order = Order(
            self._ray.cloudpickle.dumps((self._work, job)),
            str(job.folder.absolute()),
            pack(job, attempt.names),
            attempt.number,
            SAVE_EVERY,
        )
        self.sent[self._task.remote(self._luggage, order, self._mailbox)] = attempt

    def ended(self) -> list[tuple[_Attempt[J], Outcome | None]]:
        """The attempts that ended within a second, each with what it returned: None where its
        process or machine was lost. Checkpoints that came meanwhile are in the run folder.
        """
        finished, _ = self._ray.wait(list(self.sent), timeout=1.0)
        self._take_reports()
        return [(self.sent.pop(ref), _outcome(self._ray, ref)) for ref in finished]

    def _take_reports(self) -> None:
        """Put checkpoints of running jobs into the run folder. Without the mailbox, whose machine
        may be lost, jobs run as well.
        """
        try:
            begun, saved = self._ray.get(self._mailbox.take.remote(), timeout=_CLEANING)
        except self._ray.exceptions.RayError:
            return
        self._begun.update(begun)
        for reference, attempt in list(self.sent.items()):
            if (parcel := saved.get(attempt.number)) is not None:
                deliver(parcel, attempt.job)
                names = attempt.names | frozenset(parcel.files)
                self.sent[reference] = replace(attempt, names=names)

    def running(self) -> list[J]:
        """The jobs that have begun. Warns once where none has for long."""
        jobs = [entry.job for entry in self.sent.values() if entry.number in self._begun]
        waits = not self._begun and not self._warned
        if waits and self.sent and time.monotonic() - self._start > PATIENCE:
            self._warned = True
            warnings.warn(_no_core(self._ray), stacklevel=2)
        return jobs

    def close(self) -> None:
        """End what still runs, and delete on every machine what travelled there."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for reference in self.sent:
            self._ray.cancel(reference, force=True)
        task = self._ray.remote(num_cpus=0, max_retries=0)(leave)
        tasks = [
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], False))
            for node in self._ray.nodes()
            if node["Alive"]
        ]
        ended = [task.remote(self._token) for task in tasks]
        self._ray.wait(ended, num_returns=len(tasks), timeout=_CLEANING)


def _no_core(ray: Any) -> str:
    """Why no job begins."""
    cores = ray.cluster_resources().get("CPU", 0)
    if not cores:
        return (
            "no job has begun: the Ray cluster has no core: add a machine with 'ray start "
            "--address HOST:PORT', or start Ray with --num-cpus"
        )
    return (
        f"no job has begun for {PATIENCE:.0f} s: each of the {cores:g} cores of the Ray cluster is "
        "taken, or is still starting a process: jobs begin as soon as one is free ('ray status' "
        "shows what runs)"
    )


def _outcome(ray: Any, reference: Any) -> Outcome | None:
    """What a job returned; None where its process or machine was lost.

    Raises:
        ConfigError: worldplan is not installed where it ran.
    """
    try:
        outcome: Outcome = ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # of Ray: `run_there` raises nothing
        raise ConfigError(
            f"a machine of the Ray cluster cannot run jobs ({one_line(error.cause)}): install "
            "worldplan there, in the same version"
        ) from error
    except ray.exceptions.RayError:
        return None
    return outcome


def _check_repeats(attempt: _Attempt[Any]) -> None:
    """Check that a lost job may be repeated.

    Raises:
        JobKilled: it was lost too often.
    """
    if attempt.repeats == _REPEATS:
        raise JobKilled(
            f"a job of the Ray cluster ended without a result {_REPEATS + 1} times, perhaps "
            "because the memory was full: finished jobs are kept: repeat the command to continue, "
            "if need be with fewer --jobs"
        )


def _accept(outcome: Outcome, job: Job) -> None:
    """Put what a job wrote into the run folder, repeat its warnings, and raise what it raised."""
    deliver(outcome.parcel, job)
    for category, text in outcome.warned:
        warnings.warn(text, category, stacklevel=2)
    if outcome.error is not None:
        outcome.error.__cause__ = _RemoteTraceback(outcome.trace)
        raise outcome.error


class _RemoteTraceback(Exception):
    """The traceback of a job, as text."""
