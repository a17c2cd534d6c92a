"""Training of a network of shared weights: the learning of `SequoiaModule` with another start.

Targets have a control variate. The guess V_n(s) = sum_j v_nj(s_j), the arms' values at the prices,
gains by chance in a transition

    g = V_{n-1}(s') - E[ V_{n-1}(s') | s, a ]

which has mean zero whatever the guess is, and is taken out of the target r + max_a' Q(s', a').
Most of what the target varies by is what the single arms happen to do.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.bandits.environment import Floats
from worldplan.planners.bandits.sequoia.shared.arm_values import ArmValues
from worldplan.planners.bandits.sequoia.shared.features import ArmFeatures
from worldplan.planners.bandits.sequoia.shared.network import SharedQNetwork
from worldplan.planners.bandits.sequoia.shared.planner import ENTRY, SharedPlanner, shared_entry
from worldplan.planners.bandits.sequoia.starts import SEED, most_earning, steady_returns
from worldplan.planners.bandits.sequoia.targets import GroupTargets
from worldplan.planners.bandits.sequoia.training import SequoiaModule, Targets


class SharedModule(SequoiaModule):
    """Learns a `SharedQNetwork` for one programme, as `SequoiaModule` does.

    Args:
        instance: arms, feasible actions and horizon.
        settings: of the learning, with the network "shared".
        seed: of weights, targets, states and exploration.
        solver: of prices and of the exact decisions in checks.

    Raises:
        ConfigError: as `SequoiaModule`.
    """

    NETWORKS: ClassVar[tuple[str, ...]] = ("shared",)
    network: SharedQNetwork
    target: SharedQNetwork

    def setup(self, stage: str) -> None:
        """Find the values of single arms and, in a new training, the start."""
        super().setup(stage)
        if not hasattr(self, "features"):
            tables = ArmValues(self.instance, self.solver)
            self.features = ArmFeatures(tables)
            self.network.attach(self.features)
            self.target.attach(self.features)
            moved = [
                tables.expected(tables.value[left - 1])
                for left in range(1, self.instance.horizon + 1)
            ]
            self._expected = torch.as_tensor(np.stack(moved), dtype=torch.float32)
            self._guess = torch.as_tensor(tables.value, dtype=torch.float32)
            if self.trainer.ckpt_path is None and self.settings.pretrain in ("fluid", "best"):
                self._begin_from_tables()

    def _begin_from_tables(self) -> None:
        """Take the start that earns most; with "best", a later network must beat it in checks."""
        best = self.settings.pretrain == "best"
        self._take_start(self._best_start() if best else "prices")
        if best:
            self._keep(self._check())

    def _take_start(self, name: str) -> None:
        """Begin with the values `name`, and aim the first phase at them.

        Values of groups of arms are the targets where there are any: the network learns what is
        nearest to them among sums over arms.
        """
        self.network.start = self.target.start = name
        if self.settings.pretrain != "best":
            return
        tables = self.features.tables
        effect = self.instance.dynamics.effect
        if name == "joint" and effect is not None:
            self._targets = GroupTargets(tables.groups, effect)
        else:
            self._targets = self._start_targets()

    def _start_targets(self) -> Targets:
        """The values of the network as it begins."""
        first = SharedQNetwork(self.network.kind, self.settings.hidden).requires_grad_(False)
        first.attach(self.features)
        first.start = self.network.start
        return first

    def _best_start(self) -> str:
        """The start whose decisions earn most, chosen as SEQUOIA's own."""

        def play(name: str, episodes: int) -> Floats:
            self.network.start = name
            return steady_returns(self.planner(), self.instance, self._control(), episodes, SEED)

        return most_earning(self.features.tables.starts, play, self.settings.check_episodes)

    def _chance(self, batch: dict[str, Tensor]) -> Tensor:
        """What the guess gained by chance in each transition, (batch,)."""
        state, after, left = batch["state"], batch["next"], batch["left"]
        arms, step = torch.arange(state.shape[1]), left[:, None] - 1
        level = torch.as_tensor(self.instance.dynamics.level(batch["action"].numpy()))
        expected = self._expected[step, arms, state, level].sum(1)
        gained: Tensor = self._guess[step, arms, after].sum(1) - expected
        return gained

    def planner(self) -> SharedPlanner:
        """The planner of the network as it stands."""
        network = self._copy().eval()
        return SharedPlanner(self.instance, network, self.solver, features=[self.features])

    def _copy(self) -> SharedQNetwork:
        copied = SharedQNetwork(self.network.kind, self.settings.hidden)
        copied.load_state_dict(self.network.state_dict())
        copied.start = self.network.start
        return copied

    def record(self) -> dict[str, Any]:
        """The network as it stands, and what it needs of other programmes."""
        return super().record() | {ENTRY: shared_entry(self.network, self.instance.horizon)}

    def progress(self) -> dict[str, Any]:
        """As `SequoiaModule.progress`, with the name of the start."""
        return super().progress() | {"shared_start": self.network.start}

    def restore(self, progress: dict[str, Any]) -> None:
        """As `SequoiaModule.restore`.

        Raises:
            CheckpointError: as there.
        """
        super().restore(progress)
        self._take_start(progress["shared_start"])
