"""Run independent jobs on a Ray cluster whose machines share no folder."""

from __future__ import annotations

import secrets
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from worldplan.cluster.luggage import Luggage, files_to_carry, own_modules
from worldplan.cluster.parcels import Job, deliver, pack
from worldplan.cluster.session import connected
from worldplan.cluster.there import Order, Outcome, leave, run_there
from worldplan.milp.errors import ConfigError, JobKilled, one_line
from worldplan.versions import package_versions

J = TypeVar("J", bound=Job)
_REPEATS = 3  # of a job whose process or machine is lost
_CLEANING = 10.0  # seconds; what is left then is deleted by the next command


def run_on_ray(
    work: Callable[[J], J], jobs: Sequence[J], processes: int, inputs: Iterable[Path]
) -> Generator[J]:
    """Run `work(job)` for each job on the cluster, and yield the job as soon as its files are in
    the run folder.

    The machines need worldplan and nothing else: no folder of this machine. A job whose machine is
    lost is repeated on another one. What still runs is ended when the generator is closed.

    Args:
        work: an importable function.
        jobs: see `Job`.
        processes: how many run in parallel; 0 for as many as the cluster has cores.
        inputs: the files that jobs read.

    Raises:
        ConfigError: there is no such cluster, a machine has other versions, or an input is missing.
        JobKilled: a job ended without a result, and so did its repetitions.
        MissingExtra: Ray is not installed.
    """
    files = files_to_carry(inputs)
    with connected() as ray:
        token = secrets.token_hex(8)
        luggage = ray.put(
            Luggage(
                token,
                str(Path.cwd()),
                {str(file): ray.put(np.fromfile(file, np.uint8)) for file in files},
                tuple(dict.fromkeys(str(folder) for folder, _ in own_modules())),
                package_versions(),
            )
        )
        task = ray.remote(num_cpus=1, max_retries=_REPEATS)(run_there)
        waiting = deque(jobs)
        running: dict[Any, J] = {}
        try:
            while waiting or running:
                while waiting and (not processes or len(running) < processes):
                    job = waiting.popleft()
                    running[task.remote(luggage, _order(ray, work, job))] = job
                finished, _ = ray.wait(list(running), timeout=1.0)
                for reference in finished:
                    outcome = _outcome(ray, reference)
                    job = running.pop(reference)
                    _accept(outcome, job)
                    yield job
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
            _clean(ray, token)


def _clean(ray: Any, token: str) -> None:
    """Delete on every machine what travelled there."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(leave)
    tasks = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], False))
        for node in ray.nodes()
        if node["Alive"]
    ]
    ray.wait([task.remote(token) for task in tasks], num_returns=len(tasks), timeout=_CLEANING)


def _order(ray: Any, work: Callable[[J], J], job: J) -> Order:
    return Order(ray.cloudpickle.dumps((work, job)), str(job.folder.absolute()), pack(job))


def _outcome(ray: Any, reference: Any) -> Outcome:
    """What a job returned.

    Raises:
        ConfigError: worldplan is not installed where it ran.
        JobKilled: it returned nothing.
    """
    try:
        outcome: Outcome = ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # of Ray: `run_there` raises nothing
        raise ConfigError(
            f"a machine of the Ray cluster cannot run jobs ({one_line(error.cause)}): install "
            "worldplan there, in the same version"
        ) from error
    except ray.exceptions.RayError as error:
        raise JobKilled(
            f"a job of the Ray cluster ended without a result {_REPEATS + 1} times "
            f"({type(error).__name__}), perhaps because the memory was full: finished jobs are "
            "kept: repeat the command to continue, if need be with fewer --jobs"
        ) from error
    return outcome


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
