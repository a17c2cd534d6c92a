"""Rules of one's own that would silently not hold, or that a solver would round away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.sets import PyomoSet


def generator(block: Any) -> Any:
    yield block.a[0] <= 0


async def coroutine(block: Any) -> None:
    block.day = pyo.Constraint(expr=block.a[0] <= 0)


def rule(make: Callable[[Any], Any]) -> Callable[[Any], None]:
    def build(block: Any) -> None:
        block.day = pyo.Constraint(expr=make(block))

    return build


def big(number: float) -> Callable[[Any], None]:
    """A stock of at least 5 that only a visit of arm 0 allows, up to `number`."""

    def build(block: Any) -> None:
        block.stock = pyo.Var(bounds=(0, number))
        block.opened = pyo.Constraint(expr=block.stock <= number * block.a[0])
        block.least = pyo.Constraint(expr=block.stock >= 5)

    return build


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda block: block.a[0] <= 0, "returns InequalityExpression, which has no effect"),
        (lambda block: {"day": block.a[0] <= 0}, "returns dict"),
        (lambda block: [block.a[0] <= 0], "returns list"),
        (generator, "generator or async function"),
        (coroutine, "generator or async function"),
        (lambda block: block.del_component("a"), "deletes or replaces block.a"),
        (lambda block: setattr(block, "a", pyo.Var(range(3))), "deletes or replaces block.a"),
        (rule(lambda block: block.a[0] <= float("nan")), "'day' holds a number that is not finite"),
        (rule(lambda block: float("inf") * block.a[0] <= 1), "'day' holds a number"),
        (rule(lambda block: 1e15 * block.a[0] <= 1), "'day' has coefficients from 1e+15"),
        (rule(lambda block: block.a[0] + block.a[1] >= 1e12), "a side of 1e+12"),
        (rule(lambda block: 1e-7 * block.a[0] <= 1e-9), "no coefficient above 1e-07"),
        (big(1e9), "'opened' has coefficients from 1 to 1e+09"),
    ],
)
def test_rules_that_would_not_hold_are_refused(build: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PyomoSet(build, 3)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_rule_without_variables_that_is_not_met_is_infeasible() -> None:
    with pytest.raises(InfeasibleActionSet, match="'day'"):
        PyomoSet(rule(lambda block: pyo.Constraint.Infeasible), 3)


def test_ordinary_rules_are_taken() -> None:
    def returns_the_last(block: Any) -> Any:
        block.day = pyo.Constraint(expr=block.a[0] + block.a[1] <= 1)
        return block.day

    noise = 0.1 + 0.2 - 0.3
    ordinary = [
        returns_the_last,
        rule(lambda block: block.a[0] + noise * block.a[1] <= 0),
        rule(lambda block: block.a[0] <= float("inf")),
        big(1e6),
    ]
    counts = []
    for build in ordinary:
        actions = PyomoSet(build, 2)
        rows = [np.array([k // 2, k % 2], np.int8) for k in range(4)]
        counts.append([actions.contains(row) for row in rows])
    assert counts == [
        [True, True, True, False],
        [True, True, False, False],
        [True] * 4,
        [False, False, True, True],
    ]
