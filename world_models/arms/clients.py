"""The clients of a programme: those of the rewards file, and newcomers of the attributes file.

With `programme.groups`, a client may stand in the attributes alone. Then the rewards are the mean
of the client's group, of the next wider group if nobody of the group has rewards, or of everybody.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd

from worldplan.envs.bandits.environment import Floats, Ints
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.today import known, read_attributes
from worldplan.milp.tables import CsvTable
from worldplan.world_models.arms.rewards import read_reward_table

EVERYBODY = "everybody"
Moves = TypeVar("Moves", Ints, Floats)


@dataclass(frozen=True)
class Clients:
    """Who is in the files, in the order of the arrays.

    Args:
        reward: (arms, states).
        names: (arms,) ids.
        columns: of the attributes, whose texts form the groups; from the coarsest to the finest.
        codes: a group 0, 1, ... of each arm for each column, (arms,): arms of one group agree in
            this column and all before.
        newcomers: names without rewards of their own, and whose rewards they have.
        action_reward: rewards of actions, as in `ArmDynamics`; None: there are none.
        own_states: (arms,) number of states of each arm; None: all have `states`.
    """

    reward: Floats
    names: tuple[str, ...]
    columns: tuple[str, ...] = ()
    codes: tuple[Ints, ...] = ()
    texts: tuple[tuple[str, ...], ...] = ()
    newcomers: dict[str, str] = field(default_factory=dict)
    action_reward: Floats | None = None
    own_states: Ints | None = None

    def label(self, arm: int) -> str:
        """The finest group of an arm in words: "district north, needs nurse"."""
        return words(self.columns, self.texts[arm]) if self.columns else EVERYBODY


def words(columns: Sequence[str], texts: Sequence[str]) -> str:
    """Columns and their texts in words."""
    return ", ".join(f"{column} {text}" for column, text in zip(columns, texts, strict=False))


def read_clients(
    rewards: str | os.PathLike[str],
    attributes: str | None,
    columns: Sequence[str],
    own_states: str | None = None,
) -> Clients:
    """The clients of the rewards file and, with columns, the newcomers of the attributes file.

    Args:
        rewards: CSV arm, state, reward.
        attributes: CSV arm and further columns; None: there is none.
        columns: of the attributes, from the coarsest group to the finest.
        own_states: CSV arm, states: the number of states of each arm; None: all have the same.

    Raises:
        ConfigError: there are columns and no attributes, or a column is unknown or repeated.
        DatasetError: a file is missing or malformed.
    """
    given = read_reward_table(rewards, own_states=own_states)
    reward, names, extra = given.reward, given.arm_names, given.action_reward
    if not columns:
        return Clients(reward, names, action_reward=extra, own_states=given.own_states)
    if attributes is None:
        raise ConfigError(
            "programme.groups needs constraint.attributes: a CSV with arm and the columns "
            f"{', '.join(columns)}"
        )
    if len(set(columns)) < len(columns):
        raise ConfigError(f"programme.groups {', '.join(columns)}: name each column once")
    listed = list(dict.fromkeys(CsvTable(attributes, ("arm",)).text("arm")))
    new = tuple(name for name in listed if name not in set(names))
    everybody = names + new
    table = read_attributes(attributes, everybody)
    for column in columns:
        known(column, table, "programme.groups: column of constraint.attributes")
    texts = tuple(tuple(table[column][name] for column in columns) for name in everybody)
    codes = tuple(
        pd.factorize(pd.Series([text[: level + 1] for text in texts]))[0].astype(np.int64)
        for level in range(len(columns))
    )
    grown, source = _rewards_of_newcomers(reward, codes, len(new))
    if extra is not None:
        extra, _ = _rewards_of_newcomers(extra, codes, len(new))
    own = _states_of_newcomers(given.own_states, codes, source, new)
    whose = {
        name: words(columns[:level], texts[len(names) + i]) or EVERYBODY
        for i, (name, level) in enumerate(zip(new, source, strict=True))
    }
    return Clients(grown, everybody, tuple(columns), codes, texts, whose, extra, own)


def _rewards_of_newcomers(
    reward: Floats, codes: tuple[Ints, ...], newcomers: int
) -> tuple[Floats, list[int]]:
    """The rewards (arms, ...) with a row for each newcomer, and the level of the group that it is
    the mean of: 0 for everybody.
    """
    rows, source, old = [reward], [], len(reward)
    for arm in range(old, old + newcomers):
        alike = [np.ones(old, bool), *(code[:old] == code[arm] for code in codes)]
        level = max(number for number, rows_ in enumerate(alike) if rows_.any())
        rows.append(reward[alike[level]].mean(0, keepdims=True))
        source.append(level)
    return np.concatenate(rows), source


def _states_of_newcomers(
    own: Ints, codes: tuple[Ints, ...], source: Sequence[int], names: Sequence[str]
) -> Ints:
    """Numbers of states with those of the newcomers, which are those of their group.

    Args:
        own: (arms,) of the arms with rewards.
        codes: of the groups.
        source: level of the group of each newcomer, 0 for everybody.
        names: of the newcomers.

    Raises:
        DatasetError: arms of the group have different numbers of states.
    """
    numbers, old = list(own), len(own)
    for i, (name, level) in enumerate(zip(names, source, strict=True)):
        code = codes[level - 1] if level else np.zeros(old + len(names), np.int64)
        alike = own[code[:old] == code[old + i]]
        if len(set(alike.tolist())) > 1:
            raise DatasetError(
                f"client '{name}' has no rewards, and clients of the same group have "
                f"{alike.min()} to {alike.max()} states: add rewards for each state of '{name}'"
            )
        numbers.append(alike[0])
    return np.array(numbers, np.int64)


def with_newcomers(clients: Clients, counts: Moves, names: tuple[str, ...]) -> Moves:
    """Counts (arms, ...) of the arms `names` in the clients' order; zeros for those without."""
    if names == clients.names:
        return counts
    place = pd.Index(names).get_indexer(pd.Index(clients.names))
    grown = counts[place]
    grown[place < 0] = 0
    return grown
