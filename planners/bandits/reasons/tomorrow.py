"""Tomorrow's state of an arm with and without a visit today."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, Floats
from worldplan.planners.bandits.reasons.results import ClientReason, Reasons


def tomorrow(dynamics: ArmDynamics, belief: Floats, component: int) -> dict[str, Any]:
    """The fields of a `ClientReason` on states: today's, means and distributions of tomorrow's.

    Args:
        dynamics: of the arms.
        belief: (arms, states) of today, one-hot where the state is known.
        component: of the action; an intervention, which reaches several arms, has no state.
    """
    if dynamics.effect is not None:
        return {
            "state": None,
            "expected_state_with": None,
            "expected_state_without": None,
            "next_with": (),
            "next_without": (),
        }
    now = belief[component]
    without, after = (now @ dynamics.transition[component, level] for level in (0, 1))
    numbers = np.arange(dynamics.states)
    return {
        "state": int(now.argmax()) if now.max() == 1 else None,
        "expected_state_with": float(after @ numbers),
        "expected_state_without": float(without @ numbers),
        "next_with": tuple(after.tolist()),
        "next_without": tuple(without.tolist()),
    }


def with_states(
    reasons: Reasons, dynamics: ArmDynamics, belief: Floats, names: tuple[str, ...]
) -> Reasons:
    """The reasons of a plan in belief states, with the arms' own states of today and tomorrow.

    Args:
        reasons: of the plan.
        dynamics: of the arms' own states.
        belief: (arms, states) of today.
        names: of the arms.
    """
    number = {name: arm for arm, name in enumerate(names)}

    def own(whys: tuple[ClientReason, ...]) -> tuple[ClientReason, ...]:
        return tuple(
            dataclasses.replace(why, **tomorrow(dynamics, belief, number[why.name])) for why in whys
        )

    return dataclasses.replace(
        reasons, chosen=own(reasons.chosen), not_chosen=own(reasons.not_chosen)
    )
