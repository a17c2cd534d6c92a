"""SEQUOIA: Q-learning whose argmax over a coupled action set is a MILP.

Source: Xu, Wilder, Khalil, Tambe, ICLR 2025. Differences from the published code, with the reason:

* learning starts from values of the fluid relaxation instead of one-step rewards: they cover the
  whole horizon;
* states are drawn from the whole state space and from simulated episodes, not from {0, 1};
* the target network follows the online network by Polyak averaging (as published it hardly moves);
* during training the argmax is over a pool of feasible actions, for a whole batch at once;
  decisions and the periodic checks use the exact MILP.

`SequoiaSettings.paper()` follows the publication instead.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.sequoia.network import NETWORKS, QNetwork
from worldplan.planners.base import Decision, Planner
from worldplan.world_models.training.checkpoints import reading_checkpoint


@dataclass(frozen=True)
class SequoiaSettings:
    """Every number of the learning.

    Args:
        network: "state" (action weights from tables by arm, state and steps to go) or "plain" (the
            paper's MLP).
        hidden: widths of the ReLU layers.
        pretrain: targets of the first phase: "fluid", "myopic" (one-step reward) or "none".
        pretrain_steps: gradient steps of the first phase.
        solves: fluid programs behind the "fluid" targets.
        updates: gradient steps of Q-learning.
        updates_per_step: gradient steps for each step of the simulated episodes.
        episodes: episodes simulated side by side.
        replay: transitions kept.
        batch: states per gradient step.
        learning_rate: of the first phase.
        fine_learning_rate: of Q-learning.
        rate_decay: factor on the learning rate of Q-learning after each `horizon` updates; with 1
            it declines linearly instead.
        coverage: states of the first phase and of new episodes: "all" (the whole state space) or
            "start" (the start distribution).
        discount: 1 if the network sees the steps to go ("state"), below 1 if it does not.
        target_rate: weight of the online network in each update of the target network.
        explore: share of random actions at the start and at the end, falling exponentially.
        argmax: "pool" (batched search), "milp" (exact, as published) or "greedy" (component by
            component).
        pool: feasible actions in the pool.
        check_every: gradient steps between checks with exact MILP decisions.
        check_episodes: episodes of a check.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """

    network: str = "state"
    hidden: tuple[int, ...] = (16, 32)
    pretrain: str = "fluid"
    pretrain_steps: int = 1000
    solves: int = 32
    updates: int = 1000
    updates_per_step: int = 2
    episodes: int = 64
    replay: int = 20_000
    batch: int = 128
    learning_rate: float = 2e-3
    fine_learning_rate: float = 3e-4
    rate_decay: float = 1.0
    coverage: str = "all"
    discount: float = 1.0
    target_rate: float = 0.01
    explore: tuple[float, float] = (0.2, 0.05)
    argmax: str = "pool"
    pool: int = 1500
    check_every: int = 500
    check_episodes: int = 16

    def __post_init__(self) -> None:
        choices = {
            "network": tuple(NETWORKS),
            "pretrain": ("fluid", "myopic", "none"),
            "argmax": ("pool", "milp", "greedy"),
            "coverage": ("all", "start"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"sequoia.{name} is '{getattr(self, name)}': choose from {', '.join(allowed)}"
                )
        if not 0 < self.discount <= 1 or (self.discount == 1 and self.network == "plain"):
            raise ConfigError(
                f"sequoia.discount is {self.discount}: "
                "a plain network, which does not see the steps to go, needs a discount below 1"
            )
        self._check_numbers()

    def _check_numbers(self) -> None:
        """Refuse numbers out of range.

        Raises:
            ConfigError: names the setting.
        """
        for name in (
            "solves",
            "updates_per_step",
            "episodes",
            "batch",
            "pool",
            "check_every",
            "check_episodes",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"sequoia.{name} is {getattr(self, name)}: give at least 1")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(
                f"sequoia.hidden is {list(self.hidden)}: "
                "give the width of at least one layer, each at least 1"
            )
        if min(self.pretrain_steps, self.updates) < 0 or self.pretrain_steps + self.updates < 1:
            raise ConfigError(
                f"sequoia.pretrain_steps is {self.pretrain_steps} and updates {self.updates}: "
                "give 0 or more, and not 0 for both"
            )
        if self.replay < self.episodes:
            raise ConfigError(
                f"sequoia.replay is {self.replay}: "
                f"it must hold one step of all {self.episodes} episodes at least"
            )
        for name in ("learning_rate", "fine_learning_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(
                    f"sequoia.{name} is {getattr(self, name)}: give a positive number"
                )
        if not 0 < self.target_rate <= 1:
            raise ConfigError(
                f"sequoia.target_rate is {self.target_rate}: give a share above 0, at most 1"
            )
        if not all(0 <= share <= 1 for share in self.explore):
            raise ConfigError(
                f"sequoia.explore is {list(self.explore)}: give two shares between 0 and 1"
            )

    @staticmethod
    def paper() -> SequoiaSettings:
        """As published: plain network, myopic pre-training, DQN with an exact argmax in targets.

        The target network moves by 1e-6 per update and the learning rate falls tenfold every 22
        episodes. So the result is close to a one-step lookahead on a myopic model that was trained
        on start states. For comparison.
        """
        return SequoiaSettings(
            network="plain",
            pretrain="myopic",
            pretrain_steps=3000,
            updates=2000,
            updates_per_step=1,
            episodes=1,
            replay=10_000,
            batch=32,
            learning_rate=1e-3,
            fine_learning_rate=2.5e-4,
            rate_decay=0.9,
            discount=0.99,
            target_rate=1e-6,
            explore=(0.9, 0.05),
            argmax="milp",
            coverage="start",
            check_every=1000,
        )

    @staticmethod
    def greedy() -> SequoiaSettings:
        """The iterative DQN baseline as published: `paper` with a greedy argmax, without MILP."""
        return replace(SequoiaSettings.paper(), argmax="greedy")

    @staticmethod
    def repaired_greedy() -> SequoiaSettings:
        """Iterative DQN whose target network and learning rate work, and which covers all states.

        A far stronger baseline than `greedy`.
        """
        return replace(
            SequoiaSettings.greedy(),
            target_rate=0.005,
            rate_decay=1.0,
            fine_learning_rate=1e-3,
            coverage="all",
        )


def build_network(instance: BanditInstance, settings: SequoiaSettings, seed: int = 0) -> QNetwork:
    """A network with random weights for an instance; torch's random state is not changed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        make = NETWORKS[settings.network]
        network: QNetwork = make(instance.dynamics, instance.horizon, tuple(settings.hidden))
        return network


def shape_of(instance: BanditInstance) -> dict[str, int]:
    """The sizes that a checkpoint and the instance it decides for must share."""
    model = instance.dynamics
    return {
        "arms": model.arms,
        "states": model.states,
        "components": model.components,
        "horizon": instance.horizon,
    }


class SequoiaPlanner(Planner):
    """Decides with the exact MILP over a trained network.

    With several networks it maximises their minimum (pessimistic over an ensemble).

    Args:
        instance: the programme.
        networks: one, or an ensemble.
        settings: the solver; relative gap 1e-3 and 30 seconds unless given.
        bounds: of the neurons, as in `worldplan.milp.networks.argmax.NetworkArgmax`.
    """

    def __init__(
        self,
        instance: BanditInstance,
        networks: QNetwork | Sequence[QNetwork],
        settings: SolverSettings | None = None,
        *,
        bounds: str = "linear",
    ) -> None:
        self.instance = instance
        self.networks = [networks] if isinstance(networks, QNetwork) else list(networks)
        self.settings = settings or SolverSettings(gap=1e-3, time_limit=30.0)
        self._bounds = bounds
        self._argmax: NetworkArgmax | None = None

    @classmethod
    def load(
        cls,
        path: str | Path | Sequence[str | Path],
        instance: BanditInstance,
        settings: SolverSettings | None = None,
    ) -> SequoiaPlanner:
        """A planner from a checkpoint file, a training folder or a run; several for an ensemble.

        Raises:
            CheckpointError: a file is missing, damaged, or of an instance of another size.
        """
        paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(p) for p in path]
        paths = [file for p in paths for file in (best_checkpoints(p) if p.is_dir() else [p])]
        return cls(instance, [load_network(p, instance) for p in paths], settings)

    def reset(self, *, seed: int | None = None) -> None:
        """Drop the solver's session, so that an evaluation does not depend on earlier decisions."""
        self._argmax = None

    def plan_batch(self, observations: Any) -> list[Decision]:
        """One exact decision for each of the states (envs, arms) with steps_left (envs,)."""
        state, left = np.asarray(observations["state"]), np.asarray(observations["steps_left"])
        members = [network.action_networks(state, left) for network in self.networks]
        return [self._decide(list(networks)) for networks in zip(*members, strict=True)]

    def plan(self, observation: Any) -> Decision:
        """Decide for {"state": (arms,), "steps_left": int}."""
        left = observation.get("steps_left", self.instance.horizon)
        return self.plan_batch(
            {"state": np.asarray(observation["state"])[None], "steps_left": np.asarray(left)[None]}
        )[0]

    def _decide(self, networks: list[ReluNetwork]) -> Decision:
        started = time.perf_counter()
        if self._argmax is None:
            self._argmax = NetworkArgmax(
                networks, self.instance.actions, self.settings, bounds=self._bounds
            )
        best = self._argmax.maximise(networks)
        seconds = time.perf_counter() - started
        return Decision(best.action, best.value, best.bound, best.status, seconds)


