"""Feasible action sets. One class says what is allowed: it checks, samples, explains, and writes
its own constraints.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldplan.milp.errors import InfeasibleActionSet
from worldplan.milp.program import Floats, Indices, Program

Action = NDArray[np.int8]
MEMORY = 64 * 2**20  # bytes of remembered answers per set


class ActionSet(ABC):
    """A set of joint binary actions of length `size`.

    A subclass writes `add_constraints` (the MILP), `witness` (a check that does not use the MILP
    where one exists: it returns values for the auxiliary columns, so the same object validates,
    warm-starts and explains) and `explain`. `selectable` marks components that some feasible action
    uses; `least` and `most` bound how many.
    """

    size: int
    least: int = 0
    most: int
    selectable: NDArray[np.bool_]

    @abstractmethod
    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        """Add auxiliary columns and rows so that `program.x[action]` lies in the set (in its
        relaxation if `relaxed`).
        """

    @abstractmethod
    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        """Values of the auxiliary columns that prove `action` feasible, in the order they were
        added, or None.

        With `exact=False` a None may be wrong: it means that a quick search found no proof.
        """

    @abstractmethod
    def explain(self, action: Action) -> list[dict[str, Any]]:
        """One row per selected component: how the action is carried out (worker, slot, route, ...)."""

    def contains(self, action: ArrayLike) -> bool:
        """Whether one action is feasible (exact; answers are remembered)."""
        vector = np.asarray(action)
        if vector.shape != (self.size,) or not np.isin(vector, (0, 1)).all():
            return False
        return self._remember(vector.astype(np.int8), exact=True)

    def contains_batch(self, actions: ArrayLike) -> NDArray[np.bool_]:
        """Whether each row of `actions` (m, size) is feasible, (m,)."""
        return np.array([self.contains(action) for action in np.asarray(actions)], dtype=bool)

    def probably_contains(self, action: Action) -> bool:
        """A cheap check for searches: never wrong when True."""
        return self._remember(action, exact=False)

    def _remember(self, action: Action, *, exact: bool) -> bool:
        memory = self.__dict__.setdefault("_memory", {})
        key = (action.tobytes(), exact)
        if key not in memory:
            if len(memory) >= MEMORY // (
                self.size + 200
            ):  # an entry is the action's bytes and the objects around them
                memory.clear()
            within = (
                self.least <= int(action.sum()) <= self.most
                and not (action.astype(bool) & ~self.selectable).any()
            )
            memory[key] = within and self.witness(action, exact=exact) is not None
        return memory[key]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_memory"}

    def sample(self, generator: np.random.Generator) -> Action:
        """One random feasible action: components in random order, each taken if the action stays
        feasible.
        """
        return self.fill(generator.permutation(np.flatnonzero(self.selectable)))

    def fill(self, order: Sequence[int] | Indices, start: Action | None = None) -> Action:
        """Take components in the given order while the action stays feasible. Needs a set closed
        under removal.
        """
        action = np.zeros(self.size, np.int8) if start is None else start.copy()
        taken = int(action.sum())
        for component in order:
            if taken >= self.most:
                break
            if not action[component]:
                action[component] = 1
                if self.probably_contains(action):
                    taken += 1
                else:
                    action[component] = 0
        return action

    def default(self) -> Action:
        """A feasible action that needs no knowledge: nothing selected where that is allowed."""
        return np.zeros(self.size, np.int8)

    def support(self, weights: Floats) -> Floats:
        """Upper bound of `weights @ a` over the set, for each row of `weights` (..., size):
        most-cardinality bound.
        """
        masked = np.where(self.selectable, weights, -np.inf)
        most = min(self.most, int(self.selectable.sum()))
        top = -np.sort(-masked, axis=-1)[..., :most]
        free = np.arange(most) >= self.least
        return np.where(free, np.maximum(top, 0.0), top).sum(-1)


def check_size(size: int, what: str) -> None:
    """A set over no components is a mistake in the input."""
    if size < 1:
        raise InfeasibleActionSet(f"{what} is empty: give at least one")


@dataclass
class Budget(ActionSet):
    """At most `budget` of `size` arms (exactly `budget` if `exactly`)."""

    size: int
    budget: int
    exactly: bool = False
    least: int = field(init=False)
    most: int = field(init=False)
    selectable: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_size(self.size, "the list of arms")
        if self.budget < 0 or (self.exactly and self.budget > self.size):
            raise InfeasibleActionSet(
                f"budget {self.budget} cannot be met with {self.size} arms: give a number from 0 to {self.size}"
            )
        self.most = min(self.budget, self.size)
        self.least = self.most if self.exactly else 0
        self.selectable = np.ones(self.size, bool)

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        program.add_rows((action, np.ones((1, self.size))), lower=self.least, upper=self.most)

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        return np.zeros(0) if self.least <= action.sum() <= self.most else None

    def contains_batch(self, actions: ArrayLike) -> NDArray[np.bool_]:
        rows = np.asarray(actions)
        if rows.ndim != 2 or rows.shape[1] != self.size:
            return np.zeros(len(rows), bool)
        taken = rows.sum(1)
        return ((rows == 0) | (rows == 1)).all(1) & (self.least <= taken) & (taken <= self.most)

    def _remember(self, action: Action, *, exact: bool) -> bool:
        return self.least <= int(action.sum()) <= self.most  # cheaper than looking it up

    def default(self) -> Action:
        return (np.arange(self.size) < self.least).astype(np.int8)

    def sample(self, generator: np.random.Generator) -> Action:
        action = np.zeros(self.size, np.int8)
        action[generator.choice(self.size, self.most, replace=False)] = 1
        return action

    def fill(self, order: Sequence[int] | Indices, start: Action | None = None) -> Action:
        action = super().fill(order, start)
        missing = self.least - int(action.sum())
        if missing > 0:
            action[np.flatnonzero(action == 0)[:missing]] = 1
        return action

    def explain(self, action: Action) -> list[dict[str, Any]]:
        return [{"arm": int(arm)} for arm in np.flatnonzero(action)]
