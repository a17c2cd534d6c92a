"""Training of the dynamics ensemble: worldplan against the usual structure, in one process.

    python -m benchmarks.offline.ensemble_training  # synthetic data, one thread: about 3 minutes
    python -m benchmarks.offline.ensemble_training --rows 50000 --device cuda \
        --data worldplan/hopper-v5-medium-replay-own-v0

ours   all of `fit`: Lightning, the check after every epoch, checkpoints and metrics written.
usual  `benchmarks.offline.ensemble_usual`: a network per member in a Python loop, bootstrapped
       copies of the data, a DataLoader over single rows, the check member by member.

Both have the same training and held-out rows, and make the same number of gradient steps on batches
of the same size.

1. Speed. The usual structure with our loss, initial distribution and normalised targets, so that
   the errors are equal and only the structure differs. Repeats alternate; the ratio is of samples
   (rows x members) per second, in CPU time of the process and in wall time.
2. Error. The usual structure with the usual objective too (raw targets, likelihood not weighted):
   held-out errors after the same steps, and the time after which ours reached its lowest error.

Held-out error: mean over members and outputs of the squared error in units of the variance of the
target. NLL: mean of log s^2 + (y - mu)^2 / s^2 in units of the environment.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import lightning as L
import numpy as np
import torch
from torch import Tensor

from benchmarks.offline.ensemble_data import first_rows, played, synthetic
from benchmarks.offline.ensemble_usual import Usual
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.held_out import hold_out
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.held_out import held_out_generator
from worldplan.world_models.ensemble.likelihood import changes
from worldplan.world_models.ensemble.model import GaussianEnsemble
from worldplan.world_models.ensemble.training import EnsembleModule, EnsembleSettings
from worldplan.world_models.training.trainer import fit

RESULTS = Path(__file__).with_name("results")
COLUMNS = (
    *("data", "part", "method", "repeat", "epoch"),
    *("cpu_seconds", "wall_seconds", "held_out_error", "held_out_nll"),
)


@dataclass
class Judge:
    """Errors of a model on the held-out rows, in the same units for all models."""

    observation: Tensor
    action: Tensor
    target: Tensor  # (n, out), change of the observation and reward, in units of the environment
    variance: Tensor  # (out,), of the targets in training

    @torch.no_grad()
    def __call__(self, model: GaussianEnsemble | Usual) -> tuple[float, float]:
        """(error, NLL)."""
        error, nll = 0.0, 0.0
        for observation, action, target in zip(
            *(part.split(2048) for part in (self.observation, self.action, self.target)),
            strict=True,
        ):
            predicted = model(observation, action)
            mean = predicted.mean - torch.cat(
                [observation, torch.zeros_like(observation[:, :1])], 1
            )
            square = (mean - target).square()
            error += float((square / self.variance).mean()) * len(target)
            nll += float((predicted.variance.log() + square / predicted.variance).mean()) * len(
                target
            )
        return error / len(self.target), nll / len(self.target)


def judge_of(data: Transitions, seed: int, device: str) -> Judge:
    """The rows that `EnsembleModule` holds out for this seed."""
    held = torch.as_tensor(hold_out(data.episode, held_out_generator(seed)))
    columns = [
        torch.as_tensor(column)
        for column in (data.observation, data.action, data.next_observation, data.reward)
    ]
    targets = changes(columns[0], columns[2], columns[3])
    variance = targets[~held].var(0)
    variance[variance < 1e-12] = 1.0
    return Judge(
        *(part.to(device) for part in (columns[0][held], columns[1][held], targets[held], variance))
    )


@dataclass
class Point:
    """After an epoch: seconds so far (of training and checks), and the held-out errors."""

    cpu: float
    wall: float
    error: float
    nll: float


class Watch:
    """CPU and wall time; stopped while errors are measured."""

    def __init__(self, device: str) -> None:
        self.wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        self.cpu, self.wall = 0.0, 0.0
        self.start()

    def start(self) -> None:
        self.wait()
        self._began = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        self.wait()
        self.cpu += time.process_time() - self._began[0]
        self.wall += time.perf_counter() - self._began[1]


class Recorder(L.Callback):
    """Measures the errors of ours after every epoch, outside the time measured."""

    def __init__(self, watch: Watch, judge: Judge) -> None:
        self.watch, self.judge = watch, judge
        self.points: list[Point] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.watch.stop()
        assert isinstance(pl_module, EnsembleModule)
        self.points.append(Point(self.watch.cpu, self.watch.wall, *self.judge(pl_module.best)))
        self.watch.start()


def ours(
    data: Transitions, settings: EnsembleSettings, seed: int, judge: Judge, device: str
) -> list[Point]:
    """`fit` into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch(device)
        recorder = Recorder(watch, judge)
        module = EnsembleModule(data, settings, seed)
        fit(module, folder, accelerator=device, callbacks=[recorder])
        watch.stop()
        # the last point with the time of writing the last files
        recorder.points[-1] = replace(recorder.points[-1], cpu=watch.cpu, wall=watch.wall)
    return recorder.points


