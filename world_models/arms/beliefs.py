"""Today's states of arms that were not all seen today, as distributions ("beliefs").

An arm was last seen n days ago in state s, and got the action k on that day and none since. Then
the belief is the row

    b = e_s P_k P_0^(n-1)         n >= 1;        b = e_s if n = 0

of its transition matrices (Smallwood and Sondik 1973 without observations). Arms move independently
given their actions, so the joint distribution is the product of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.tables import CsvTable, FilePath
from worldplan.world_models.arms.rewards import (
    arm_positions,
    first_gap,
    own_states_in,
    refuse_foreign_states,
)

REMEDY = "give state, or last_state and days_since"


class UnseenStates(dict[str, Any]):
    """An observation {"belief": (arms, states), "steps_left": int}; reading "state" is refused."""

    def __missing__(self, key: str) -> Any:
        if key != "state":
            raise KeyError(key)
        raise ConfigError(
            "the policy reads observation['state'], and not all states are known today: let it "
            "read observation['belief'] (arms, states), or choose fluid, myopic or whittle"
        )


@dataclass(frozen=True)
class PresentStates:
    """What is known of every arm's state today.

    Args:
        belief: (arms, states) distribution of today's state; one 1 in the row of a known state.
        days: (arms,) days since the arm was seen; 0 if it was seen today, -1 where the file gives
            an uncertain belief alone.
    """

    belief: Floats
    days: Ints

    @property
    def known(self) -> Ints:
        """(arms,) today's state, -1 where the arm was not seen today."""
        return np.where(self.days == 0, self.belief.argmax(-1), -1)

    def observation(self, steps_left: int) -> dict[str, Any]:
        """What policies see: "state" (arms,) or, if an arm was not seen, "belief" (arms, states).

        Args:
            steps_left: days that remain.
        """
        known = self.known
        if (known < 0).any():
            return UnseenStates(belief=self.belief, steps_left=steps_left)
        return {"state": known, "steps_left": steps_left}

    def words(self, arm: int) -> str:
        """ "not seen for 3 days: most likely state 2 (61 %)"; "" for an arm seen today."""
        days = int(self.days[arm])
        if days == 0:
            return ""
        return unseen_words(self.belief[arm], days if days > 0 else None, "not seen today")


def unseen_words(belief: Sequence[float] | Floats, days: int | None, otherwise: str) -> str:
    """ "not seen for 3 days: most likely state 2 (61 %)".

    Args:
        belief: (states,) distribution of today's state.
        days: since the arm was seen; None: it is not known.
        otherwise: the words for None.
    """
    seen = otherwise
    if days is not None:
        seen = f"not seen for {days} day{'' if days == 1 else 's'}"
    likely = int(np.argmax(belief))
    return f"{seen}: most likely state {likely} ({100 * belief[likely]:.0f} %)"


def belief_after(dynamics: ArmDynamics, state: Ints, days: Ints, first: Ints) -> Floats:
    """Today's distribution (arms, states) of arms that were last seen some days ago.

    Args:
        dynamics: of the arms.
        state: (arms,) in which each was last seen.
        days: (arms,) since then; 0: seen today.
        first: (arms,) level of the action on the day last seen; level 0 followed.

    Raises:
        DatasetError: an argument has another length or type, or is out of range.
    """
    arms, states = dynamics.arms, dynamics.states
    state = checks.whole_numbers(state, "state", (arms,), least=0, most=states - 1)
    days = checks.whole_numbers(days, "days", (arms,), least=0)
    first = checks.whole_numbers(first, "first", (arms,), least=0, most=dynamics.levels - 1)
    belief: Floats = np.eye(states)[state]
    belief = np.where(days[:, None] > 0, dynamics.after(belief, first), belief)
    left, power = np.maximum(days - 1, 0), dynamics.transition[:, 0]
    while left.any():  # P^n by repeated squaring
        moved = np.einsum("js,jst->jt", belief, power)
        belief = np.where(left[:, None] % 2 > 0, moved, belief)
        left, power = left // 2, power @ power
    return np.asarray(belief / belief.sum(-1, keepdims=True))