def save_network(
    network: QNetwork, instance: BanditInstance, settings: SequoiaSettings
) -> dict[str, Any]:
    """The entry "sequoia" of a checkpoint: sizes, settings and weights, in plain types."""
    numbers = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}
    return {"shape": shape_of(instance), "settings": numbers, "weights": network.state_dict()}


def load_network(path: Path, instance: BanditInstance) -> QNetwork:
    """The network of a checkpoint file.

    Raises:
        CheckpointError: the file is missing, damaged, or of an instance of another size.
    """
    commands = "worldplan bandits run, or worldplan fit"
    with reading_checkpoint(path, "a SEQUOIA checkpoint", commands):
        saved = torch.load(path, weights_only=True, map_location="cpu")["sequoia"]
        numbers: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in saved["settings"].items()
        }
        settings = SequoiaSettings(**numbers)
        shape = saved["shape"]
    if shape != shape_of(instance):
        raise CheckpointError(
            f"{path}: trained for {_words(shape)}, "
            f"but this programme has {_words(shape_of(instance))}: train for it"
        )
    network = build_network(instance, settings)
    try:
        network.load_state_dict(saved["weights"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: its weights do not fit its own settings: train again or restore a copy"
        ) from error
    return network.eval()


def _words(shape: dict[str, int]) -> str:
    return ", ".join(
        f"{value} {name}" if name != "horizon" else f"horizon {value}"
        for name, value in shape.items()
    )


def best_checkpoints(folder: Path) -> list[Path]:
    """The `best.ckpt` files of one training, several if an ensemble was trained.

    Args:
        folder: of checkpoints, or a run that trained "sequoia" on one seed.

    Raises:
        CheckpointError: there is no training in the folder, or there are several.
    """
    files = sorted(folder.glob("checkpoints/sequoia-seed*/**/best.ckpt")) or sorted(
        folder.rglob("best.ckpt")
    )
    trainings = {
        path.parent.parent if path.parent.name.startswith("member") else path.parent
        for path in files
    }
    if len(trainings) != 1:
        names = ", ".join(str(path.relative_to(folder)) for path in sorted(trainings)[:3])
        what = "no best.ckpt" if not files else f"{len(trainings)} trainings ({names}, ...)"
        raise CheckpointError(
            f"{folder}: {what}: name the folder or the checkpoint file of one training"
        )
    return files
