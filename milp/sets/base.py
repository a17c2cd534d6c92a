"""Sets of feasible joint actions: what may be done in one step.

A set is one class that writes its own MILP constraints, checks actions, samples them and explains
how a chosen action is carried out. `ActionSet` is the base class, `Budget` the simplest example.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.program import Floats, Indices, Program

if TYPE_CHECKING:  # pandas, which reads the files, takes a while to import
    from worldplan.milp.sets.source import SetContext

Action = NDArray[np.int8]
MEMORY = 64 * 2**20  # bytes of remembered checks per set


class ActionSet(ABC):
    """A set of joint binary actions (size,).

    A subclass sets the attributes below in its constructor and writes three methods:
    `add_constraints` (the MILP), `witness` (a proof of feasibility: values of the MILP's auxiliary
    columns, found without the solver where that is possible) and `explain`. It may also replace
    `sample`, `fill`, `default` and `support`; the versions here suit sets from which any component
    may be removed.

    Attributes:
        size: number of components of an action.
        least: fewest selected components of a feasible action.
        most: upper bound on the number of selected components.
        selectable: (size,), true for the components that some feasible action selects.
        arm_names: names of the components, in order, if the set has them.
    """

    size: int
    least: int = 0
    most: int
    selectable: NDArray[np.bool_]
    arm_names: Sequence[Any] | None = None

    @classmethod
    def from_files(cls, context: SetContext) -> Self:
        """The set that the `constraint` section of a scenario describes.

        Here: `cls(number of arms, **constraint.options)`. A set with files of its own replaces
        this; see `Capacity.from_files`.

        Raises:
            ConfigError: an option is missing or unknown, or a setting is out of range.
            DatasetError: a file is missing or malformed.
            InfeasibleActionSet: no action satisfies the constraints.
        """
        size, options = len(context.arms), context.settings.options
        make: Callable[..., Self] = cls  # constructors of subclasses differ
        try:
            inspect.signature(make).bind(size, **options)
        except TypeError as error:
            raise ConfigError(
                f"constraint.options of '{context.settings.kind}': {error}: "
                f"{cls.__name__} is made from the number of arms and these options"
            ) from error
        return make(size, **options)

    @abstractmethod
    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        """Add columns and rows that confine `program.x[action]` to the set.

        Args:
            program: the program to extend.
            action: (size,) column numbers of the action.
            relaxed: leave the auxiliary columns continuous: the linear relaxation of the set.
        """

    @abstractmethod
    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        """A proof that `action` (size,) is feasible: the auxiliary columns' values, or None.

        The values (auxiliary columns,) are in the order of `add_constraints`.

        Args:
            action: (size,) zeros and ones.
            exact: None proves infeasibility. Otherwise None may also mean that a quick search found
                no proof.
        """

    @abstractmethod
    def explain(self, action: Action) -> list[dict[str, Any]]:
        """How `action` (size,) is carried out: a row (worker, slot, route, ...) per component."""

    def contains(self, action: ArrayLike) -> bool:
        """Whether the action (size,) is feasible: an exact check, whose result is remembered."""
        try:
            vector = np.asarray(action)
        except ValueError:  # lists of different lengths
            return False
        if vector.shape != (self.size,) or vector.dtype.kind not in "biuf":
            return False
        if not ((vector == 0) | (vector == 1)).all():
            return False
        return self._remember(vector.astype(np.int8), exact=True)

    def contains_batch(self, actions: ArrayLike) -> NDArray[np.bool_]:
        """Whether each row of `actions` (m, size) is feasible, (m,)."""
        return np.array([self.contains(action) for action in np.asarray(actions)], dtype=bool)

    def probably_contains(self, action: Action) -> bool:
        """A cheap check of `action` (size,) for searches: True is certain, False is not."""
        return self._remember(action, exact=False)

    def _remember(self, action: Action, *, exact: bool) -> bool:
        memory: dict[tuple[bytes, bool], bool] = self.__dict__.setdefault("_memory", {})
        key = (action.tobytes(), exact)
        if key not in memory:
            entry = self.size + 200  # bytes: the action and the objects around it
            if len(memory) >= MEMORY // entry:
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
        """A random feasible action (size,) to which nothing can be added (see `fill`)."""
        return self.fill(generator.permutation(np.flatnonzero(self.selectable)))

    def fill(self, order: Sequence[int] | Indices, start: Action | None = None) -> Action:
        """Select components in the given order as long as the action stays feasible.

        Args:
            order: components, (n,).
            start: (size,) a feasible action to begin with; nothing selected unless given.

        Returns:
            The action, (size,).
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
        """A feasible action (size,) that uses no information: nothing selected, where allowed."""
        return np.zeros(self.size, np.int8)

    def support(self, weights: Floats) -> Floats:
        """Upper bound of `weights @ a` over the actions a, (...,), for weights (..., size).

        The bound keeps only the limits `least` and `most` on the number of components.
        """
        masked = np.where(self.selectable, weights, -np.inf)
        most = min(self.most, int(self.selectable.sum()))
        top = -np.sort(-masked, axis=-1)[..., :most]
        optional = np.arange(most) >= self.least
        bound: Floats = np.where(optional, np.maximum(top, 0.0), top).sum(-1)
        return bound


