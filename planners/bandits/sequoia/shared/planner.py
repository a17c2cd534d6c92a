"""Decisions by a network of shared weights, for the clients of its training or for others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.milp.errors import CheckpointError
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.level_maximiser import LevelMaximiser
from worldplan.planners.bandits.models import Dynamics, models_of
from worldplan.planners.bandits.observations import belief_of, steps_left_of
from worldplan.planners.bandits.sequoia.checkpoint_files import TRAIN, Saved, checkpoint_files, read
from worldplan.planners.bandits.sequoia.settings import refuse_unsuited
from worldplan.planners.bandits.sequoia.shared.arm_values import STARTS, ArmValues, kind_of
from worldplan.planners.bandits.sequoia.shared.features import ArmFeatures
from worldplan.planners.bandits.sequoia.shared.network import SharedQNetwork
from worldplan.planners.bandits.units import Units, annuity
from worldplan.planners.base import Decision, Planner
from worldplan.world_models.training.checkpoints import load_weights, reading_checkpoint

ENTRY = "shared"  # of a checkpoint's entry "sequoia"


class SharedPlanner(Planner):
    """Maximises the sum of the arms' values over the action set, exactly.

    With a belief, an arm's value is the mean over its states. With several networks, or an ensemble
    of models, the mean of all values counts.

    Args:
        instance: the programme.
        networks: one or several, trained on this programme or another one.
        settings: the solver; relative gap 1e-3 and 30 seconds unless given.
        dynamics: another model than the instance's, or an ensemble.
        later: the feasible actions of the days after today; those of the instance unless given.
        features: of each model in planned rewards, where they are known already.

    Raises:
        ConfigError: dynamics that do not fit the instance, or a programme whose rewards are
            discounted or whose arms end before the horizon.
        SolverFailed: no prices of interventions within the time limit.
    """

    def __init__(
        self,
        instance: BanditInstance,
        networks: SharedQNetwork | Sequence[SharedQNetwork],
        settings: SolverSettings | None = None,
        *,
        dynamics: Dynamics = None,
        later: ActionSet | None = None,
        features: Sequence[ArmFeatures] | None = None,
    ) -> None:
        started = time.perf_counter()
        refuse_unsuited(instance, "shared")
        self.instance = instance
        self.settings = settings or SolverSettings(gap=1e-3, time_limit=30.0)
        self.networks = [networks] if isinstance(networks, SharedQNetwork) else list(networks)
        models = models_of(instance, dynamics)
        self._units = Units.of(models)
        if features is None:
            days = replace(instance, actions=instance.actions if later is None else later)
            planned = [replace(days, dynamics=self._units.plan(model)) for model in models]
            features = [ArmFeatures(ArmValues(each, self.settings)) for each in planned]
        self._features = list(features)
        self._maximiser = LevelMaximiser(instance, self.settings)
        self._spent = time.perf_counter() - started  # counts as the first decision's

    @classmethod
    def load(
        cls,
        path: str | Path | Sequence[str | Path],
        instance: BanditInstance,
        settings: SolverSettings | None = None,
        *,
        dynamics: Dynamics = None,
        later: ActionSet | None = None,
    ) -> SharedPlanner:
        """A planner from a checkpoint file, a training folder or a run; several for an ensemble.

        Args:
            path: of one or several.
            instance: the programme; its clients need not be those of the training.
            settings: as in the class, here and below.
            dynamics: another model, or an ensemble.
            later: of the days after today.

        Raises:
            CheckpointError: a file is missing, damaged, or of a programme whose arms have other
                features.
        """
        networks = [network_of(read(file), instance) for file in checkpoint_files(path)]
        planner = cls(instance, networks, settings, dynamics=dynamics, later=later)
        planner._refuse_missing_start(path)
        return planner

    def plan(self, observation: Any) -> Decision:
        """Decide for {"state": (arms,), "steps_left": int}, or with "belief" (arms, states).

        Raises:
            WorldplanError: the observation is not one of the instance.
        """
        started = time.perf_counter()
        values, constant = self._planned(observation)
        spent, self._spent = self._spent + time.perf_counter() - started, 0.0
        remaining = max(self._maximiser.time_limit - spent, 1.0)
        decision = self._maximiser.maximise(values, time_limit=remaining)
        left = steps_left_of(self.instance, observation)
        value, bound = (
            None if number is None else self._units.total(number + constant, left)
            for number in (decision.value, decision.bound)
        )
        seconds = time.perf_counter() - started
        return replace(decision, value=value, bound=bound, seconds=seconds)

    def action_values(self, observation: Any) -> Floats:
        """Values of each arm's levels, (arms, levels), in the unit of the rewards; their sum is the
        return that the network predicts.
        """
        values, constant = self._planned(observation)
        left = steps_left_of(self.instance, observation)
        each = self._units.unit * (values + constant / len(values))
        return np.asarray(each + annuity(left, 1.0) * self._units.low[:, None])

    def _planned(self, observation: Any) -> tuple[Floats, float]:
        """Values (arms, levels) in planned rewards, and the constant that their sum lacks."""
        share = belief_of(self.instance, observation)
        left = steps_left_of(self.instance, observation)
        values, constants = [], []
        for features in self._features:
            for network in self.networks:
                each, constant = network.level_values(features, share, left)
                values.append(each)
                constants.append(constant)
        return np.mean(values, axis=0), float(np.mean(constants))

    def _refuse_missing_start(self, path: object) -> None:
        """Refuse networks that begin with values which this programme does not have.

        Raises:
            CheckpointError: names the file and the values.
        """
        known = self._features[0].tables.starts
        for network in self.networks:
            if network.start not in (*known, "none"):
                raise CheckpointError(
                    f"{path}: its values begin with those of groups of arms (start "
                    f"'{network.start}'), and the interventions of this programme do not form "
                    "groups: train for it"
                )


def shared_entry(network: SharedQNetwork, horizon: int) -> dict[str, Any]:
    """What a checkpoint needs to be used for another programme, in plain types."""
    return {
        "kind": network.kind,
        "start": network.start,
        "horizon": horizon,
        "features": list(ArmFeatures.names_of(network.kind)),
    }


def network_of(saved: Saved, instance: BanditInstance) -> SharedQNetwork:
    """The network of a checkpoint, for the arms of another programme or the same.

    Raises:
        CheckpointError: the checkpoint is of another kind of network, its features are not those of
            the programme's arms, or the programme is longer.
    """
    path, kind = saved.path, kind_of(instance)
    if saved.settings.network != "shared":
        raise CheckpointError(
            f"{path}: its network ('{saved.settings.network}') has weights of its own for each "
            "client: train with sequoia.network: shared"
        )
    with reading_checkpoint(path, "a SEQUOIA checkpoint", TRAIN):
        entry = saved.entry[ENTRY]
        trained, start, horizon = str(entry["kind"]), str(entry["start"]), int(entry["horizon"])
        names = [str(name) for name in entry["features"]]
    words = {
        "pulls": "arms that are visited or not",
        "levels": "arms that several interventions reach",
    }
    if trained != kind:
        raise CheckpointError(
            f"{path}: trained on {words.get(trained, trained)}, but this programme has "
            f"{words[kind]}: train for it"
        )
    if names != list(ArmFeatures.names_of(kind)) or start not in (*STARTS[kind], "none"):
        raise CheckpointError(
            f"{path}: made by another version, whose features of arms differ: train again"
        )
    if instance.horizon > horizon:
        raise CheckpointError(
            f"{path}: trained for up to {horizon} steps to go, but this programme has a horizon of "
            f"{instance.horizon}: set programme.horizon to {horizon} at most, or train for it"
        )
    with reading_checkpoint(path, "a SEQUOIA checkpoint", TRAIN):
        network = SharedQNetwork(kind, tuple(saved.settings.hidden))
        load_weights(network, saved.weights, path)
    network.start = start
    return network.eval()
