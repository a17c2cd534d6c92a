"""Whether a simulator reproduces stored transitions: other physics, rewards, action units and
columns show in numbers, also where no specification names them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.dynamics.mujoco import MujocoDynamics
from worldplan.milp.errors import ConfigError
from worldplan.world_models.data.transitions import Transitions

ROWS = 64  # that are stepped again, and as many that terminated
TOLERANCE = 1e-4  # absolute, and relative to the stored number
# of rewards from an environment's own code: Ant reads positions that are a substep old, which no
# stored state holds (errors up to 3e-2)
OWN_REWARD_TOLERANCE = 3e-2
SHARE = 0.1  # of the rows that may be off: the solver of contacts began elsewhere


def check_simulator(model: MujocoDynamics, data: Transitions, source: str) -> None:
    """Step stored rows again, and compare.

    Args:
        model: the simulator.
        data: with simulator states.
        source: of the data, for messages.

    Raises:
        ConfigError: the states have another size, or too many rows differ; names the column and
            the difference.
    """
    assert data.state is not None
    sizes = (model.observation_size, model.action_size, model.state_size)
    stored = (data.observation.shape[1], data.action.shape[1], data.state.shape[1])
    if sizes != stored:
        raise ConfigError(
            f"{source}: the simulator of {model.env_id} has (observation, action, state) of sizes "
            f"{sizes}, the data {stored}: they do not belong together"
        )
    for rows in (_spread(np.arange(len(data))), _spread(np.flatnonzero(data.terminated))):
        if len(rows):
            _check_rows(model, data, rows, source)


def _spread(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `ROWS` of the row numbers, evenly spread."""
    places = np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(int)
    chosen: NDArray[np.int64] = rows[places]
    return chosen


def _check_rows(
    model: MujocoDynamics, data: Transitions, rows: NDArray[np.int64], source: str
) -> None:
    """Step these rows again, and compare each column.

    Raises:
        ConfigError: more than `SHARE` of the rows differ in a column.
    """
    assert data.state is not None
    step = model.step_numpy(data.state[rows], data.action[rows])
    columns = {
        "next_observation": (data.next_observation[rows], step.observation),
        "reward": (data.reward[rows, None], step.reward[:, None]),
        "terminated": (data.terminated[rows, None], step.terminated[:, None]),
    }
    for name, (stored, simulated) in columns.items():
        difference = np.abs(simulated.astype(np.float64) - stored.astype(np.float64))
        loose = name == "reward" and not model.vectorised
        tolerance = OWN_REWARD_TOLERANCE if loose else TOLERANCE
        wrong = ~(difference <= tolerance * (1 + np.abs(stored)))  # NaN counts as wrong
        if wrong.any(1).mean() <= SHARE:
            continue
        place, column = np.unravel_index(
            np.argmax(np.where(wrong, np.nan_to_num(difference, nan=np.inf), -1)), wrong.shape
        )
        where = name if stored.shape[1] == 1 else f"{name}[{column}]"
        raise ConfigError(
            f"{source}: the simulator of {model.env_id} does not reproduce the data: row "
            f"{rows[place]}, {where} is {float(stored[place, column]):.6g}, simulated "
            f"{float(simulated[place, column]):.6g} ({int(wrong.any(1).sum())} of {len(rows)} rows "
            "differ): give the environment of the data with its arguments, or set true_share to 0"
        )
