"""Diagnostics of value learning in the plane, where the states at the edge of reach and the optimal
values are known exactly; attached to a training as a Lightning callback.
"""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from worldplan.envs.edge_of_reach import Plane
from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean
from worldplan.planners.offline.diagnostics import critic_spread, masked_median
from worldplan.planners.offline.options.finetuned import CHECK_SEED
from worldplan.planners.offline.oracle_patch import PATCHES, OraclePatch
from worldplan.planners.offline.replay import unpack
from worldplan.planners.offline.rollouts import roll_out
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task import plane_task
from worldplan.planners.offline.training import ReachAwareModule

_PICTURED = 100  # model rollouts in a snapshot


class EdgeOfReach(L.Callback):
    """Compares a training in the plane with the oracle; with a `patch`, also puts the oracle's
    values into targets.

    Every epoch it logs, per seed, the share of targets whose next state lies at the edge of reach
    (train/edge_targets) and the share that was patched (train/patched_targets). Every check adds
    the oracle's mean Q (check/oracle_q), the median spread of the critics at next states at the
    edge (check/spread_edge) and within reach (check/spread_within), the share of rows at the edge
    (check/edge_rows), and a snapshot of model rollouts.

    Counts of targets are reset every epoch and checkpoints are written between epochs, so the
    snapshots are the whole state.

    Args:
        plane: the task.
        patch: targets that take the oracle's value, see `OraclePatch`.

    Attributes:
        snapshots: model rollouts (rollouts, horizon + 1, 2) of the first seed, by epoch.

    Raises:
        ConfigError: `patch` is none of `PATCHES`.
    """

    def __init__(self, plane: Plane, patch: str = "none") -> None:
        if patch not in PATCHES:
            near = did_you_mean(str(patch), PATCHES)
            raise ConfigError(f"patch '{patch}'{near}: choose {', '.join(PATCHES)}")
        self.plane, self.patch = plane, patch
        self.snapshots: dict[str, Tensor] = {}

    @property
    def state_key(self) -> str:
        """Where a checkpoint holds the state; differs between patches."""
        return self._generate_state_key(patch=self.patch)

    def state_dict(self) -> dict[str, Any]:
        """The snapshots so far, each (rollouts, horizon + 1, 2)."""
        return {"snapshots": dict(self.snapshots)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The snapshots of the training that is resumed, each (rollouts, horizon + 1, 2)."""
        self.snapshots = dict(state_dict["snapshots"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the oracle patch into the agent's targets."""
        module = _reach_aware(pl_module)
        settings = module.settings
        self._targets = OraclePatch(
            self.plane, settings.horizon, settings.discount, self.patch, module.random
        )
        module.agent.next_value = self._targets

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the shares of targets at the edge of reach and of patched targets."""
        targets, module = self._targets, _reach_aware(pl_module)
        count = max(targets.seen, 1)
        module.log_seeds("train/edge_targets", torch.as_tensor(targets.edge) / count)
        module.log_seeds("train/patched_targets", torch.as_tensor(targets.changed) / count)
        targets.reset_counts()

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the oracle's values beside the critics' spread, and take a snapshot."""
        module = _reach_aware(pl_module)
        agent, batch = module.agent, module.check_rows()
        edge = self.plane.is_edge(batch.next_observation, agent.settings.horizon)
        spread = critic_spread(agent, batch)
        oracle_q = self.plane.oracle_q(batch.observation, batch.action, agent.settings.discount)
        module.log_seeds("check/oracle_q", oracle_q.mean(-1))
        module.log_seeds("check/spread_edge", masked_median(spread, edge))
        module.log_seeds("check/spread_within", masked_median(spread, ~edge))
        module.log_seeds("check/edge_rows", edge.float().mean(-1))
        self.snapshots[str(module.current_epoch + 1)] = _snapshot(module)


def _reach_aware(module: L.LightningModule) -> ReachAwareModule:
    """The same module, with its type.

    Raises:
        ConfigError: the callback is attached to another module.
    """
    if not isinstance(module, ReachAwareModule):
        raise ConfigError(
            f"EdgeOfReach: made for ReachAwareModule, not for {type(module).__name__}"
        )
    return module


def _snapshot(module: ReachAwareModule) -> Tensor:
    """Model rollouts of the first seed, (rollouts, horizon + 1, 2), from the first start states."""
    settings = module.settings
    start = module.starts[:_PICTURED].expand(module.seeds, -1, -1)
    rows, _ = roll_out(
        module.task.dynamics,
        module.agent.actor,
        start,
        None,
        settings.horizon,
        settings.pessimism,
        torch.Generator(device=module.device).manual_seed(CHECK_SEED),
    )
    following = unpack(rows[0], 2).next_observation.view(settings.horizon, -1, 2)
    return torch.cat([start[:1], following]).transpose(0, 1).contiguous().cpu()


def for_plane(
    plane: Plane | None = None,
    settings: ReachAwareSettings | None = None,
    seed: int = 0,
    seeds: int = 1,
    epochs: int = 100,
    check_every: int = 10,
    check_episodes: int = 20,
    patch: str = "none",
    start_seed: int = 0,
) -> ReachAwareModule:
    """A training in the plane with the diagnostics attached, for `worldplan run` and, as
    `class_path` in a YAML file, `worldplan fit`.

    Args:
        plane: the task; by default `Plane()`.
        settings: of the method.
        seed: of the training.
        seeds: trainings side by side.
        epochs: rounds of rollouts and updates.
        check_every: epochs between two checks.
        check_episodes: episodes per seed of a check.
        patch: targets that take the oracle's value, see `OraclePatch`.
        start_seed: of the start states, the data of this task.

    Raises:
        ConfigError: an argument, or a setting, does not fit.
    """
    plane = plane or Plane()
    return ReachAwareModule(
        plane_task(plane, seed=start_seed),
        settings,
        seed=seed,
        seeds=seeds,
        epochs=epochs,
        check_every=check_every,
        check_episodes=check_episodes,
        callbacks=[EdgeOfReach(plane, patch)],
    )
