"""Feasible sets about which every question is a small MILP over their own constraints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from worldplan.milp.program import Indices
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.sets.linear_problem import LinearProblem


class SolvedSet(ActionSet):
    """A set that need not contain the empty action, nor stay feasible when a component is removed.

    A subclass defines `add_constraints`, `witness`, `sample` and `explain`.
    """

    def _problem(self) -> LinearProblem:
        """The loaded MILP; kept between calls, not pickled."""
        if "_loaded" not in self.__dict__:
            self._loaded = LinearProblem(self)
        return self._loaded

    def _best(self, weights: ArrayLike) -> Action:
        """The best action (size,) for `weights` (size,), or one number for all components."""
        return self._problem().best(weights)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_loaded"}

    def default(self) -> Action:
        """A feasible action (size,) with the fewest components."""
        return self._best(-1.0)

    def fill(self, order: Sequence[int] | Indices, start: Action | None = None) -> Action:
        """The best action (size,) for weights that decrease along `order` (n,).

        The components that `start` (size,) selects have the largest weights.
        """
        weights = np.zeros(self.size)
        weights[np.asarray(order, dtype=np.int64)] = np.arange(len(order), 0, -1)
        if start is not None:
            weights[start.astype(bool)] += weights.sum()
        return self._best(weights)
