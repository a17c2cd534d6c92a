"""What a function of rules may not do: return its rules, replace the actions, use wild numbers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from worldplan.milp.errors import ConfigError
from worldplan.milp.program import Floats

LARGEST = 1e10  # coefficient or side of a rule
SMALLEST = 1e-5  # of the largest coefficient of a rule: solvers take 1e-6 for nothing
ROUNDING = 1e-9  # coefficients up to this count as zero, for solvers too
WIDEST = 1e8  # ratio of two coefficients of a rule: solvers take 1e-7 for 0 in a binary variable


def refuse_returned(returned: object) -> None:
    """Refuse what a function of rules returns instead of adding it to the block.

    Args:
        returned: by the function; None, or a component of the block, such as the last one added.

    Raises:
        ConfigError: it is something else; a generator or coroutine has not even run.
    """
    if returned is None or hasattr(returned, "parent_block"):
        return
    if inspect.isgenerator(returned) or inspect.iscoroutine(returned):
        if inspect.iscoroutine(returned):
            returned.close()  # else Python warns that it was never awaited
        raise ConfigError("build() is a generator or async function, which is not run: leave out "
                          "yield and async, and assign constraints to the block")  # fmt: skip
    raise ConfigError(
        f"build() returns {type(returned).__name__}, which has no effect: assign constraints to "
        "the block (block.day = pyo.Constraint(expr=...)) and return nothing"
    )


def refuse_replaced(block: Any, actions: object) -> None:
    """Refuse a block whose action variables are not those it began with.

    Args:
        block: Pyomo's, after the function.
        actions: the variables `a`, before it.

    Raises:
        ConfigError: they were deleted or replaced.
    """
    if block.component("a") is not actions:
        raise ConfigError(
            "build() deletes or replaces block.a, the arms' variables: give your own variables "
            "another name"
        )


def refuse_numbers(matrix: sparse.csr_array, sides: Floats, names: Sequence[str]) -> None:
    """Refuse rules whose numbers no solver takes, or takes for others.

    Args:
        matrix: (rules, variables) coefficients.
        sides: (rules,); an infinite side is no limit.
        names: of the rules.

    Raises:
        ConfigError: a number is NaN or too large, or the coefficients of a rule differ too much;
            names the rule.
    """
    for row, name in enumerate(names):
        values = np.abs(matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]])
        side = abs(float(sides[row]))
        if not np.isfinite(values).all() or np.isnan(side):
            raise ConfigError(
                f"build(): the rule '{name}' holds a number that is not finite: correct it"
            )
        if not (values > 0).any():
            continue
        top, least = values.max(), values[values > min(ROUNDING, 0.1 * values.max())].min()
        if max(top, 0.0 if np.isinf(side) else side) > LARGEST or top > WIDEST * least:
            raise ConfigError(
                f"build(): the rule '{name}' has coefficients from {least:.3g} to {top:.3g} and a "
                f"side of {side:.3g}, where solvers round too much: give a smaller bound (big M), "
                "or other units"
            )
        if top < SMALLEST:
            raise ConfigError(
                f"build(): the rule '{name}' has no coefficient above {top:.3g}, which solvers "
                "take for nothing: give other units"
            )
