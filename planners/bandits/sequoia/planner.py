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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.milp.errors import CheckpointError
from worldplan.milp.networks.argmax import NetworkArgmax
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.session import Lock
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.level_maximiser import LevelMaximiser
from worldplan.planners.bandits.observations import state_of, steps_left_of
from worldplan.planners.bandits.sequoia.checkpoint_files import (
    TRAIN,
    Saved,
    checkpoint_files,
    read,
)
from worldplan.planners.bandits.sequoia.network import NETWORKS, QNetwork
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.bandits.sequoia.shared.arm_values import kind_of
from worldplan.planners.bandits.sequoia.shared.network import SharedQNetwork
from worldplan.planners.base import Decision, Planner
from worldplan.world_models.training.checkpoints import load_weights, reading_checkpoint


def build_network(instance: BanditInstance, settings: SequoiaSettings, seed: int = 0) -> QNetwork:
    """A network with random weights for an instance; torch's random state is not changed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if settings.network == "shared":
            return SharedQNetwork(kind_of(instance), tuple(settings.hidden))
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
        self._linear: LevelMaximiser | None = None
        self._lock = Lock()

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
        return cls(instance, [load_network(p, instance) for p in checkpoint_files(path)], settings)

    def plan(self, observation: Any) -> Decision:
        """Decide for {"state": (arms,), "steps_left": int}.

        Raises:
            WorldplanError: the observation is not one of the instance.
            SolverFailed: the solver stopped without a solution, or contradicts the networks.
        """
        started = time.perf_counter()
        if len(self.networks) == 1:
            state, left = (
                state_of(self.instance, observation),
                steps_left_of(self.instance, observation),
            )
            separable = self.networks[0].separable_values(state, left)
            if separable is not None:
                return self._decide_linearly(*separable, started)
        return self._decide(self.action_networks(observation))

    def action_networks(self, observation: Any) -> list[ReluNetwork]:
        """A network of the action for each member of the ensemble, for {"state", "steps_left"}.

        Raises:
            WorldplanError: the observation is not one of the instance.
        """
        state = state_of(self.instance, observation)[None].copy()
        left = np.array([steps_left_of(self.instance, observation)])
        return [network.action_networks(state, left)[0] for network in self.networks]

    def _decide(self, networks: list[ReluNetwork]) -> Decision:
        started = time.perf_counter()
        with self._lock:
            if self._argmax is None:
                self._argmax = NetworkArgmax(
                    networks, self.instance.actions, self.settings, bounds=self._bounds
                )
        remaining = self.settings.time_limit - (time.perf_counter() - started)
        best = self._argmax.maximise(networks, time_limit=remaining)
        seconds = time.perf_counter() - started
        return Decision(best.action, best.value, best.bound, best.status, seconds, gap=best.gap)

    def _decide_linearly(self, values: Floats, constant: float, started: float) -> Decision:
        """Decide as the policy that a start stands for, which no training improved: by a program
        without neurons, which the solver proves with less left over than its gap.

        Args:
            values: (arms, levels).
            constant: that their sum lacks.
            started: on `time.perf_counter`.
        """
        with self._lock:
            if self._linear is None:
                self._linear = LevelMaximiser(self.instance, self.settings)
        remaining = self.settings.time_limit - (time.perf_counter() - started)
        best = self._linear.maximise(values, remaining)
        assert best.value is not None and best.bound is not None
        seconds = time.perf_counter() - started
        value, bound = constant + best.value, constant + best.bound
        return replace(best, value=value, bound=bound, seconds=seconds)


def save_network(
    network: QNetwork, instance: BanditInstance, settings: SequoiaSettings
) -> dict[str, Any]:
    """The entry "sequoia" of a checkpoint: sizes, settings, units and weights, in plain types."""
    numbers = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}
    return {
        "shape": shape_of(instance),
        "arms": list(instance.arm_names),
        "settings": numbers,
        "units": [float(network.unit), float(network.constant)],
        "constants": None if network.constants is None else torch.as_tensor(network.constants),
        "discount": float(instance.discount),
        "ends": instance.ends is not None,
        "weights": network.state_dict(),
    }


def load_network(path: Path, instance: BanditInstance) -> QNetwork:
    """The network of a checkpoint file.

    Raises:
        CheckpointError: the file is missing, damaged, or of an instance of another size or with
            other arms.
    """
    saved = read(path)
    if saved.settings.network == "shared":
        raise CheckpointError(
            f"{path}: its network has weights that all clients share: load it with SharedPlanner"
        )
    shape = saved.shape
    if shape != shape_of(instance):
        raise CheckpointError(
            f"{path}: trained for {_words(shape)}, "
            f"but this programme has {_words(shape_of(instance))}: train for it, or train with "
            "sequoia.network: shared, which also decides for other clients"
        )
    _refuse_other_arms(saved, instance)
    _refuse_other_returns(saved, instance)
    with reading_checkpoint(path, "a SEQUOIA checkpoint", TRAIN):
        network = build_network(instance, saved.settings)
        load_weights(network, saved.weights, path)
    network.unit, network.constant = saved.units
    constants = saved.entry.get("constants")
    network.constants = None if constants is None else constants.numpy()
    return network.eval()


def _refuse_other_arms(saved: Saved, instance: BanditInstance) -> None:
    """Refuse a network whose weights are those of other arms, or of the same in another order.

    Raises:
        CheckpointError: names the first one.
    """
    pairs = zip(saved.arms, instance.arm_names, strict=False)  # no names: arms cannot be told apart
    for place, (before, now) in enumerate(pairs):
        if before != now:
            raise CheckpointError(
                f"{saved.path}: arm {place} was '{before}' in its training and is '{now}' in this "
                "programme: train for it, or train with sequoia.network: shared, which also "
                "decides for other clients"
            )


def _refuse_other_returns(saved: Saved, instance: BanditInstance) -> None:
    """Refuse a network that learned returns with another discount, or of arms without ends.

    Raises:
        CheckpointError: names the setting.
    """
    discount = float(saved.entry.get("discount", 1.0))
    if discount != instance.discount:
        raise CheckpointError(
            f"{saved.path}: trained with programme.discount {discount:g}, and this programme has "
            f"{instance.discount:g}: train for it"
        )
    if instance.ends is not None and not saved.entry.get("ends", False):
        raise CheckpointError(
            f"{saved.path}: trained for clients who stay to the horizon, and this programme has "
            "programme.ends: train for it"
        )


def _words(shape: dict[str, int]) -> str:
    return ", ".join(
        f"{value} {name}" if name != "horizon" else f"horizon {value}"
        for name, value in shape.items()
    )
