"""From offline to online: the last epochs of a training also act in the real environment.

After the offline epochs, each epoch plays whole episodes with the stochastic policy, and batches
mix these steps with the dataset and, by a setting, with model transitions; actor, critics and their
update stay as they are. The question is that of RO2O (Wen et al., 2024) and Uni-O4 (Lei et al.,
2024): whether the return falls at the change-over, and whether it ends higher. The remedies of
neither are here (RO2O's smoothing of critics and policy, Uni-O4's on-policy objective).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.episodes import EpisodeBatch
from worldplan.milp.errors import ConfigError
from worldplan.milp.memory import gigabytes, memory_limit
from worldplan.milp.settings_check import check_fields
from worldplan.planners.offline.actor import SquashedActor
from worldplan.planners.offline.options.task_costs import TaskCosts
from worldplan.planners.offline.replay import Batch, RingBuffer, pack
from worldplan.planners.offline.task import OfflineTask
from worldplan.world_models.training.seeds import derived_seed

EARLY = 5  # checks after the change-over among which the lowest return is looked for


@dataclass(frozen=True)
class Finetuning:
    """How a training goes on in the real environment.

    Args:
        steps: of each seed and epoch, at least: episodes are played to their ends. An environment
            without a step limit is left after so many steps.
        capacity: newest real steps of each seed that are kept.
        share: of a batch that comes from these steps.
        rollouts: whether model transitions fill the batch beside the `real_share` of the dataset;
            otherwise the dataset alone does.

    Raises:
        ConfigError: a number is out of its range.
    """

    steps: int = 1000
    capacity: int = 100_000
    share: float = 0.5
    rollouts: bool = True

    def __post_init__(self) -> None:
        check_fields(self, "finetuning.")
        if self.steps < 1 or self.capacity < self.steps:
            raise ConfigError(
                f"finetuning.steps {self.steps}, finetuning.capacity {self.capacity}: give at "
                "least 1 step, and a capacity of at least the steps of an epoch"
            )
        if not 0 < self.share <= 1:
            raise ConfigError(f"finetuning.share {self.share}: must be above 0 and at most 1")

    def parts(self, batch: int, real_share: float) -> tuple[int, int, int]:
        """Rows of a batch of the dataset, of model rollouts, and of the real steps.

        Args:
            batch: its size.
            real_share: share of the dataset.
        """
        online = max(1, round(batch * self.share))
        rest = batch - online
        real = min(round(batch * real_share), rest) if self.rollouts else rest
        return real, rest - real, online


class OnlineData:
    """The newest real steps of each seed, and the returns around the change-over.

    Args:
        task: with an environment.
        settings: of the fine-tuning.
        width: of a packed row.
        seeds: trainings side by side.

    Attributes:
        before: (seeds,), mean returns at the change-over; None before it.
        after: (seeds,) for each check since.
        reports_costs: whether the environment has reported a cost, so that steps on which it is
            silent are free; None: not recorded.

    Raises:
        ConfigError: the steps do not fit into memory.
    """

    def __init__(self, task: OfflineTask, settings: Finetuning, width: int, seeds: int) -> None:
        size = 4 * seeds * settings.capacity * width
        if 2 * size > memory_limit():
            raise ConfigError(
                f"finetuning.capacity {settings.capacity}: takes {gigabytes(2 * size)} (with its "
                f"copy in the checkpoint), and this process has {gigabytes(memory_limit())} of "
                "memory: lower it"
            )
        self.task, self.settings, self.seeds = task, settings, seeds
        self.buffer = RingBuffer(seeds, settings.capacity, width)
        self.before: Tensor | None = None
        self.after: list[Tensor] = []
        self.reports_costs: bool | None = False
        self._silent: list[bool] = []  # steps of the present epoch

    def collect(
        self, actor: SquashedActor, costs: TaskCosts | None, seed: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Play episodes, and keep their steps.

        Args:
            actor: the policies of all seeds.
            costs: of the task, or None.
            seed: of the environment; it is reset for every call.
            generator: of the policies' noise.

        Returns:
            Packed rows (seeds, steps, width), and which of them are steps, (seeds, steps) bool.
        """
        rows: list[Tensor] = []
        kept: list[Tensor] = []
        counts = np.zeros(self.seeds, int)
        environment = self.task.environment(self.seeds)
        number, self._silent = 0, []
        while (wanting := counts < self.settings.steps).any():
            first = derived_seed(seed, number) % 2**31
            number += 1
            for row, keep in self._episodes(
                EpisodeBatch(environment, seed=first), wanting, actor, costs, generator
            ):
                rows.append(row)
                kept.append(torch.from_numpy(keep))
                counts += keep
        environment.close()
        packed, keep = torch.stack(rows, 1), torch.stack(kept, 1).to(generator.device)
        if costs is not None:
            self._free_silent(packed)
        self.buffer.to(generator.device)
        most = self.settings.capacity  # that the buffer takes at once
        for some, kept_some in zip(
            torch.split(packed, most, 1), torch.split(keep, most, 1), strict=True
        ):
            self.buffer.add(some, kept_some)
        return packed, keep

    def _free_silent(self, packed: Tensor) -> None:
        """Set the costs of steps (seeds, steps, width) on which the environment is silent to 0, if
        it ever reports any: it then reports its costly steps alone.
        """
        silent = torch.tensor(self._silent, device=packed.device)
        if not bool(silent.all()):
            if self.reports_costs is False:  # all earlier steps were silent
                self.buffer.rows[..., -1] = 0
            self.reports_costs = True
        if self.reports_costs:
            packed[:, silent, -1] = 0

    def _episodes(
        self,
        episodes: EpisodeBatch,
        wanting: np.ndarray,
        actor: SquashedActor,
        costs: TaskCosts | None,
        generator: torch.Generator,
    ) -> Any:
        """Rows (seeds, width) and which of them count, (seeds,), of an episode of each seed."""
        device = generator.device
        low, high = self.task.low.numpy(), self.task.high.numpy()

        def decide(observation: Any) -> np.ndarray:
            seen = torch.from_numpy(np.asarray(observation, np.float32)).to(device)
            action = actor.sample(seen.unsqueeze(1), generator)[0][:, 0].cpu().numpy()
            clipped: np.ndarray = np.clip(action, low, high)
            return clipped

        before = np.array(episodes.observation, np.float32)
        length = 0
        with torch.no_grad():
            for step in episodes.play(decide):
                following = np.array(step.next_observation, np.float32)
                observation, action, reward, next_observation, terminated = (
                    torch.from_numpy(np.asarray(part, np.float32)).to(device)
                    for part in (before, step.action, step.reward, following, step.terminated)
                )
                of_dataset = torch.full_like(reward, -1)
                rows = pack(
                    Batch(observation, action, reward, next_observation, terminated, of_dataset)
                )
                if costs is not None:
                    rows = costs.add_real(rows, step.info)
                    self._silent.append("cost" not in step.info)
                yield rows, step.running & wanting
                before, length = following, length + 1
                late = self.task.limit is None and length >= self.settings.steps
                if late or not (episodes.running & wanting).any():
                    return

    def check(self, returns: Tensor) -> dict[str, Tensor]:
        """Take the returns (seeds,) of a check after the change-over; returns "before", "drop" (the
        lowest of the first checks less that before) and "gain" (now less before), each (seeds,).
        """
        assert self.before is not None
        self.after.append(returns)
        lowest = torch.stack(self.after[:EARLY]).amin(0)
        return {
            "before": self.before,
            "drop": lowest - self.before,
            "gain": returns - self.before,
        }

    def state(self) -> dict[str, Any]:
        """What `restore` needs: tensors and plain values."""
        filled = int(self.buffer.filled.max())
        return {
            "rows": self.buffer.rows[:, :filled].cpu().clone(),
            "next": self.buffer.next.cpu().clone(),
            "filled": self.buffer.filled.cpu().clone(),
            "before": self.before,
            "after": list(self.after),
            "reports_costs": self.reports_costs,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a `state`."""
        rows = state["rows"]
        self.buffer.rows[:, : rows.shape[1]] = rows
        self.buffer.next.copy_(state["next"])
        self.buffer.filled.copy_(state["filled"])
        self.before, self.after = state["before"], list(state["after"])
        self.reports_costs = state.get("reports_costs")


def table_of(before: Tensor, after: Sequence[Tensor]) -> list[dict[str, float]]:
    """A row per seed: returns before the change-over, the lowest early check, and the last.

    Args:
        before: (seeds,).
        after: (seeds,) for each check since, at least one.
    """
    lowest = torch.stack(list(after[:EARLY])).amin(0)
    return [
        {
            "seed": seed,
            "before": float(before[seed]),
            "lowest": float(lowest[seed]),
            "drop": float(lowest[seed] - before[seed]),
            "last": float(after[-1][seed]),
        }
        for seed in range(len(before))
    ]