def read_present(csv: FilePath, arm_names: tuple[str, ...], dynamics: ArmDynamics) -> PresentStates:
    """Today's states of all arms from a CSV in one of two forms.

    * arm, state, with one row per arm. Where `state` is empty, `last_state` and `days_since` give
      the state in which the arm was last seen, and how many days ago. The optional `visited_then`
      is its action on that day, 0 unless given; it was not visited on the days after.
    * arm, state, probability: the belief itself. States without a row have probability 0.

    Args:
        csv: the file.
        arm_names: the arms, in the order of the dynamics.
        dynamics: for the days since an arm was seen.

    Raises:
        DatasetError: an arm is unknown, missing or repeated, a state is unknown and there is none
            from an earlier day, or a number is out of range; names file, line and remedy.
    """
    optional = ("state", "last_state", "days_since", "visited_then", "probability")
    table = CsvTable(csv, ("arm",), optional)
    if "probability" in table.columns:
        other = sorted({"last_state", "days_since", "visited_then"} & set(table.columns))
        if other:
            raise DatasetError(
                f"{table.path}, line 1: the columns probability and {other[0]} are two ways to say "
                "a state that was not seen: keep one of them"
            )
        return _beliefs(table, arm_names, dynamics)
    if not {"state", "last_state"} & set(table.columns):
        table = CsvTable(csv, ("arm", "state"))  # raises
    rows = arm_positions(table, arm_names)
    table.refuse_repeats(rows, "this arm", "keep one row per arm")
    state, days, first = _seen(table, arm_names, dynamics)
    missing = first_gap(rows, len(arm_names))
    if missing is not None:
        raise DatasetError(
            f"{table.path}: arm '{arm_names[missing]}' has no row: add its present state, or its "
            "last_state and days_since"
        )
    place = np.empty_like(rows)
    place[rows] = np.arange(len(rows))
    return PresentStates(
        belief_after(dynamics, state[place], days[place], first[place]), days[place]
    )


def _seen(
    table: CsvTable, arm_names: tuple[str, ...], dynamics: ArmDynamics
) -> tuple[Ints, Ints, Ints]:
    """State when last seen, days since, and the action on that day, (rows,) each.

    Raises:
        DatasetError: an arm has no state, or its cells disagree.
    """
    arm = table.text("arm")
    state = table.optional_integers("state", dynamics.states)
    last = table.optional_integers("last_state", dynamics.states)
    place, own = arm_positions(table, arm_names), dynamics.state_counts
    refuse_foreign_states(table, "state", place, state, own, arm_names)
    refuse_foreign_states(table, "last_state", place, last, own, arm_names)
    days = table.optional_integers("days_since")
    first = table.optional_integers("visited_then", dynamics.levels)
    unknown = state < 0
    table.refuse(
        unknown & (last < 0),
        lambda i: (
            f"arm '{arm.iloc[i]}': column 'state' is empty or NaN, and there is no last_state"
        ),
        REMEDY,
    )
    table.refuse(
        unknown & (days < 0),
        lambda i: f"arm '{arm.iloc[i]}': column 'days_since' is empty or NaN",
        "give the days since the arm was in last_state",
    )
    table.refuse(
        unknown & (days == 0) & (first > 0),
        lambda i: f"arm '{arm.iloc[i]}': seen today (days_since 0), and visited_then {first[i]}",
        "today's visits are what is decided: leave visited_then empty",
    )
    table.refuse(
        ~unknown & (days > 0) & (last < 0),
        lambda i: f"arm '{arm.iloc[i]}': state {state[i]} with days_since {days[i]}",
        "leave days_since empty if the state is today's, or write it into last_state",
    )
    table.refuse(
        ~unknown & (days == 0) & (last >= 0) & (last != state),
        lambda i: (
            f"arm '{arm.iloc[i]}': state {state[i]} and last_state {last[i]} of today disagree"
        ),
        "keep one of them",
    )
    return (
        np.where(unknown, last, state),
        np.where(unknown, days, 0),
        np.where(unknown, np.maximum(first, 0), 0),
    )


def _beliefs(table: CsvTable, arm_names: tuple[str, ...], dynamics: ArmDynamics) -> PresentStates:
    """The distributions in a table arm, state, probability.

    Raises:
        DatasetError: an arm is missing, or its probabilities do not sum to 1.
    """
    table = CsvTable(table.path, ("arm", "state", "probability"))
    states = dynamics.states
    arm = arm_positions(table, arm_names)
    state = own_states_in(table, "state", arm, dynamics.state_counts, arm_names)
    probability = table.numbers("probability")
    table.refuse(
        (probability < 0) | (probability > 1),
        lambda i: f"probability {probability[i]:g} is out of range",
        "give a number from 0 to 1",
    )
    table.refuse_repeats(arm * states + state, "this arm and state", "keep one of the rows")
    missing = first_gap(arm, len(arm_names))
    if missing is not None:
        raise DatasetError(
            f"{table.path}: arm '{arm_names[missing]}' has no row: add the probabilities of its "
            "present state"
        )
    total = np.bincount(arm, probability)
    table.refuse(
        np.abs(total[arm] - 1) > checks.SUM_TOLERANCE,
        lambda i: f"arm '{arm_names[arm[i]]}': probabilities sum to {total[arm[i]]:.6g}",
        "they must sum to 1",
    )
    belief = np.zeros((len(arm_names), states))
    belief[arm, state] = probability
    belief /= belief.sum(-1, keepdims=True)
    return PresentStates(belief, np.where(belief.max(-1) == 1, 0, -1))
