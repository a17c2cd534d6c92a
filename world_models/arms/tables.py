"""Dynamics and moves of arms, read from CSV tables."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass, replace

import numpy as np

from worldplan.envs.bandits.arms import states_of
from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
from worldplan.milp.errors import DatasetError
from worldplan.milp.tables import CsvTable, FilePath
from worldplan.world_models.arms.drift import HalfLife
from worldplan.world_models.arms.dynamics import ArmLog
from worldplan.world_models.arms.log_rows import move_columns, read_rows
from worldplan.world_models.arms.rewards import (
    arm_positions,
    first_missing,
    one_per_arm,
    own_states_in,
    read_reward_table,
)


@dataclass(frozen=True)
class ArmTables:
    """Dynamics read from tables, and the arms' ids in the order of the arrays."""

    dynamics: ArmDynamics
    arm_names: tuple[str, ...]


def read_tables(
    transitions_csv: FilePath, rewards_csv: FilePath, own_states_csv: FilePath | None = None
) -> ArmTables:
    """Dynamics from a table of transition probabilities and a table of rewards.

    Args:
        transitions_csv: CSV arm, state, action, next_state, probability; moves that are not listed
            have probability 0.
        rewards_csv: CSV arm, state, reward, or with rewards of actions
            (`worldplan.world_models.arms.rewards`); arms are ordered as they first appear here.
        own_states_csv: CSV arm, states: the number of states of each arm; None: all have the same.

    Raises:
        DatasetError: a gap, a duplicate or a bad number; names file, line and remedy.
    """
    rewards = read_reward_table(rewards_csv, own_states=own_states_csv)
    reward, names, own = rewards.reward, rewards.arm_names, rewards.own_states
    states = reward.shape[1]
    table = CsvTable(transitions_csv, ("arm", "state", "action", "next_state", "probability"))
    arm, state, action, target = move_columns(table, names, own)
    probability = table.numbers("probability")
    table.refuse(
        probability < 0,
        lambda i: f"probability {probability[i]:g} is negative",
        "give a number from 0 to 1",
    )
    actions = max(2, int(action.max()) + 1)
    case = (arm * actions + action) * states + state  # rows of one case form one distribution
    table.refuse_repeats(
        case * states + target, "this arm, state, action and next_state", "keep one of the rows"
    )
    needed = np.repeat(states_of(own, states), actions, axis=0).ravel()
    missing = first_missing(case, needed)
    if missing is not None:
        pair, s = divmod(missing, states)
        j, k = divmod(pair, actions)
        raise DatasetError(
            f"{table.path}: arm '{names[j]}', state {s}, action {k} has no rows: "
            "add its probabilities (they must sum to 1)"
        )
    total = np.bincount(case, probability)
    table.refuse(
        np.abs(total[case] - 1) > 1e-6,
        lambda i: (
            f"arm '{names[arm[i]]}', state {state[i]}, action {action[i]}: "
            f"probabilities sum to {total[case[i]]:.6g}"
        ),
        "they must sum to 1",
    )
    transition = np.zeros((len(names), actions, states, states))
    transition[arm, action, state, target] = probability / total[case]
    if rewards.action_reward is not None and actions > 2:
        raise DatasetError(
            f"{os.fspath(rewards_csv)}: rewards of actions 0 and 1, and transitions of actions 0 "
            f"to {actions - 1}: leave out the column action, or the further actions"
        )
    dynamics = ArmDynamics(transition, reward, action_reward=rewards.action_reward, own_states=own)
    return ArmTables(dynamics, names)


def read_states(csv: FilePath, arm_names: tuple[str, ...], states: int | Ints) -> Ints:
    """Present state of every arm, (arms,), from a CSV arm, state with one row per arm.

    Args:
        csv: the file.
        arm_names: of the arms.
        states: number of states of an arm, or of each arm (arms,).

    Raises:
        DatasetError: an arm is unknown, missing or repeated, or a state is not in 0..states-1.
    """
    table = CsvTable(csv, ("arm", "state"))
    arm = arm_positions(table, arm_names)
    state = own_states_in(table, "state", arm, np.broadcast_to(states, len(arm_names)), arm_names)
    return one_per_arm(table, arm, state, arm_names, "present state")


def read_log(
    csv: FilePath,
    rewards_csv: FilePath,
    *,
    levels: int | None = None,
    own_states_csv: FilePath | None = None,
) -> ArmLog:
    """Counts of the moves in a log with one row per arm and step.

    Args:
        csv: CSV arm, state, action, next_state. If it says when (date, day, week, step or time),
            rows of one arm that follow each other must agree (`world_models.arms.log_rows`). An arm
            without rows is allowed: its posterior is the prior.
        rewards_csv: as in `read_tables`; fixes arms and states.
        levels: number of actions per arm; one more than the largest in the log, at least 2, unless
            given.
        own_states_csv: as in `read_tables`.

    Raises:
        DatasetError: a bad cell; names file, line and remedy.
    """
    table = read_reward_table(rewards_csv, own_states=own_states_csv)
    log = read_moves(csv, table.reward, table.arm_names, table.own_states, levels=levels)
    if table.action_reward is not None and log.counts.shape[1] > 2:
        raise DatasetError(
            f"{os.fspath(rewards_csv)}: rewards of actions 0 and 1, and moves of action "
            f"{log.counts.shape[1] - 1}: leave out the column action, or the further actions"
        )
    return replace(log, action_reward=table.action_reward)


def read_moves(
    csv: FilePath,
    reward: Floats,
    names: tuple[str, ...],
    own_states: Ints | None = None,
    *,
    levels: int | None = None,
    half_life: HalfLife | None = None,
    today: datetime.date | None = None,
) -> ArmLog:
    """As `read_log`, of the arms `names` with the rewards `reward` (arms, states).

    `own_states` (arms,) are the numbers of states of the arms; all have `states` without. With
    `half_life`, moves are weighted by their age at `today`, or at the last row.
    """
    own = np.full(len(names), reward.shape[1]) if own_states is None else own_states
    table, (arm, state, action, target) = read_rows(csv, names, own, levels)
    counts = np.zeros(
        (len(names), levels or max(2, int(action.max()) + 1), reward.shape[1], reward.shape[1]),
        np.int64,
    )
    np.add.at(counts, (arm, action, state, target), 1)
    weights = squares = None
    if half_life is not None:
        weight = half_life.of_rows(table, today)
        weights, squares = np.zeros(counts.shape), np.zeros(counts.shape)
        np.add.at(weights, (arm, action, state, target), weight)
        np.add.at(squares, (arm, action, state, target), weight**2)
    return ArmLog(counts, reward, names, own_states=own_states, weights=weights, squares=squares)
