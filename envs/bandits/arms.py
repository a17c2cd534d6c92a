"""Arms of a restless bandit: how their states move, and what each move earns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def draw(probabilities: Floats, uniform: Floats) -> Ints:
    """States (...,) of distributions (..., states), by inversion of uniform numbers (...,)."""
    states: Ints = (uniform[..., None] >= np.cumsum(probabilities, axis=-1)[..., :-1]).sum(-1)
    return states


@dataclass(frozen=True)
class ArmDynamics:
    """Transition probabilities and rewards of every arm.

    Args:
        transition: (arms, levels, states, states); `transition[j, k, s]` is the distribution of the
            next state of arm `j` in state `s` under intervention level `k`. Level 0 is passive, and
            without `effect` level 1 is a pull.
        reward: (arms, states), received for the next state.
        action_reward: (arms, levels, states, states), or with length 1 along an axis that does not
            matter; None: zero. `action_reward[j, k, s, t]` is received besides when arm `j` moves
            from state `s` to state `t` under level `k`. So rewards r(s, a) have the shape (arms,
            levels, states, 1), and a cost of each pull (arms, levels, 1, 1).
        own_states: (arms,) number of states of each arm, where arms have different numbers: those
            of arm `j` are 0 to `own_states[j] - 1`. What the arrays hold for further states is not
            read, and replaced by that of state 0; no move leads there. None: all have `states`.
        effect: (arms, components) or None. With it, the level of arm `j` is the index of
            `effect[j] @ action` in `strengths[j]`; without it, the level of arm `j` is component
            `j` of the action.
        strengths: (arms, levels), ascending, the possible values of `effect[j] @ action`; unused
            levels repeat the last one.

    The arrays are copies that cannot be written to.

    Raises:
        DatasetError: shapes disagree, numbers are not finite, a distribution does not sum to 1, a
            move leads to a state that the arm does not have, or one of `effect` and `strengths` is
            missing.
    """

    transition: Floats
    reward: Floats
    effect: Floats | None = None
    strengths: Floats | None = None
    action_reward: Floats | None = None
    own_states: Ints | None = None

    def __post_init__(self) -> None:
        p = checks.array(self.transition, "transition", ("arms", "levels", "states", "states"))
        arms, levels, states = p.shape[:3]
        r = checks.array(self.reward, "reward", ("arms", "states"))
        if p.shape[2] != p.shape[3] or r.shape != (arms, states):
            raise DatasetError(
                f"transition {p.shape} and reward {r.shape} do not fit: expected (arms, levels, "
                "states, states) and (arms, states)"
            )
        own = self._check_own_states(arms, states)
        if own is not None:
            p, r = _first_for_missing(p, own, 2), _first_for_missing(r, own, 1)
        bad = np.argwhere((p.min(-1) < 0) | (np.abs(p.sum(-1) - 1) > checks.SUM_TOLERANCE))
        if len(bad):
            arm, level, state = (int(index) for index in bad[0])
            raise DatasetError(
                f"arm {arm}, state {state}, action {level}: probabilities must be >= 0 and sum to "
                f"1, got {p[arm, level, state].sum():.6g}"
            )
        object.__setattr__(self, "transition", p)
        object.__setattr__(self, "reward", r)
        self._refuse_moves_out(p)
        self._check_action_reward()
        self._check_effect(arms, levels)

    def _check_own_states(self, arms: int, states: int) -> Ints | None:
        """Check `own_states`, and keep a copy; None if all arms have all states.

        Raises:
            DatasetError: they are no whole numbers from 1 to the number of states.
        """
        if self.own_states is None:
            return None
        own = checks.whole_numbers(self.own_states, "own_states", (arms,), least=1, most=states)
        kept = None if (own == states).all() else own
        object.__setattr__(self, "own_states", kept)
        return kept

    def _refuse_moves_out(self, transition: Floats) -> None:
        """Refuse moves to states that the arm does not have.

        Raises:
            DatasetError: names the arm and the state.
        """
        if self.own_states is None:
            return
        bad = np.argwhere((transition > 0) & ~self.exists[:, None, None, :])
        if len(bad):
            arm, level, state, after = (int(index) for index in bad[0])
            raise DatasetError(
                f"arm {arm}, state {state}, action {level}: moves to state {after}, and the arm "
                f"has states 0 to {self.own_states[arm] - 1}: leave the move out"
            )

    def _check_action_reward(self) -> None:
        """Check `action_reward`, and keep a copy of it.

        Raises:
            DatasetError: it has another shape, or numbers that are not finite.
        """
        if self.action_reward is None:
            return
        shape = ("arms", "levels", "states", "states")
        given = checks.array(self.action_reward, "action_reward", shape)
        full = self.transition.shape
        if any(size not in (1, most) for size, most in zip(given.shape, full, strict=True)):
            raise DatasetError(
                f"action_reward has shape {given.shape}: expected (arms, levels, states, states) "
                f"{full}, or length 1 along some axes"
            )
        if self.own_states is not None:
            given = np.broadcast_to(given, (self.arms, *given.shape[1:]))
            for axis in (2, 3):
                if given.shape[axis] > 1:
                    given = _first_for_missing(given, self.own_states, axis)
        object.__setattr__(self, "action_reward", given)

    def _check_effect(self, arms: int, levels: int) -> None:
        """Check `effect` and `strengths`, and keep copies of them.

        Raises:
            DatasetError: one is missing or has another shape, the strengths are not ascending, or
                there is neither of them and no level for a pull.
        """
        if (self.effect is None) != (self.strengths is None):
            raise DatasetError("effect and strengths belong together: give both or neither")
        if self.effect is None:
            if levels < 2:
                raise DatasetError(
                    f"transition has {levels} level: give level 0 (passive) and level 1 (a pull)"
                )
            return
        strengths = checks.array(self.strengths, "strengths", (arms, levels))
        if (np.diff(strengths, axis=1) < 0).any():
            raise DatasetError("strengths are not ascending along each arm's levels: sort them")
        object.__setattr__(
            self, "effect", checks.array(self.effect, "effect", (arms, "components"))
        )
        object.__setattr__(self, "strengths", strengths)

    @property
    def arms(self) -> int:
        """Number of arms."""
        return int(self.transition.shape[0])

    @property
    def levels(self) -> int:
        """Number of intervention levels."""
        return int(self.transition.shape[1])

    @property
    def states(self) -> int:
        """Number of states of an arm."""
        return int(self.transition.shape[2])

    @property
    def state_counts(self) -> Ints:
        """(arms,) number of states of each arm."""
        return np.full(self.arms, self.states) if self.own_states is None else self.own_states

    @property
    def exists(self) -> NDArray[np.bool_]:
        """(arms, states), whether the arm has the state."""
        return states_of(self.state_counts, self.states)

    @property
    def uniform(self) -> Floats:
        """(arms, states), every state that an arm has equally likely."""
        return np.asarray(self.exists / self.state_counts[:, None])

    @property
    def components(self) -> int:
        """Length of an action vector."""
        return self.arms if self.effect is None else int(self.effect.shape[1])

    def level(self, action: NDArray[Any]) -> Ints:
        """Intervention level of every arm, (..., arms), for actions (..., components)."""
        if self.effect is None or self.strengths is None:
            return np.asarray(action, dtype=np.int64)
        strength = action @ self.effect.T
        level: Ints = np.abs(strength[..., None] - self.strengths).argmin(-1)
        return level

    def check_strengths(self, actions: NDArray[Any]) -> None:
        """Refuse actions (..., components) whose strength at an arm is not one of its `strengths`.

        Raises:
            DatasetError: names the arm and the strength.
        """
        if self.effect is None or self.strengths is None:
            return
        strength = (actions @ self.effect.T).reshape(-1, self.arms)
        apart = np.abs(strength[..., None] - self.strengths).min(-1)
        missing = np.argwhere(apart > 1e-6 * (1 + np.abs(self.effect).sum(1)))
        if len(missing):
            row, arm = (int(index) for index in missing[0])
            raise DatasetError(
                f"an action has strength {strength[row, arm]:g} at arm {arm}, whose strengths are "
                f"{', '.join(f'{value:g}' for value in self.strengths[arm])}: list every strength "
                "that an action can have"
            )

    def one_step(self) -> Floats:
        """Expected reward of a step, (arms, levels, states).

        It is sum_t P[j, k, s, t] (reward[j, t] + action_reward[j, k, s, t]).
        """
        reward: Floats = np.einsum("jkst,jt->jks", self.transition, self.reward)
        extra = self.action_reward
        if extra is None:
            return reward
        last = extra.shape[-1] == 1
        reward += extra[..., 0] if last else (self.transition * extra).sum(-1)
        return reward

    def earned(self, state: Ints, level: Ints, after: Ints) -> Floats:
        """Reward of a move of each arm, (..., arms).

        Args:
            state: (..., arms) before the move.
            level: (..., arms) of the action.
            after: (..., arms) states after the move.
        """
        arms = np.arange(self.arms)
        reward: Floats = self.reward[arms, after]
        if self.action_reward is None:
            return reward
        extra = np.broadcast_to(self.action_reward, self.transition.shape)
        return reward + extra[arms, level, state, after]

    def select(self, places: Sequence[int] | Ints) -> ArmDynamics:
        """The arms at `places`, in this order."""
        index = np.asarray(places, np.int64)
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        chosen = {
            name: value if value is None or len(value) == 1 < self.arms else value[index]
            for name, value in parts.items()
        }
        return ArmDynamics(**chosen)

    def without_rewards(self, out: NDArray[np.bool_]) -> ArmDynamics:
        """The dynamics in which the arms that `out` (arms,) marks earn and cost nothing."""
        if not out.any():
            return self
        extra = self.action_reward
        if extra is not None:
            extra = np.where(out[:, None, None, None], 0.0, extra)
        return replace(self, reward=np.where(out[:, None], 0.0, self.reward), action_reward=extra)

    def expected_reward(self, state: Ints, action: NDArray[Any]) -> Floats:
        """Expected reward of a joint step, (...,).

        Args:
            state: (..., arms).
            action: (..., components).
        """
        arms = np.arange(self.arms)
        reward: Floats = self.one_step()[arms, self.level(action), state].sum(-1)
        return reward

    def after(self, belief: Floats, level: Ints) -> Floats:
        """Distribution of the next states, (arms, states).

        Args:
            belief: (arms, states) distribution of the states.
            level: (arms,) of the action.
        """
        moves = self.transition[np.arange(self.arms), level]
        following: Floats = np.einsum("js,jst->jt", belief, moves)
        return following

    def sample_next(self, state: Ints, action: NDArray[Any], rng: np.random.Generator) -> Ints:
        """A draw of the next joint state, (..., arms).

        Args:
            state: (..., arms).
            action: (..., components).
            rng: of all random numbers.
        """
        probabilities = self.transition[np.arange(self.arms), self.level(action), state]
        return draw(probabilities, rng.random(state.shape))


def states_of(own: Ints, states: int) -> NDArray[np.bool_]:
    """(arms, states), whether an arm with `own` (arms,) states has each of `states`."""
    return np.asarray(np.arange(states) < own[:, None])


def _first_for_missing(array: Floats, own: Ints, axis: int) -> Floats:
    """The array (arms, ...) with its entries of state 0 along `axis` for states beyond `own`."""
    others = [other for other in range(1, array.ndim) if other != axis]
    exists = np.expand_dims(states_of(own, array.shape[axis]), others)
    filled = np.where(exists, array, np.take(array, [0], axis))
    filled.setflags(write=False)
    return filled