def usual(
    data: Transitions,
    settings: EnsembleSettings,
    seed: int,
    judge: Judge,
    device: str,
    *,
    published: bool = False,
) -> list[Point]:
    """The usual structure for as many epochs."""
    model = Usual(data, settings, seed, device, published=published)
    watch, points = Watch(device), []
    for _ in range(settings.epochs):
        watch.start()
        model.epoch()
        watch.stop()
        points.append(Point(watch.cpu, watch.wall, *judge(model)))
    return points


def spread(values: list[float]) -> str:
    """Median [least, greatest]."""
    return f"{np.median(values):.3g} [{min(values):.3g}, {max(values):.3g}]"


def first_below(points: list[Point], name: str, goal: float) -> Point | None:
    """The first epoch whose figure `name` was at most `goal`."""
    return next((point for point in points if getattr(point, name) <= goal), None)


def speed(
    name: str,
    data: Transitions,
    settings: EnsembleSettings,
    options: argparse.Namespace,
    record: Callable[..., None],
) -> list[str]:
    """Part 1: rows of the table, and the ratios."""
    judge = judge_of(data, options.seed, options.device)
    samples = (
        settings.members
        * settings.epochs
        * ((len(data) - len(judge.target)) // settings.batch)
        * settings.batch
    )
    runs: dict[str, list[Point]] = {"ours": [], "usual": []}
    for repeat in range(options.repeats):
        for method, train in (("ours", ours), ("usual", usual)):
            runs[method].append(train(data, settings, options.seed, judge, options.device)[-1])
            record(name, "speed", method, repeat, settings.epochs, runs[method][-1])
    rows = []
    for method, points in runs.items():
        rates = [
            spread([samples / getattr(point, clock) for point in points])
            for clock in ("cpu", "wall")
        ]
        errors = f"{points[-1].error:.4g} | {points[-1].nll:.4g}"
        rows.append(f"| {name} | {method} | {rates[0]} | {rates[1]} | {errors} |")
    for clock in ("cpu", "wall"):
        ratios = [
            getattr(theirs, clock) / getattr(mine, clock)
            for mine, theirs in zip(runs["ours"], runs["usual"], strict=True)
        ]
        rows.append(
            f"\n{name}: ours makes {spread(ratios)} times as many samples per second of {clock} "
            "time."
        )
    return rows


def error(
    name: str,
    data: Transitions,
    settings: EnsembleSettings,
    options: argparse.Namespace,
    record: Callable[..., None],
) -> list[str]:
    """Part 2: rows of the table, and the time after which ours was as good."""
    settings = replace(settings, epochs=options.long)
    judge = judge_of(data, options.seed, options.device)
    mine = ours(data, settings, options.seed, judge, options.device)
    theirs = usual(data, settings, options.seed, judge, options.device, published=True)
    for method, points in (("ours", mine), ("usual, as published", theirs)):
        for epoch, point in enumerate(points):
            record(name, "error", method, 0, epoch + 1, point)
    rows = [
        f"| {name} | {method} | {points[-1].error:.4g} | {points[-1].nll:.4g} |"
        for method, points in (("ours", mine), ("usual", theirs))
    ]
    for measure, words in (("error", "error"), ("nll", "NLL")):
        goal = min(getattr(point, measure) for point in theirs)
        there, here = first_below(theirs, measure, goal), first_below(mine, measure, goal)
        assert there is not None
        reached = (
            "not reached by ours"
            if here is None
            else f"ours after {here.cpu:.3g} s of CPU time, {there.cpu / here.cpu:.3g} times sooner"
        )
        rows.append(
            f"\n{name}: lowest {words} of the usual training {goal:.4g}, after {there.cpu:.3g} s; "
            f"{reached}."
        )
    return rows


def sources_of(options: argparse.Namespace) -> dict[str, Transitions]:
    """The datasets by name: synthetic, played, and those of --data."""
    sources = {"synthetic": synthetic(options.rows, options.seed)}
    for task in options.tasks:
        sources[f"{task}, random actions"] = played(task, options.rows, options.seed)
    for source in options.data:
        name = Path(source).stem if Path(source).is_file() else source
        sources[name] = first_rows(load_transitions(source), options.rows)
    return sources


def section(title: str, columns: str, parts: list[list[str]]) -> list[str]:
    """A title, a table of those lines of `parts` that are rows, and the other lines after it."""
    lines = [line for part in parts for line in part]
    rule = "|" + "---|" * (columns.count("|") - 1)
    table = [line for line in lines if line.startswith("|")]
    return ["", title, "", columns, rule, *table, *(line for line in lines if line[0] != "|")]


def run(options: argparse.Namespace) -> None:
    """Run both parts for every dataset, print the tables, and write them into two files."""
    settings = EnsembleSettings(epochs=options.epochs, patience=10**6)
    sources, small = sources_of(options), synthetic(2000, 0)
    small_judge = judge_of(small, 0, options.device)
    ours(small, replace(settings, epochs=1), 0, small_judge, options.device)  # warm up
    device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU, one thread"
    lines = [
        f"{device}, torch {torch.__version__}. {settings.members} members, batch "
        f"{settings.batch}, {options.rows} rows. See the head of the file."
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / f"{options.name}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)

        def record(
            name: str, part: str, method: str, repeat: int, epoch: int, point: Point
        ) -> None:
            numbers = (point.cpu, point.wall, point.error, point.nll)
            texts = [f"{number:.6g}" for number in numbers]
            table.writerow([name, part, method, repeat, epoch, *texts])

        lines += section(
            f"Speed, {options.epochs} epochs, {options.repeats} repeats: median [least, greatest].",
            "| data | method | samples / CPU s | samples / wall s | held-out error | "
            "held-out NLL |",
            [speed(name, data, settings, options, record) for name, data in sources.items()],
        )
        lines += section(
            f"Error after {options.long} epochs; usual with its own objective.",
            "| data | method | held-out error | held-out NLL |",
            [error(name, data, settings, options, record) for name, data in sources.items()],
        )
    text = "\n".join(lines) + "\n"
    print(text)
    (options.out / f"{options.name}.md").write_text(text)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="training of the dynamics ensemble against the usual structure"
    )
    parser.add_argument(
        "--data",
        nargs="*",
        default=[],
        help="datasets besides the two made here: Minari ids or files",
    )
    parser.add_argument(
        "--tasks",
        nargs="*",
        default=["Hopper-v5"],
        help="gymnasium tasks to play with random actions",
    )
    parser.add_argument("--rows", type=int, default=10_000, help="rows used of each dataset")
    parser.add_argument("--epochs", type=int, default=3, help="of each repeat of the speed part")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--long", type=int, default=20, help="epochs of the error part")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--name", default="ensemble_training", help="of the two files")
    torch.set_num_threads(1)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
