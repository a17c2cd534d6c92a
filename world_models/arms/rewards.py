"""Rewards of arms and costs of visits, read from CSV tables.

A table of rewards has one of three headers. What the column of the state means follows the tables
of transitions (arm, state, action, next_state, probability):

* arm, state, reward: the reward of the state moved to, whatever was done;
* arm, state, action, reward: r(s, a), earned each time `action` is taken in `state`;
* arm, next_state, action, reward: the reward of the state moved to under `action`.

Every arm has a reward for each state 0, 1, ... of the table. Where arms have different
numbers of states, another table (arm, states) has the number of each, so that a forgotten row of
rewards is found. In the arrays, the states that an arm does not have repeat state 0.

A cost of visits (arm, cost, in the unit of the reward) is subtracted at each visit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from worldplan.envs.bandits.arms import Floats, Ints, states_of
from worldplan.milp.errors import DatasetError
from worldplan.milp.tables import CsvTable, FilePath

FEWER = "if arms have different numbers of states, give them in programme.own_states: arm, states"


@dataclass(frozen=True)
class RewardTable:
    """Rewards of all arms.

    Args:
        reward: (arms, states) of the state moved to, whatever was done.
        arm_names: ids in the order of their first rows.
        own_states: (arms,) number of states of each arm.
        action_reward: as in `worldplan.envs.bandits.environment.ArmDynamics`, if the table has the
            column `action`.
    """

    reward: Floats
    arm_names: tuple[str, ...]
    own_states: Ints
    action_reward: Floats | None = None


def read_reward_table(
    csv: FilePath, levels: int = 2, own_states: FilePath | None = None
) -> RewardTable:
    """Rewards, and the arms' ids in the order of their first rows.

    Args:
        csv: one of the tables above.
        levels: actions 0 to levels - 1, each of which has a row if there is a column `action`.
        own_states: CSV arm, states: the number of states of each arm; None: all have the same.

    Raises:
        DatasetError: an arm has no reward for a state or an action, or a row is wrong.
    """
    table = CsvTable(csv, ("arm", "reward"), ("state", "next_state", "action"))
    names = ["state", "next_state"] if "action" in table.columns else ["state"]
    if set(names) <= set(table.columns):
        if len(names) == 2:
            raise DatasetError(
                f"{table.path}, line 1: the columns state and next_state: keep state if the reward "
                "is that of the action taken in it, next_state if it is that of the state moved to"
            )
        column = "state"
    else:
        column = next((name for name in names if name in table.columns), "state")
    kept = ("arm", column, *(("action",) if "action" in table.columns else ()), "reward")
    table = CsvTable(csv, kept)  # raises if a column is missing, or a cell is empty
    arm, ids = pd.factorize(table.text("arm"))
    state, value = table.integers(column), table.numbers("reward")
    action = table.integers("action", levels) if "action" in kept else None
    arm_names = tuple(str(name) for name in ids)
    own = np.full(len(ids), int(state.max()) + 1)
    if own_states is not None:
        own = _read_own_states(own_states, arm_names)
        refuse_foreign_states(table, column, arm, state, own, arm_names)
    arms, states = len(ids), int(own.max())
    shape = (arms, levels if action is not None else 1, states)
    full = _filled(table, (arm, state, action), value, shape, own, arm_names, column)
    full = np.where(states_of(own, states)[:, None], full, full[..., :1])
    if action is None:
        return RewardTable(full[:, 0], arm_names, own)
    extra = full[..., None] if column == "state" else full[:, :, None, :]
    return RewardTable(np.zeros((arms, states)), arm_names, own, extra)


def _read_own_states(csv: FilePath, names: tuple[str, ...]) -> Ints:
    """Number of states of each arm, (arms,), from a CSV arm, states with one row per arm.

    Raises:
        DatasetError: an arm is unknown, missing or repeated, or the number is below 1.
    """
    table = CsvTable(csv, ("arm", "states"))
    arm, given = arm_positions(table, names), table.integers("states")
    table.refuse(given < 1, lambda i: f"states {given[i]}", "give at least 1")
    return one_per_arm(table, arm, given, names, "number of states")


def _filled(
    table: CsvTable,
    case: tuple[Ints, Ints, Ints | None],
    value: Floats,
    shape: tuple[int, int, int],
    own: Ints,
    names: tuple[str, ...],
    column: str,
) -> Floats:
    """The values as an array (arms, levels, states); levels is 1 without actions.

    Args:
        table: of the rows, for messages.
        case: arm, state and action of each row, (rows,) each.
        value: (rows,).
        shape: (arms, levels, states).
        own: (arms,) number of states of each arm.
        names: of the arms.
        column: of the states.

    Raises:
        DatasetError: a case has two rows, or none.
    """
    (arm, state, action), (arms, levels, states) = case, shape
    code = arm * states + state
    if action is not None:
        code = code * levels + action
    what = f"this arm{',' if action is not None else ' and'} {column}"
    table.refuse_repeats(
        code, what + (" and action" if action is not None else ""), "keep one of the rows"
    )
    needed = np.repeat(states_of(own, states).ravel(), levels)
    missing = first_missing(code, needed)
    if missing is not None:
        place, k = divmod(missing, levels)
        j, s = divmod(place, states)
        if action is None:
            raise DatasetError(
                f"{table.path}: arm '{names[j]}' has no reward for state {s}: "
                f"it needs a row for each of its states 0 to {own[j] - 1} ({FEWER})"
            )
        raise DatasetError(
            f"{table.path}: arm '{names[j]}' has no reward for {column} {s}, action {k}: "
            f"it needs a row for each of its states 0 to {own[j] - 1} and each action 0 to "
            f"{levels - 1} (without the column action, a reward holds for every action; {FEWER})"
        )
    full = np.zeros((arms, states, levels))
    full.reshape(-1)[code] = value
    return np.ascontiguousarray(full.transpose(0, 2, 1))


def read_visit_costs(csv: FilePath, names: tuple[str, ...], own: Ints) -> Floats:
    """Cost of a visit of each arm in each of today's states, (arms, states).

    Args:
        csv: CSV arm, cost with one row per arm; or arm, state, cost, where the cost depends on the
            state in which the arm is visited.
        names: of the arms.
        own: (arms,) number of states of each arm; `states` is the largest.

    Raises:
        DatasetError: an arm is unknown, missing or repeated, or a cost is negative.
    """
    table = CsvTable(csv, ("arm", "cost"), ("state",))
    arm, cost = arm_positions(table, names), table.numbers("cost")
    table.refuse(
        cost < 0,
        lambda i: f"cost {cost[i]:g} is negative",
        "give 0 or more; what a visit earns belongs in the rewards, with the column action",
    )
    by_state = "state" in table.columns
    if by_state:
        table = CsvTable(csv, ("arm", "state", "cost"))
    states = int(own.max())
    per, own = (states, own) if by_state else (1, np.ones_like(own))
    state = (
        own_states_in(table, "state", arm, own, names) if by_state else np.zeros(len(arm), np.int64)
    )
    what = "this arm and state" if by_state else "this arm"
    table.refuse_repeats(arm * per + state, what, "keep one of the rows")
    missing = first_missing(arm * per + state, states_of(own, per).ravel())
    if missing is not None:
        j, s = divmod(missing, per)
        where = f" in state {s}" if by_state else ""
        raise DatasetError(
            f"{table.path}: arm '{names[j]}' has no cost of a visit{where}: add a row, with cost 0 "
            "if a visit costs nothing"
        )
    full = np.zeros((len(names), per))
    full[arm, state] = cost
    full = np.where(states_of(own, per), full, full[:, :1])
    return np.broadcast_to(full, (len(names), states)).copy()


def with_visit_costs(action_reward: Floats | None, cost: Floats, levels: int = 2) -> Floats:
    """Rewards of actions less the cost of each visit.

    Args:
        action_reward: as in `ArmDynamics`, or None.
        cost: (arms, states) of a visit in today's state.
        levels: of the arms; all but level 0 are visits.
    """
    arms, states = cost.shape
    less = np.zeros((arms, levels, states, 1))
    less[:, 1:] = -cost[:, None, :, None]
    return less if action_reward is None else action_reward + less


def arm_positions(table: CsvTable, names: tuple[str, ...]) -> Ints:
    """Positions among `names` of the ids in the column "arm", (rows,).

    Raises:
        DatasetError: an id is none of the names; names the line.
    """
    ids = table.text("arm")
    arm = pd.Index(names).get_indexer(pd.Index(ids))
    table.refuse(
        arm < 0,
        lambda i: f"unknown arm '{ids.iloc[i]}'",
        "use an id listed in the rewards table, or add its rewards there",
    )
    return arm.astype(np.int64)


def one_per_arm(
    table: CsvTable, arm: Ints, values: Ints, names: tuple[str, ...], what: str
) -> Ints:
    """The values (rows,) in the order of the arms, (arms,).

    Args:
        table: with one row per arm.
        arm: (rows,) position of the arm.
        values: (rows,).
        names: of the arms.
        what: the values are, for a message.

    Raises:
        DatasetError: an arm has two rows, or none.
    """
    table.refuse_repeats(arm, "this arm", "keep one row per arm")
    missing = first_gap(arm, len(names))
    if missing is not None:
        raise DatasetError(f"{table.path}: arm '{names[missing]}' has no row: add its {what}")
    ordered = np.empty(len(names), np.int64)
    ordered[arm] = values
    return ordered


def own_states_in(
    table: CsvTable, column: str, arm: Ints, own: Ints, names: tuple[str, ...]
) -> Ints:
    """A column of states that the arms of the rows have, (rows,).

    Args:
        table: with the column.
        column: its name.
        arm: (rows,) position of the arm.
        own: (arms,) number of states of each arm.
        names: of the arms.

    Raises:
        DatasetError: a state is none of its arm; names the line.
    """
    state = table.integers(column, int(own.max()))
    refuse_foreign_states(table, column, arm, state, own, names)
    return state


def refuse_foreign_states(
    table: CsvTable, column: str, arm: Ints, state: Ints, own: Ints, names: tuple[str, ...]
) -> None:
    """Refuse a state in `state` (rows,) that its arm does not have; arguments as above.

    Raises:
        DatasetError: names the line.
    """
    table.refuse(
        state >= own[arm],
        lambda i: f"{column} {state[i]}: arm '{names[arm[i]]}' has states 0 to {own[arm[i]] - 1}",
        "correct the state, or programme.own_states and the rewards",
    )


def first_missing(codes: Ints, needed: NDArray[np.bool_]) -> int | None:
    """Smallest number that `needed` (count,) marks and that is absent from `codes` (rows,)."""
    absent = needed.copy()
    absent[codes] = False
    return int(absent.argmax()) if absent.any() else None


def first_gap(codes: Ints, count: int) -> int | None:
    """Smallest number of 0..count-1 that is absent from `codes` (rows,), or None."""
    present = np.unique(codes)
    if len(present) == count:
        return None
    gaps = np.flatnonzero(present != np.arange(len(present)))
    return int(gaps[0]) if len(gaps) else len(present)
