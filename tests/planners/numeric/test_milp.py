"""The MILP planner on single tasks: formulation, exact checks, limits, errors."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import worldplan.planners.numeric.milp.run
from tests.places import TRAJECTORIES
from tests.planners.numeric.builders import shortest
from worldplan.milp.errors import ConfigError
from worldplan.milp.program import Program
from worldplan.milp.solvers import SolverSettings, open_session
from worldplan.planners.numeric.milp.action_copies import StateVariables
from worldplan.planners.numeric.milp.formulation import PlanStep
from worldplan.planners.numeric.milp.layers import Layer
from worldplan.planners.numeric.milp.planner import milp_plan
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.action_model.hypothesis_classes import SeenPoints
from worldplan.world_models.action_model.learner import learn
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    Region,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.numeric.trajectories import read_objects, read_trajectory
from worldplan.world_models.pddl.reading import read_problem, read_vocabulary


def counting(
    actions: dict[str, NumericAction], fluents: tuple[str, ...] = ("x", "y")
) -> NumericModel:
    return NumericModel(
        Vocabulary("counting", {}, {}, {}, dict.fromkeys(fluents, ()), dict.fromkeys(actions, ())),
        actions,
    )


def start(goal: Goal, **values: int | Fraction) -> NumericProblem:
    return NumericProblem(
        "start", {}, State(frozenset(), {(name,): value for name, value in values.items()}), goal
    )


def at_least(fluent: str, least: int | Fraction) -> Goal:
    return Goal(comparisons=(Comparison(Linear((((fluent,), 1),), -least), ">="),))


def test_the_relaxation_is_the_hull_of_the_union() -> None:
    """Over one step with y in 0..1 instead of integers, the greatest value of any direction is that
    of the best vertex of the union.
    """
    rng = np.random.default_rng(5)
    x, y = ("x",), ("y",)
    for _ in range(20):
        corners = [(int(a), int(b)) for a, b in rng.integers(0, 6, (4, 2))]
        low, high = sorted(int(bound) for bound in rng.integers(0, 6, 2))
        segment = (Region((x,), Polyhedron([(low,), (high,)])),)
        ray = (Region((x,), Polyhedron([(low,), (high,)], (1,))),)
        add = Linear(((x, 1), (y, 1)), 1)
        actions = {
            "all_read": NumericAction(
                "all_read",
                regions=(Region((x, y), Polyhedron(corners)),),
                effects=((x, add), (y, Linear(((x, -1),), 2))),
            ),
            "y_set": NumericAction("y_set", regions=segment, effects=((y, Linear((), 3)),)),
            "x_open": NumericAction("x_open", regions=ray, effects=((x, Linear(((y, 2),), 0)),)),
            "half": NumericAction(
                "half",
                comparisons=(Comparison(Linear(((x, 1), (y, -1))), ">="),),
                effects=((x, add),),
            ),
            "y_kept": NumericAction(
                "y_kept", regions=segment, effects=((x, Linear(((x, 1),), 1)),)
            ),
        }
        vertices = {
            "all_read": corners,
            "y_set": list(product((low, high), (0, 5))),
            "x_open": list(product((low, 5), (0, 5))),
            "half": [(0, 0), (5, 0), (5, 5)],
            "y_kept": list(product((low, high), (0, 5))),
        }
        model = counting(actions)
        task = GroundTask(
            model,
            start(Goal(comparisons=(Comparison(Linear(((x, 1), (y, 1)), -1), ">"),)), x=0, y=0),
        )
        assert {action.name[0] for action in task.actions} == set(actions)
        step = PlanStep(
            StateVariables(model, task),
            Layer(0, 0, ((0, 5), (0, 5)), tuple(range(len(task.actions)))),
        )
        before, after = rng.normal(size=2), rng.normal(size=2)
        values = []
        for name, points in vertices.items():
            for point in points:
                new = (
                    actions[name]
                    .successor((), State(frozenset(), dict(zip((x, y), point, strict=True))))
                    .values
                )
                values.append(float(before @ point + after @ [float(new[x]), float(new[y])]))
        program = Program()
        index = step.add_columns(program)
        step.add_rows(program, index)
        relaxed = open_session(program, SolverSettings())
        relaxed.matrices.integer[:] = False
        relaxed.is_mip = False
        relaxed.set_cost(index, step.before.T @ before + step.after.T @ after)
        assert relaxed.solve().value == pytest.approx(max(values), abs=1e-6)


def test_plans_that_only_a_tolerance_allows_are_forbidden_one_by_one() -> None:
    half = counting(
        {
            "half": NumericAction(
                "half", effects=((("x",), Linear(((("x",), 1),), Fraction(1, 2))),)
            )
        },
        ("x",),
    )
    result = milp_plan(
        half, start(Goal(comparisons=(Comparison(Linear(((("x",), 1),), -1), ">"),)), x=0)
    )
    assert result.plan == (("half",),) * 3
    assert result.status == "optimal"
    assert [(entry["horizon"], entry["outcome"]) for entry in result.detail["horizons"]] == [
        (2, "plan fails the exact check"),
        (2, "no plan"),
        (3, "plan"),
    ]


def test_too_many_invalid_plans_end_without_a_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worldplan.planners.numeric.milp.run, "MOST_INVALID", 2)
    steps = {
        f"s{i}": NumericAction(f"s{i}", effects=((("x",), Linear(((("x",), 1),), Fraction(1, 2))),))
        for i in range(4)
    }
    result = milp_plan(
        counting(steps, ("x",)),
        start(Goal(comparisons=(Comparison(Linear(((("x",), 1),), -1), ">"),)), x=0),
    )
    assert (result.plan, result.status, result.detail["proven_horizon"]) == (
        None,
        "no_plan_found",
        1,
    )
    assert "exact check" in result.detail["reason"]


def test_strict_comparisons_of_whole_numbers_need_no_check() -> None:
    thirds = counting(
        {"up": NumericAction("up", effects=((("x",), Linear(((("x",), 1),), 1)),))}, ("x",)
    )
    result = milp_plan(
        thirds,
        start(Goal(comparisons=(Comparison(Linear(((("x",), Fraction(1, 3)),), -1), ">"),)), x=0),
    )
    assert result.plan == (("up",),) * 4
    assert "plan fails the exact check" not in [
        entry["outcome"] for entry in result.detail["horizons"]
    ]


def test_a_finite_region_is_not_taken_for_its_hull() -> None:
    seen = NumericAction(
        "seen",
        regions=(Region((("x",),), SeenPoints(frozenset({(0,), (4,)}))),),
        effects=((("y",), Linear((), 1)),),
    )
    at_two = Comparison(Linear(((("x",), 1),), -2), "=")
    result = milp_plan(
        counting({"seen": seen, "up": UP}),
        start(Goal(comparisons=(at_two, *at_least("y", 1).comparisons)), x=0, y=0),
    )
    assert result.plan == (("seen",), ("up",), ("up",))
    late = milp_plan(counting({"seen": seen, "up": UP}), start(at_least("y", 1), x=2, y=0))
    assert late.plan == (("up",), ("up",), ("seen",))
    assert "plan fails the exact check" not in [
        entry["outcome"] for entry in late.detail["horizons"]
    ]


UP = NumericAction(
    "up",
    regions=(Region((("x",),), Polyhedron([(0,), (9,)])),),
    effects=((("x",), Linear(((("x",), 1),), 1)),),
)


def test_horizon_and_time_limits_claim_no_more_than_was_proven() -> None:
    model = counting({"up": UP}, ("x",))
    short = milp_plan(model, start(at_least("x", 9), x=0), max_horizon=5)
    assert (short.status, short.detail["proven_horizon"]) == ("no_plan_found", 5)
    assert "max_horizon" in short.detail["reason"]
    late = milp_plan(model, start(at_least("x", 9), x=0), time_limit=1e-6)
    assert (late.status, late.plan) == ("time_limit", None)
    assert late.detail["proven_horizon"] < 9
    assert milp_plan(model, start(at_least("x", 0), x=0), max_horizon=0).plan == ()


def test_nothing_left_to_do_is_proof() -> None:
    down = NumericAction(
        "down",
        regions=(Region((("x",),), Polyhedron([(1,), (2,)])),),
        effects=((("x",), Linear(((("x",), 1),), -1)),),
    )
    model = counting({"down": down}, ("x",))
    result = milp_plan(
        model, start(Goal(comparisons=(Comparison(Linear(((("x",), -1),), -1), ">="),)), x=2)
    )
    assert result.status == "unsolvable"
    assert "after 2 actions" in result.detail["reason"]


def test_models_too_large_or_too_wide_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = counting({"up": UP}, ("x",))
    wide = counting(
        {"up": NumericAction("up", effects=((("x",), Linear(((("x",), 10**5),), 1)),))}, ("x",)
    )
    result = milp_plan(wide, start(at_least("x", 10**12), x=1))
    assert result.status == "no_plan_found"
    assert "tolerance" in result.detail["reason"]
    monkeypatch.setattr(worldplan.planners.numeric.milp.run, "MOST_ENTRIES", 20)
    result = milp_plan(model, start(at_least("x", 9), x=0))
    assert result.status == "no_plan_found"
    assert "coefficients" in result.detail["reason"]
    assert "1 ground actions" in result.detail["reason"]


def test_what_has_no_formulation_is_refused_by_name() -> None:
    class Disc:
        def contains(self, point: tuple) -> bool:
            return sum(x * x for x in point) <= 4

        def bounds(self) -> list:
            return [(-2, 2)]

    round_ = counting(
        {"up": NumericAction("up", regions=(Region((("x",),), Disc()),), effects=UP.effects)},
        ("x",),
    )
    with pytest.raises(ConfigError, match="'up'.*Disc.*search"):
        milp_plan(round_, start(at_least("x", 3), x=0))
    open_ = counting(
        {"up": UP, "set": NumericAction("set", effects=((("x",), Linear((), 1)),))}, ("x",)
    )
    with pytest.raises(ConfigError, match=r"\(x\) has no initial value"):
        milp_plan(open_, start(at_least("x", 3)))
    with pytest.raises(ConfigError, match="time_limit"):
        milp_plan(open_, start(at_least("x", 3)), time_limit=0)


def test_gurobi_agrees() -> None:
    pytest.importorskip("gurobipy")
    model = counting(
        {
            "gather": NumericAction("gather", effects=((("x",), Linear(((("x",), 1),), 2)),)),
            "make": NumericAction(
                "make",
                regions=(Region((("x",), ("y",)), Polyhedron([(3, 0), (9, 0), (3, 9), (9, 9)])),),
                effects=((("x",), Linear(((("x",), 1),), -3)), (("y",), Linear(((("y",), 1),), 1))),
            ),
        }
    )
    problem = start(at_least("y", 2), x=0, y=0)
    lengths = [
        len(milp_plan(model, problem, solver=SolverSettings(name)).plan or ())
        for name in ("highs", "gurobi")
    ]
    assert lengths == [5, 5] == [shortest(model, problem, 6)] * 2


@pytest.mark.skipif(not TRAJECTORIES.is_dir(), reason="the recorded trajectories are not here")
def test_held_out_minecraft_problems_are_solved_as_short_as_breadth_first_search_does() -> None:
    folder = TRAJECTORIES / "minecraft"
    vocabulary = read_vocabulary(next(folder.glob("*domain*.pddl")))
    stems = sorted(path.with_suffix("") for path in folder.glob("*.trajectory"))
    trajectories = [
        read_trajectory(
            stem.with_suffix(".trajectory"), vocabulary, read_objects(stem.with_suffix(".pddl"))
        )
        for stem in stems[:40]
    ]
    model = learn(vocabulary, trajectories)
    lengths = set()
    for stem in stems[40:52]:
        problem = read_problem(stem.with_suffix(".pddl"), vocabulary)
        result = milp_plan(model, problem, max_horizon=15)
        lengths.add(length := shortest(model, problem, 15))
        assert length == (None if result.plan is None else len(result.plan))
        assert result.status == ("optimal" if length else "unsolvable")
        assert result.plan is None or is_valid(model, problem, result.plan)
    assert lengths == {None, 11}  # some of these problems need more than the first 40 show
