"""Plans of models that were learned from logs of floating-point programs, by two validators."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldplan.planners.numeric.planning import solve
from worldplan.world_models.action_model.learner import learn
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.numeric.precision import Precision
from worldplan.world_models.numeric.trajectories import Trajectory
from worldplan.world_models.pddl.plans import validate_with_unified_planning
from worldplan.world_models.pddl.writing import write_domain, write_problem

LEVEL, TANK = ("level", 0), (("t", "tank"),)


@st.composite
def domains(draw: st.DrawFn) -> NumericModel:
    """Tanks that gain, lose and exchange amounts with decimals, within limits with decimals."""
    amounts = st.integers(1, 12).map(lambda n: Fraction(n, draw(st.sampled_from([10, 20, 100]))))
    gain, loss, moved = draw(amounts), draw(amounts), draw(amounts)
    words = Vocabulary(
        "tanks",
        {"tank": "object"},
        {},
        {},
        {"level": ("tank",), "used": ()},
        {"fill": TANK, "drain": TANK, "pour": (*TANK, ("u", "tank"))},
    )

    def change(fluent: tuple, amount: Fraction) -> tuple:
        return fluent, Linear(((fluent, 1),), amount)

    def at_least(fluent: tuple, amount: Fraction) -> Comparison:
        return Comparison(Linear(((fluent, 1),), -amount), ">=")

    fill = NumericAction(
        "fill",
        TANK,
        comparisons=(Comparison(Linear(((LEVEL, -1),), 5), ">="),),
        effects=(change(LEVEL, gain), change(("used",), gain)),
    )
    drain = NumericAction(
        "drain", TANK, comparisons=(at_least(LEVEL, loss),), effects=(change(LEVEL, -loss),)
    )
    pour = NumericAction(
        "pour",
        words.actions["pour"],
        distinct=frozenset([(0, 1)]),
        comparisons=(at_least(LEVEL, moved),),
        effects=(change(LEVEL, -moved), change(("level", 1), moved)),
    )
    return NumericModel(words, {"fill": fill, "drain": drain, "pour": pour})


def float_log(model: NumericModel, rng: np.random.Generator) -> Trajectory:
    """A walk whose numbers a program in floating point computes and prints."""
    state = State(frozenset(), {("level", "a"): 1, ("level", "b"): 2, ("used",): 0})
    printed = {fluent: float(value) for fluent, value in state.values.items()}
    states, calls = [State(frozenset(), printed)], []
    possible = [(n, x) for n in ("fill", "drain") for x in "ab"] + [
        ("pour", "a", "b"),
        ("pour", "b", "a"),
    ]
    for _ in range(30):
        allowed = [c for c in possible if model.actions[c[0]].applicable(c[1:], state)]
        call = allowed[rng.integers(len(allowed))]
        for lifted, after in model.actions[call[0]].effects:
            fluent = tuple(call[1 + term] if isinstance(term, int) else term for term in lifted)
            printed[fluent] = printed[fluent] + float(after.constant)  # type: ignore[index]
        state = model.actions[call[0]].successor(call[1:], state)
        states.append(State(frozenset(), dict(printed)))
        calls.append(call)
    objects = {"a": "tank", "b": "tank"}
    return Trajectory(objects, tuple(states), tuple(calls), (True,) * len(calls))


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(domains(), st.integers(0, 10**6))
def test_both_validators_agree_on_every_plan(
    tmp_path: Path, model: NumericModel, seed: int
) -> None:
    pytest.importorskip("unified_planning")
    rng = np.random.default_rng(seed)
    logs = [float_log(model, rng) for _ in range(3)]
    learned = learn(model.vocabulary, logs, precision=Precision.decimals(2))
    report = learned.detail["report"]
    assert not [name for name in report.excluded if report.observations[name]]
    last = rng.choice(list(logs[0].states[5:15]))  # type: ignore[arg-type]
    goal = Goal(
        comparisons=tuple(
            Comparison(
                Linear(((("level", x), 1),), -round(Fraction(last.values["level", x]), 2)), "="
            )
            for x in "ab"
        )
    )
    start = State(frozenset(), {("level", "a"): 1, ("level", "b"): 2, ("used",): 0})
    problem = NumericProblem("p", {"a": "tank", "b": "tank"}, start, goal)
    plan = solve(learned, problem, "search", time_limit=0.5).plan
    if plan is None:
        return
    assert is_valid(model, problem, plan)
    write_domain(model, tmp_path / "domain.pddl")
    write_problem(problem, model.vocabulary, tmp_path / "problem.pddl")
    verdict = validate_with_unified_planning(
        tmp_path / "domain.pddl", tmp_path / "problem.pddl", plan
    )
    assert verdict.valid, verdict.reason
