"""Numeric search on single tasks: exact numbers, estimates, grounding, limits, shortening."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.places import TRAJECTORIES
from tests.planners.numeric.builders import RANDOM, WORDS, plain_successors, tasks
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.numeric.search.heuristic import RelaxedPlanHeuristic
from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.search.shortening import shorten
from worldplan.planners.numeric.task.budget import SearchLimits
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Ground,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import is_valid


def at_least(fluent: Ground, number: Rational) -> Comparison:
    return Comparison(Linear(((fluent, 1),), -number), ">=")


def raised(fluent: Ground, step: Rational) -> tuple[Ground, Linear]:
    return fluent, Linear(((fluent, 1),), step)


def counting(
    goal: Comparison, *moves: NumericAction, **start: Rational
) -> tuple[NumericModel, NumericProblem]:
    """A task over functions without arguments."""
    words = Vocabulary(
        "counting", {}, {}, {}, dict.fromkeys(start, ()), {move.name: () for move in moves}
    )
    initial = State(frozenset(), {(name,): value for name, value in start.items()})
    return NumericModel(words, {move.name: move for move in moves}), NumericProblem(
        "count", {}, initial, Goal(comparisons=(goal,))
    )


def test_fractions_stay_exact() -> None:
    third = NumericAction("third", effects=(raised(("x",), Fraction(1, 3)),))
    model, problem = counting(Comparison(Linear(((("x",), 1),), -10), "="), third, x=0)
    for method in ("breadth_first", "greedy"):
        assert len(search_plan(model, problem, method=method).plan or ()) == 30
    tiny = NumericAction("tiny", effects=(raised(("x",), Fraction(1, 10**30)),))
    model, problem = counting(Comparison(Linear(((("x",), 1),)), ">"), tiny, x=0)
    assert search_plan(model, problem, method="greedy").plan == (("tiny",),)
    model, problem = counting(at_least(("x",), 1 + Fraction(2, 10**30)), tiny, x=1)
    assert len(search_plan(model, problem, method="greedy").plan or ()) == 2


def test_values_beyond_floats_do_no_harm() -> None:
    double = NumericAction("square-ish", effects=((("x",), Linear(((("x",), 10**200),))),))
    model, problem = counting(at_least(("x",), 10**500), double, x=1)
    assert len(search_plan(model, problem, method="greedy").plan or ()) == 3


def test_a_constant_set_in_one_go_counts_once_and_a_slow_rise_many_times() -> None:
    rise = NumericAction("rise", effects=(raised(("x",), 1),))
    model, problem = counting(at_least(("x",), 40), rise, x=0)
    assert RelaxedPlanHeuristic(GroundTask(model, problem))((0, (0,))).cost == 40
    jump = NumericAction("jump", effects=((("x",), Linear((), 50)),))
    model, problem = counting(at_least(("x",), 40), rise, jump, x=0)
    assert RelaxedPlanHeuristic(GroundTask(model, problem))((0, (0,))).cost == 1


def test_goals_that_share_fluents_are_estimated_together() -> None:
    """Raising y to make room for x < y breaks y < z: the gaps cost 2 one by one, but 4 together."""
    moves = [NumericAction(f"raise-{name}", effects=(raised((name,), 1),)) for name in "yz"]
    chain = [
        Comparison(Linear((((high,), 1), ((low,), -1)), -1), ">=")
        for low, high in (("x", "y"), ("y", "z"))
    ]
    model, problem = counting(chain[0], *moves, x=1, y=0, z=1)
    problem = NumericProblem("chain", {}, problem.initial, Goal(comparisons=tuple(chain)))
    task = GroundTask(model, problem)
    estimate = RelaxedPlanHeuristic(task)(task.initial)
    assert estimate.cost == 4 == len(search_plan(model, problem, method="breadth_first").plan or ())


def test_a_step_that_depends_on_a_fluent_is_worked_up_first() -> None:
    faster = NumericAction(
        "faster",
        comparisons=(Comparison(Linear(((("rate",), -1),), 9), ">="),),
        effects=(raised(("rate",), 1),),
    )
    advance = NumericAction("advance", effects=((("x",), Linear(((("x",), 1), (("rate",), 1)))),))
    model, problem = counting(at_least(("x",), 100), faster, advance, x=0, rate=0)
    estimate = RelaxedPlanHeuristic(GroundTask(model, problem))(GroundTask(model, problem).initial)
    assert estimate.cost == 20  # ten times faster, then ten times ten
    assert len(search_plan(model, problem, method="greedy").plan or ()) <= 25
    model, problem = counting(at_least(("x",), 100), advance, x=0, rate=0)
    assert search_plan(model, problem, method="greedy").status == "unsolvable"


def test_a_first_value_may_close_a_gap_that_no_step_closes() -> None:
    first = NumericAction("first", effects=((("x",), Linear((), 50)), raised(("y",), -1)))
    goal = Comparison(Linear(((("x",), 1), (("y",), 1)), -10), ">=")
    model, problem = counting(goal, first, x=0, y=8)
    problem = NumericProblem("undefined", {}, State(frozenset(), {("y",): 8}), problem.goal)
    assert search_plan(model, problem, method="greedy").plan == (("first",),)


def test_an_idle_effect_that_reads_an_undefined_fluent_bars_its_action() -> None:
    define = NumericAction("define", effects=((("u",), Linear((), 1)),))
    copy = NumericAction("copy", effects=((("idle",), Linear(((("u",), 1),))), raised(("x",), 1)))
    model, problem = counting(at_least(("x",), 1), define, copy, u=0, idle=0, x=0)
    problem = NumericProblem(
        "undefined", {}, State(frozenset(), {("idle",): 0, ("x",): 0}), problem.goal
    )
    for method in ("breadth_first", "greedy"):
        assert search_plan(model, problem, method=method).plan == (("define",), ("copy",))


def test_dead_ends_are_proven_although_the_space_is_endless() -> None:
    spend = NumericAction(
        "spend",
        comparisons=(at_least(("money",), 1),),
        effects=(raised(("money",), -1), raised(("goods",), 2)),
    )
    idle = NumericAction(
        "idle", comparisons=(at_least(("days",), 0),), effects=(raised(("days",), 1),)
    )
    model, problem = counting(at_least(("goods",), 9), spend, idle, money=0, goods=0, days=0)
    assert search_plan(model, problem, method="greedy").status == "unsolvable"
    assert search_plan(model, problem, time_limit=5).status == "unsolvable"


ROADS = Vocabulary(
    "roads",
    {},
    {},
    {"road": ("object", "object"), "at": ("object",)},
    {"cost": ()},
    {"trip": tuple((f"?{i}", "object") for i in range(4))},
)


def test_four_parameters_are_joined_not_multiplied_and_idle_counters_left_out() -> None:
    places = [f"place{number:02}" for number in range(60)]
    trip = NumericAction(
        "trip",
        ROADS.actions["trip"],
        positive=frozenset({("at", 0), *(("road", i, i + 1) for i in range(3))}),
        adds=frozenset({("at", 3)}),
        deletes=frozenset({("at", 0)}),
        effects=(raised(("cost",), 10),),
    )
    atoms = {
        ("road", place, neighbour) for place, neighbour in zip(places, places[1:], strict=False)
    } | {("at", places[0])}
    problem = NumericProblem(
        "line",
        dict.fromkeys(places, "object"),
        State(frozenset(atoms), {("cost",): 0}),
        Goal(frozenset({("at", places[57])})),
    )
    calls = [0]

    def count() -> None:
        calls[0] += 1

    task = GroundTask(NumericModel(ROADS, {"trip": trip}), problem, count)
    # only reachable places are joined, whereas 60**4 bindings fit the types
    assert [action.name[1] for action in task.actions] == places[:57:3]
    assert calls[0] < 1000
    assert not task.fluents and set(task.atoms) == {("at", place) for place in places[:58:3]}
    assert len(search_plan(NumericModel(ROADS, {"trip": trip}), problem).plan or ()) == 19


def test_joins_respect_types_repeated_parameters_constants_and_static_conditions() -> None:
    mark = NumericAction(
        "one",
        (("?x", "special"), ("?y", "kind")),
        positive=frozenset({("q", 0, 0), ("q", 1, "a"), ("p", 1)}),
        negative=frozenset({("q", 1, 1)}),
        distinct=frozenset({(1, "c")}),
        comparisons=(at_least(("f", 1), 1),),  # type: ignore[arg-type]
        adds=frozenset({("r",)}),
    )
    atoms = (
        {("q", x, x) for x in "ac"}
        | {("q", x, "a") for x in "bcd"}
        | {("q", "b", "c"), *(("p", x) for x in "abcd")}
    )
    objects = {"a": "kind", "b": "kind", "c": "special", "d": "kind"}
    problem = NumericProblem(
        "types",
        objects,
        State(frozenset(atoms), {("f", x): n for n, x in enumerate("dab")}),
        Goal(frozenset({("r",)})),
    )
    model = NumericModel(WORDS, {"one": mark})
    task = GroundTask(model, problem)
    assert (
        [action.name for action in task.actions]
        == [("one", "c", "b")]
        == list(plain_successors(model, problem, problem.initial))
    )


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"objects": {"x": "planet"}}, "planet"),
        ({"initial": State(frozenset({("flies", "x")}), {})}, "flies"),
        ({"initial": State(frozenset({("at", "nowhere")}), {})}, "nowhere"),
        ({"initial": State(frozenset({("at", "x", "x")}), {})}, "at"),
        ({"initial": State(frozenset(), {("weight",): 1})}, "weight"),
        ({"goal": Goal(frozenset({("at", "nobody")}))}, "nobody"),
        ({"goal": Goal(comparisons=(at_least(("speed",), 1),))}, "speed"),
    ],
)
def test_unknown_names_are_named(change: dict[str, object], name: str) -> None:
    given_parts = {
        "objects": {"x": "object"},
        "initial": State(frozenset({("at", "x")}), {("cost",): 0}),
        "goal": Goal(),
        **change,
    }
    with pytest.raises(DatasetError, match=name):
        search_plan(NumericModel(ROADS, {}), NumericProblem("odd", **given_parts))  # type: ignore[arg-type]


def endless() -> tuple[NumericModel, NumericProblem]:
    """A task without a plan: two counters grow together and the goal needs them apart.

    Breadth-first search cannot prove it, as the state space is infinite.
    """
    both = [
        NumericAction(f"by-{n}", effects=(raised(("x",), n), raised(("y",), n))) for n in (1, 2, 3)
    ]
    return counting(
        Comparison(Linear(((("x",), 1), (("y",), -1)), -1), ">="),
        *both,
        NumericAction("y", effects=(raised(("y",), 1),)),
        x=0,
        y=0,
    )


@pytest.mark.parametrize("method", ["auto", "breadth_first", "greedy"])
def test_limits_give_marked_results(method: str) -> None:
    model, problem = endless()
    timed = search_plan(model, problem, method=method, time_limit=0.3)
    if method == "greedy":  # in the relaxation no action raises x - y, which proves it
        assert timed.status == "unsolvable"
    else:
        assert timed.status in ("time_limit", "unsolvable") and timed.seconds < 3
    assert search_plan(model, problem, method=method, time_limit=0.0).status == "time_limit"
    small = search_plan(model, problem, method=method, memory_limit_mb=1)
    assert small.status == "memory_limit" and small.plan is None


def test_a_breadth_first_search_out_of_time_says_so() -> None:
    model, problem = endless()
    result = search_plan(model, problem, method="breadth_first", time_limit=0.3)
    assert (
        result.status == "time_limit"
        and result.plan is None
        and result.expanded > 0
        and result.seconds < 3
    )


def test_an_unknown_method_and_a_contradictory_result_are_refused() -> None:
    model, problem = endless()
    with pytest.raises(ConfigError, match="dijkstra"):
        search_plan(model, problem, method="dijkstra")
    with pytest.raises(ValueError, match="no plan"):
        PlanResult(None, "optimal", "search", 0.0)
    with pytest.raises(ValueError, match="a plan"):
        PlanResult((), "unsolvable", "search", 0.0)


def test_progress_is_told_ever_lower_estimates() -> None:
    estimates: list[float] = []
    model, problem = counting(
        at_least(("x",), 5), NumericAction("rise", effects=(raised(("x",), 1),)), x=0
    )
    search_plan(
        model, problem, method="greedy", progress=lambda _, estimate: estimates.append(estimate)
    )
    assert (
        estimates[0] == 5
        and estimates == sorted(estimates, reverse=True)
        and len(set(estimates)) == len(estimates) > 1
    )


@RANDOM
@given(tasks(), st.integers(0, 10**6))
def test_shortened_walks_are_still_plans(
    task: tuple[NumericModel, NumericProblem], seed: int
) -> None:
    model, problem = task
    state, chooser, calls = problem.initial, random.Random(seed), []
    for _ in range(12):
        following = plain_successors(model, problem, state)
        if not following:
            break
        call = chooser.choice(sorted(following))
        state = following[call]
        calls.append(call)
    goal = Goal(
        frozenset(sorted(state.atoms)[:3]),
        comparisons=(Comparison(Linear(((("g",), 1),), -state.values[("g",)]), "="),),
    )
    problem = NumericProblem("there", problem.objects, problem.initial, goal)
    ground = GroundTask(model, problem)
    numbers = {action.name: number for number, action in enumerate(ground.actions)}
    # the other actions change nothing relevant
    walk = [numbers[call] for call in calls if call in numbers]
    short = shorten(ground, walk, SearchLimits(10, 10**6))
    assert len(short) <= len(walk) and is_valid(
        model, problem, [ground.actions[number].name for number in short]
    )


def test_a_detour_and_a_needless_action_are_cut() -> None:
    up = NumericAction("up", effects=(raised(("x",), 1),))
    down = NumericAction("down", effects=(raised(("x",), -1),))
    aside = NumericAction(
        "aside", comparisons=(at_least(("y",), -9),), effects=(raised(("y",), 1),)
    )
    task = GroundTask(*counting(at_least(("x",), 2), up, down, aside, x=0, y=0))
    number = {action.name[0]: place for place, action in enumerate(task.actions)}
    walk = [number[name] for name in ("up", "aside", "down", "up", "aside", "up")]
    assert shorten(task, walk, SearchLimits(10, 10**6)) == [number["up"]] * 2


@pytest.mark.skipif(
    not TRAJECTORIES.is_dir(), reason="the issue's data folder is not beside this checkout"
)
@pytest.mark.parametrize(
    ("domain", "name", "length"),
    [
        ("minecraft", "basic_map_instance_917", 11),
        ("depots", "pfile141", None),
        ("counters", "pfile7_36", None),
        ("counters", "pfile2_9", 11),
    ],
)
def test_problems_of_the_data_folder_are_solved(domain: str, name: str, length: int | None) -> None:
    from worldplan.world_models.pddl.reading import read_model, read_problem

    model = read_model(next((TRAJECTORIES / domain).glob("*domain.pddl")))
    problem = read_problem(TRAJECTORIES / domain / f"{name}.pddl", model.vocabulary)
    method = "greedy" if length is None else "breadth_first"
    result = search_plan(model, problem, method=method, time_limit=60)
    assert result.plan is not None and is_valid(model, problem, result.plan)
    assert length is None or len(result.plan) == length
