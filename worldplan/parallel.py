"""Independent jobs in separate processes, here or on a Ray cluster."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from worldplan.cluster.engine import run_on_ray
from worldplan.cluster.parcels import Job
from worldplan.milp.errors import JobKilled
from worldplan.output.progress import progress_bar
from worldplan.unexpected import few_warnings

J = TypeVar("J")
R = TypeVar("R", bound=Job)
ENGINES = ("local", "ray")


def execute(work: Callable[[J], J], jobs: Sequence[J], processes: int) -> Generator[J]:
    """Yield `work(job)` for each job, in the order in which they finish.

    The processes end when the generator is closed.

    Args:
        work: runs in another process, unless `processes` is 1.
        jobs: one argument of `work` each; they and the results are pickled.
        processes: how many run in parallel; 0 for one per core.

    Raises:
        JobKilled: a process ended without a result.
    """
    processes = min(processes, max(len(jobs), 1))  # joblib refuses a million
    if processes == 1:
        yield from map(work, jobs)
        return
    # takes as long to import as all else that the commands' --help needs
    from multiprocessing import resource_tracker

    from joblib import Parallel, delayed
    from joblib.externals.loky.backend import resource_tracker as resource_tracker_of_loky
    from joblib.externals.loky.process_executor import BrokenProcessPool

    parallel = Parallel(
        n_jobs=processes or -1,
        return_as="generator_unordered",
        inner_max_num_threads=1,
        backend="loky",
    )
    with _quiet_trackers():
        for tracker in (resource_tracker, resource_tracker_of_loky):
            tracker.ensure_running()  # here: its start would end what `_deaf_to_interrupts` begins
    try:
        with ExitStack() as stack:
            stack.enter_context(_without_notices())
            with _deaf_to_interrupts():  # the processes start here
                done = parallel(delayed(_run_while)(os.getpid(), work, job) for job in jobs)
                stack.callback(_cancel, done)
            yield from done
    except BrokenProcessPool as error:
        raise JobKilled(
            "a process that ran a job was killed, perhaps because the memory was full: finished "
            "jobs are kept: repeat the command to continue, if need be with fewer --jobs"
        ) from error


def _cancel(results: Generator[Any]) -> None:
    """End the processes, without the warning of joblib that jobs were cancelled."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\d+ tasks ")
        results.close()


@contextmanager
def _without_notices() -> Iterator[None]:
    """Let joblib not warn, in the block under `with`, of processes that had no job for minutes and
    ended: it starts new ones. One that is killed raises an error.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        yield


@contextmanager
def _quiet_trackers() -> Iterator[None]:
    """Let the processes that the block under `with` starts not warn of semaphores that a killed
    process left: they remove them, and the warning would follow the one line of `JobKilled`.
    """
    before = os.environ.get("PYTHONWARNINGS")
    quiet = "ignore:resource_tracker"
    os.environ["PYTHONWARNINGS"] = quiet if not before else f"{before},{quiet}"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let the processes that the block under `with` starts ignore Ctrl-C, which reaches all
    processes of a terminal; this process then ends them. Here, Ctrl-C waits for the block's end.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_waiting(
    work: Callable[[R], R],
    jobs: Sequence[R],
    done: Callable[[R], bool],
    describe: Callable[[R], str],
    processes: int,
    engine: str = "local",
    inputs: Iterable[Path] = (),
) -> None:
    """Execute the jobs that are not done yet, under a progress bar.

    Args:
        work: see `execute`.
        jobs: all jobs, finished ones included.
        done: whether a job is finished already.
        describe: the name of a job, for the progress bar.
        processes: see `execute`.
        engine: "local" for processes on this machine, "ray" for the machines of a Ray cluster.
        inputs: the files that jobs read; they travel to the machines of a cluster.

    Raises:
        ConfigError: the cluster cannot be reached or used.
        JobKilled: a process ended without a result.
        MissingExtra: `engine` is "ray" and Ray is not installed.
    """
    waiting = [job for job in jobs if not done(job)]
    left = [describe(job) for job in waiting]
    side_by_side = processes or os.cpu_count() or 1
    bar = progress_bar()
    on_cluster = engine == "ray"
    first = "waiting for a core of the cluster" if on_cluster and waiting else None
    task = bar.add_task(
        first or running(left, side_by_side),
        total=len(jobs),
        completed=len(jobs) - len(waiting),
    )

    def show(jobs: Sequence[R]) -> None:
        names = [describe(job) for job in jobs]
        bar.update(task, description=running(names, len(names)) if names else first)

    results = (
        run_on_ray(work, waiting, processes, inputs, show)
        if on_cluster
        else execute(work, waiting, processes)
    )
    with closing(results) as finished, bar:
        for job in finished:
            left.remove(describe(job))
            if not on_cluster:
                bar.update(task, description=running(left, side_by_side))
            bar.advance(task)


def running(left: Sequence[str], side_by_side: int) -> str:
    """What is running, for the progress bar: "fluid, seed 0 (and 1 more)".

    Args:
        left: names of the jobs that are not done, in the order in which they begin.
        side_by_side: number of processes.
    """
    if not left:
        return "done"
    more = min(len(left), side_by_side) - 1
    return f"{left[0]} (and {more} more)" if more else left[0]


def _run_while(parent: int, work: Callable[[J], J], job: J) -> J:
    """Run the job, and stop if the parent dies, so that no orphan writes into a resumed run."""
    _watch(parent)
    with few_warnings():  # as in the process of the command
        return work(job)


@cache
def _watch(parent: int) -> None:
    """Stop this worker process when the parent dies, also while it waits for its next job. Starts a
    single thread, however many jobs the worker runs.
    """

    def stop_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=stop_with_parent, daemon=True).start()
