"""Training of the dynamics ensemble: worldplan against the usual structure, side by side in one
process.

    python -m benchmarks.offline.ensemble_training                                  # synthetic
    data, CPU, one thread: about 3 minutes python -m benchmarks.offline.ensemble_training --data
    worldplan/hopper-medium-replay-own-v0 --rows 50000 --device cuda

* ours   `fit`, all of it: Lightning, the check after every epoch, checkpoints and metrics
  written.
* usual  as in the public code of RAVL and its ancestors: one network per member in a Python loop,
  bootstrapped copies of
         the data, a DataLoader that takes single rows, the check member by member at batch 256 with
         copies of all weights.

Both see the same training and held-out rows and make the same number of gradient steps on batches
of the same size.

1. Speed. The usual structure with our loss, initial law and normalised targets, so that the errors
   are equal and only the
   structure differs. Repeats alternate; the ratio is of samples (rows x members) per second, in CPU
   time of the process and in wall time.
2. Error. The usual structure also with the usual objective (raw targets, likelihood not weighted):
   held-out errors after
   the same steps, and when ours first reached its final ones.

Held-out error: mean over members and outputs of the squared error in units of the variance of the
target; NLL: mean of log s^2 + (y - mu)^2 / s^2 in units of the environment.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.model import (
    BOUND_WEIGHT,
    MAX_LOG_VARIANCE,
    MIN_LOG_VARIANCE,
    GaussianEnsemble,
    changes,
)
from worldplan.world_models.ensemble.training import (
    EnsembleModule,
    EnsembleSettings,
    hold_out,
)
from worldplan.world_models.training.trainer import fit

RESULTS = Path(__file__).with_name("results")
OBSERVATION, ACTION, EPISODE = 11, 3, 100  # sizes of Hopper


def synthetic(rows: int, seed: int) -> Transitions:
    """Episodes of a smooth nonlinear system with noise, of the sizes of Hopper."""
    rng, episodes = np.random.default_rng(seed), rows // EPISODE
    into = 1.5 * rng.normal(size=(OBSERVATION + ACTION, 32)) / math.sqrt(OBSERVATION + ACTION)
    out = rng.normal(size=(32, OBSERVATION + 1)) / math.sqrt(32)
    state, parts = rng.normal(size=(episodes, OBSERVATION)).astype(np.float32), []
    for step in range(EPISODE):
        action = rng.uniform(-1, 1, (episodes, ACTION)).astype(np.float32)
        force = np.sin(np.concatenate([state, action], 1) @ into) @ out + 0.03 * rng.normal(
            size=(episodes, OBSERVATION + 1)
        )
        following = (0.95 * state + 0.3 * force[:, :-1]).astype(np.float32)
        parts.append(
            (
                state,
                action,
                force[:, -1],
                following,
                np.zeros(episodes, bool),
                np.full(episodes, step == EPISODE - 1),
                np.arange(episodes),
            )
        )
        state = following
    columns: list[Any] = [
        np.stack(part, 1).reshape(episodes * EPISODE, *part[0].shape[1:])
        for part in zip(*parts, strict=True)
    ]
    return Transitions(*columns)


def played(env_id: str, rows: int, seed: int) -> Transitions:
    """Random actions, each held for 5 steps with a little noise, so that a body moves and falls."""
    env, rng = gym.make(env_id, max_episode_steps=200), np.random.default_rng(seed)
    space: Any = env.action_space
    parts: list[Any] = []
    observation, episode = env.reset(seed=seed)[0], 0
    for step in range(rows):
        if step % 5 == 0:
            held = rng.uniform(space.low, space.high)
        action = np.clip(held + 0.2 * rng.normal(size=held.shape), space.low, space.high).astype(
            np.float32
        )
        following, reward, terminated, truncated, _ = env.step(action)
        truncated = truncated or (step == rows - 1 and not terminated)
        parts.append((observation, action, reward, following, terminated, truncated, episode))
        over = terminated or truncated
        observation, episode = (env.reset()[0], episode + 1) if over else (following, episode)
    return Transitions(*map(np.array, zip(*parts, strict=True)))  # type: ignore[arg-type]


def first_rows(data: Transitions, rows: int) -> Transitions:
    """Whole episodes, at most `rows` rows."""
    lengths = data.statistics().lengths
    return (
        data.select(np.arange(int(lengths[np.cumsum(lengths) <= rows].sum())))
        if len(data) > rows
        else data
    )


@dataclass
class Judge:
    """Errors of any model on the held-out rows, in the same units for all."""

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
            said = model(observation, action)
            mean = said.mean - torch.cat([observation, torch.zeros_like(observation[:, :1])], 1)
            square = (mean - target).square()
            error += float((square / self.variance).mean()) * len(target)
            nll += float((said.variance.log() + square / said.variance).mean()) * len(target)
        return error / len(self.target), nll / len(self.target)


def judge_of(data: Transitions, seed: int, device: str) -> Judge:
    """The rows that `EnsembleModule` holds out for this seed."""
    held = torch.as_tensor(hold_out(data.episode, np.random.default_rng([seed, 1])))
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


# ---- the usual structure


class Member(nn.Module):
    """One member by itself, with heads for mean and log-variance."""

    def __init__(
        self, inputs: int, outputs: int, hidden: tuple[int, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = (inputs, *hidden)
        self.layers = nn.ModuleList(
            nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.mean, self.log_variance = (
            nn.Linear(hidden[-1], outputs),
            nn.Linear(hidden[-1], outputs),
        )
        for layer in (*self.layers, self.mean, self.log_variance):
            std = 1 / (2 * math.sqrt(layer.in_features))
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, hidden: Tensor, high: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.layers:
            hidden = nn.functional.silu(layer(hidden))
        log_variance = high - nn.functional.softplus(high - self.log_variance(hidden))
        return self.mean(hidden), low + nn.functional.softplus(log_variance - low)


class Copies(Dataset):
    """Bootstrapped copies of all rows, one per member, on the device; read row by row."""

    def __init__(
        self, inputs: Tensor, targets: Tensor, members: int, generator: torch.Generator, device: str
    ) -> None:
        places = torch.randint(len(inputs), (members, len(inputs)), generator=generator)
        self.inputs = inputs[places].to(device)
        self.change, self.reward = (
            targets[places][..., :-1].to(device),
            targets[places][..., -1:].to(device),
        )

    def __len__(self) -> int:
        return self.inputs.shape[1]

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.inputs[:, row], self.change[:, row], self.reward[:, row]


class Usual:
    """The ensemble as a list of members and its training."""

    def __init__(
        self,
        data: Transitions,
        settings: EnsembleSettings,
        seed: int,
        device: str,
        *,
        published: bool,
    ) -> None:
        module = EnsembleModule(
            data, settings, seed
        )  # prepares the rows, so that both see the same; its time is not counted
        self.settings, self.frame, self.device = settings, module.ensemble.to(device), device
        self.power = 0.0 if published else settings.power
        targets, held_targets = module.train_targets, module.held_targets
        if published:
            mean, scale = self.frame.target_mean.cpu(), self.frame.target_scale.cpu()
            targets, held_targets = targets * scale + mean, held_targets * scale + mean
            self.frame.target_mean.zero_(), self.frame.target_scale.fill_(1.0)
        generator = torch.Generator().manual_seed(seed)
        inputs, outputs = module.train_inputs.shape[1], targets.shape[1]
        self.members = [
            Member(inputs, outputs, settings.hidden, generator).to(device)
            for _ in range(settings.members)
        ]
        self.high = torch.full((outputs,), MAX_LOG_VARIANCE, requires_grad=True, device=device)
        self.low = torch.full((outputs,), MIN_LOG_VARIANCE, requires_grad=True, device=device)
        copies = Copies(module.train_inputs, targets, settings.members, generator, device)
        self.loader = DataLoader(
            copies, batch_size=settings.batch, shuffle=True, drop_last=True, generator=generator
        )
        self.check_loader = DataLoader(
            TensorDataset(module.held_inputs.to(device), held_targets.to(device)), batch_size=256
        )
        self.best = [math.inf] * settings.members
        self.kept = [copy.deepcopy(member.state_dict()) for member in self.members]
        self.optimizer = torch.optim.Adam(self._groups(), lr=settings.learning_rate)

    def _groups(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = [{"params": [self.high, self.low]}]
        for member in self.members:
            decays = (*self.settings.weight_decay, self.settings.weight_decay[-1])
            for layer, decay in zip(
                (*member.layers, member.mean, member.log_variance), decays, strict=True
            ):
                groups += [
                    {"params": [layer.weight], "weight_decay": decay},
                    {"params": [layer.bias]},
                ]
        return groups

    def epoch(self) -> None:
        """One pass over the data and the check after it."""
        for inputs, change, reward in self.loader:
            loss = BOUND_WEIGHT * (self.high.sum() - self.low.sum())
            for index, member in enumerate(self.members):
                mean, log_variance = member(inputs[:, index], self.high, self.low)
                terms = log_variance + (
                    torch.cat([change[:, index], reward[:, index]], 1) - mean
                ).square() * torch.exp(-log_variance)
                loss = loss + (terms * torch.exp(self.power * log_variance.detach())).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()
        copies = [copy.deepcopy(member.state_dict()) for member in self.members]
        for index, error in enumerate(self._errors()):
            if error < 0.99 * self.best[index]:
                self.best[index], self.kept[index] = error, copies[index]

    @torch.no_grad()
    def _errors(self) -> list[float]:
        found = []
        for member in self.members:
            errors = [
                (member(inputs, self.high, self.low)[0] - targets).square().mean()
                for inputs, targets in self.check_loader
            ]
            found.append(float(torch.stack(errors).mean()))
        return found

    def __call__(self, observation: Tensor, action: Tensor) -> Any:
        """As `GaussianEnsemble` says it, with the weights kept."""
        now = [member.state_dict() for member in copy.deepcopy(self.members)]
        for member, kept in zip(self.members, self.kept, strict=True):
            member.load_state_dict(kept)
        said = [
            member(self.frame.inputs(observation, action), self.high, self.low)
            for member in self.members
        ]
        for member, before in zip(self.members, now, strict=True):
            member.load_state_dict(before)
        mean, log_variance = (torch.stack(part) for part in zip(*said, strict=True))
        return self.frame.in_environment(observation, mean, log_variance)


# ---- measuring


@dataclass
class Point:
    """After an epoch: seconds so far (of training and checks), and the held-out errors."""

    cpu: float
    wall: float
    error: float
    nll: float


class Watch:
    """CPU and wall time, stopped while errors are judged."""

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
    """Judges ours after every epoch, outside the time measured."""

    def __init__(self, watch: Watch, judge: Judge) -> None:
        self.watch, self.judge = watch, judge
        self.points: list[Point] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.watch.stop()
        self.points.append(Point(self.watch.cpu, self.watch.wall, *self.judge(pl_module.best)))  # type: ignore[arg-type]
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
        last = recorder.points[-1]
        recorder.points[-1] = Point(
            watch.cpu, watch.wall, last.error, last.nll
        )  # with the last files written
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
    """The first epoch that was at least as good."""
    return next((point for point in points if getattr(point, name) <= goal), None)


def speed(
    name: str,
    data: Transitions,
    settings: EnsembleSettings,
    options: argparse.Namespace,
    record: Callable[..., None],
) -> list[str]:
    """Part 1: a row for the table."""
    judge = judge_of(data, options.seed, options.device)
    samples = (
        settings.members
        * settings.epochs
        * ((len(data) - len(judge.target)) // settings.batch)
        * settings.batch
    )
    found: dict[str, list[Point]] = {"ours": [], "usual": []}
    for repeat in range(options.repeats):
        for method, train in (("ours", ours), ("usual", usual)):
            found[method].append(train(data, settings, options.seed, judge, options.device)[-1])
            record(name, "speed", method, repeat, settings.epochs, found[method][-1])
    rows = []
    for method, points in found.items():
        rates = [
            spread([samples / getattr(point, clock) for point in points])
            for clock in ("cpu", "wall")
        ]
        rows.append(
            f"| {name} | {method} | {rates[0]} | {rates[1]} | {points[-1].error:.4g} | {points[-1].nll:.4g} |"
        )
    for clock in ("cpu", "wall"):
        ratios = [
            getattr(theirs, clock) / getattr(mine, clock)
            for mine, theirs in zip(found["ours"], found["usual"], strict=True)
        ]
        rows.append(
            f"\n{name}: ours makes {spread(ratios)} times as many samples per second of {clock} time."
        )
    return rows


def error(
    name: str,
    data: Transitions,
    settings: EnsembleSettings,
    options: argparse.Namespace,
    record: Callable[..., None],
) -> list[str]:
    """Part 2: rows for the table, and when ours was as good."""
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
            f"\n{name}: lowest {words} of the usual training {goal:.4g}, after {there.cpu:.3g} s; {reached}."
        )
    return rows


def run(options: argparse.Namespace) -> None:
    """Both parts for every dataset, printed and kept in two files."""
    settings = EnsembleSettings(epochs=options.epochs, patience=10**6)
    sources = {"synthetic": synthetic(options.rows, options.seed)}
    sources |= {
        f"{task}, random actions": played(task, options.rows, options.seed)
        for task in options.tasks
    }
    sources |= {
        Path(source).stem if Path(source).is_file() else source: first_rows(
            load_transitions(source), options.rows
        )
        for source in options.data
    }
    ours(
        synthetic(2000, 0),
        replace(settings, epochs=1),
        0,
        judge_of(synthetic(2000, 0), 0, options.device),
        options.device,
    )  # warm up
    device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU, one thread"
    lines = [
        f"{device}, torch {torch.__version__}. {settings.members} members, batch {settings.batch}, {options.rows} rows. See the head of the file."
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / f"{options.name}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            [
                "data",
                "part",
                "method",
                "repeat",
                "epoch",
                "cpu_seconds",
                "wall_seconds",
                "held_out_error",
                "held_out_nll",
            ]
        )

        def record(
            name: str, part: str, method: str, repeat: int, epoch: int, point: Point
        ) -> None:
            table.writerow(
                [
                    name,
                    part,
                    method,
                    repeat,
                    epoch,
                    *(f"{value:.6g}" for value in (point.cpu, point.wall, point.error, point.nll)),
                ]
            )

        lines += [
            "",
            f"Speed, {options.epochs} epochs, {options.repeats} repeats: median [least, greatest].",
            "",
        ]
        lines += [
            "| data | method | samples / CPU s | samples / wall s | held-out error | held-out NLL |",
            "|---|---|---|---|---|---|",
        ]
        tables = [speed(name, data, settings, options, record) for name, data in sources.items()]
        lines += [row for rows in tables for row in rows if row[0] == "|"] + [
            row for rows in tables for row in rows if row[0] != "|"
        ]
        lines += ["", f"Error after {options.long} epochs; usual with its own objective.", ""]
        lines += ["| data | method | held-out error | held-out NLL |", "|---|---|---|---|"]
        tables = [error(name, data, settings, options, record) for name, data in sources.items()]
        lines += [row for rows in tables for row in rows if row[0] == "|"] + [
            row for rows in tables for row in rows if row[0] != "|"
        ]
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
