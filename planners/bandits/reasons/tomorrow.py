"""Tomorrow's state of an arm with and without a visit today."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, Floats


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