def check_size(size: int, what: str) -> None:
    """Refuse a set over no components.

    Raises:
        InfeasibleActionSet: `size` is no whole number, or below 1; the message says that `what` is
            empty.
    """
    if checks.whole_number(size, f"the size of {what}", error=InfeasibleActionSet) < 1:
        raise InfeasibleActionSet(f"{what} is empty: give at least one")


def check_names(names: Sequence[Any] | None, count: int, what: str) -> None:
    """Refuse names that do not match what they name ("arm", "worker", ...).

    Raises:
        InfeasibleActionSet: there are names, but no sequence of `count` of them.
    """
    if names is None:
        return
    if isinstance(names, str | bytes) or not hasattr(names, "__len__"):
        raise InfeasibleActionSet(
            f"{what}_names is {checks.shown(names)}: give a list of {count} names"
        )
    if len(names) != count:
        raise InfeasibleActionSet(
            f"{len(names)} {what} names for {count} {what}s: give one name each"
        )


def check_budget(budget: int | None) -> None:
    """Refuse a budget that is no number of arms; None is no limit.

    Raises:
        InfeasibleActionSet: it is no whole number, or negative.
    """
    if budget is not None and checks.whole_number(budget, "budget", error=InfeasibleActionSet) < 0:
        raise InfeasibleActionSet(f"budget {budget} is negative: give 0 or more")


@dataclass
class Budget(ActionSet):
    """At most `budget` of `size` arms.

    Args:
        size: number of arms.
        budget: most arms.
        exactly: select exactly `budget` arms.

    Raises:
        InfeasibleActionSet: `size` is below 1, the budget is negative or cannot be met, or an
            argument is of another type.
    """

    size: int
    budget: int
    exactly: bool = False
    least: int = field(init=False)
    most: int = field(init=False)
    selectable: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_size(self.size, "the list of arms")
        checks.whole_number(self.budget, "budget", error=InfeasibleActionSet)
        checks.truth(self.exactly, "exactly", error=InfeasibleActionSet)
        if self.budget < 0 or (self.exactly and self.budget > self.size):
            raise InfeasibleActionSet(
                f"budget {self.budget} cannot be met with {self.size} arms: "
                f"give a number from 0 to {self.size}"
            )
        self.most = min(self.budget, self.size)
        self.least = self.most if self.exactly else 0
        self.selectable = np.ones(self.size, bool)

    @classmethod
    def from_files(cls, context: SetContext) -> Self:
        """At most `constraint.budget` arms. Raises ConfigError if that is below 1."""
        return cls(len(context.arms), context.budget())

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        program.add_rows((action, np.ones((1, self.size))), lower=self.least, upper=self.most)

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        return np.zeros(0) if self.least <= action.sum() <= self.most else None

    def contains_batch(self, actions: ArrayLike) -> NDArray[np.bool_]:
        """Whether each row of `actions` (m, size) is feasible, (m,); all rows at once."""
        rows = np.asarray(actions)
        if rows.ndim != 2 or rows.shape[1] != self.size or rows.dtype.kind not in "biuf":
            return np.zeros(len(rows), bool)
        taken = rows.sum(1)
        binary = ((rows == 0) | (rows == 1)).all(1)
        return np.asarray(binary & (self.least <= taken) & (taken <= self.most))

    def _remember(self, action: Action, *, exact: bool) -> bool:
        return self.least <= int(action.sum()) <= self.most  # cheaper than a lookup

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
