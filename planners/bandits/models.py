"""The models of the arms that a planner sees: the instance's own, another one, or an ensemble."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance

Dynamics = ArmDynamics | Sequence[ArmDynamics] | None


def models_of(instance: BanditInstance, dynamics: Dynamics) -> list[ArmDynamics]:
    """The members of an ensemble, or the one model; the instance's own if `dynamics` is None."""
    if dynamics is None:
        return [instance.dynamics]
    return [dynamics] if isinstance(dynamics, ArmDynamics) else list(dynamics)


def mean_dynamics(models: Sequence[ArmDynamics]) -> ArmDynamics:
    """Mean transition probabilities and rewards of several models of the same arms."""
    first = models[0]
    return ArmDynamics(
        np.mean([model.transition for model in models], axis=0),
        np.mean([model.reward for model in models], axis=0),
        first.effect,
        first.strengths,
    )
