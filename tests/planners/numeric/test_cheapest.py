"""Plans of best metric: what is proven, what is refused, and what a limit leaves."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from worldplan.milp.errors import DatasetError
from worldplan.planners.numeric.cheapest.lower_bounds import LowerBounds
from worldplan.planners.numeric.cheapest.planner import UnboundedMetric, astar_plan
from worldplan.planners.numeric.cheapest.symmetry import symmetry_key
from worldplan.planners.numeric.planning import solve
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.planners.numeric.task.symmetry import with_representatives
from worldplan.planners.numeric.task.task import GroundTask
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
from worldplan.world_models.numeric.metrics import TOTAL_TIME, Metric

GOLD, ORE, SPENT, STEP = ("gold",), ("ore",), ("spent",), TOTAL_TIME
WORDS = Vocabulary(
    "mine",
    {},
    {},
    {"awake": ()},
    {"gold": (), "ore": (), "spent": ()},
    dict.fromkeys(("dig", "hire", "sell", "sleep", "drop"), ()),
)


def linear(constant: Any = 0, **terms: Any) -> Linear:
    return Linear(tuple(((name,), factor) for name, factor in terms.items()), constant)


def mine(**metric: Any) -> tuple[NumericModel, NumericProblem]:
    """Ore is dug, one at a time for 2 or five at a time for 7; at most 10 can be held; each ore is
    sold for 3. The goal is 5 ore in hand.
    """
    room = Comparison(linear(9, ore=-1), ">=")
    actions = [
        NumericAction("dig", comparisons=(room,), effects=(grows("ore", 1), grows("spent", 2))),
        NumericAction(
            "hire",
            comparisons=(Comparison(linear(5, ore=-1), ">="),),
            effects=(grows("ore", 5), grows("spent", 7)),
        ),
    ]
    model = NumericModel(WORDS, {action.name: action for action in actions})
    initial = State(frozenset({("awake",)}), {GOLD: 0, ORE: 0, SPENT: 0})
    goal = Goal(comparisons=(Comparison(linear(-5, ore=1), ">="),))
    return model, NumericProblem("mine", {}, initial, goal, Metric(**metric))


def grows(name: str, amount: Any) -> tuple[tuple[str, ...], Linear]:
    return (name,), linear(amount, **{name: 1})


def with_action(
    task: tuple[NumericModel, NumericProblem], action: NumericAction
) -> tuple[NumericModel, NumericProblem]:
    model, problem = task
    return NumericModel(WORDS, {**model.actions, action.name: action}), problem


@pytest.mark.parametrize(
    ("sense", "terms", "cost", "steps"),
    [
        ("minimize", {SPENT: 1}, 7, 1),
        ("minimize", {SPENT: 1, STEP: 4}, 11, 1),
        ("minimize", {SPENT: 2, ORE: -1}, 9, 1),  # 2 * 7 - 5: more ore is worth less than it costs
        ("minimize", {SPENT: 1, ORE: -3}, -16, 2),  # both hired: 14 - 30
        ("maximize", {ORE: 1}, 10, None),
        ("minimize", {STEP: 1}, 1, 1),
        ("minimize", {GOLD: 3}, 0, None),
        ("maximize", {STEP: 1}, 10, 10),  # every step digs one ore
    ],
)
@pytest.mark.parametrize("planner", ["astar", "milp"])
def test_the_best_metric_is_proven(
    planner: str, sense: str, terms: dict[tuple[str, ...], int], cost: int, steps: int | None
) -> None:
    result = solve(*mine(sense=sense, expression=Linear(tuple(terms.items()))), planner)
    assert (result.status, result.cost, result.bound) == ("optimal", cost, cost)
    assert result.plan is not None
    assert steps is None or len(result.plan) == steps


def test_costs_may_depend_on_the_state() -> None:
    """An ore costs as much as is held already, so one at a time is dear in the end."""
    price = Linear(((SPENT, 1), (ORE, 1)), 1)
    dig = NumericAction("dig", effects=(grows("ore", 1), (SPENT, price)))
    task = with_action(mine(sense="minimize", expression=linear(spent=1)), dig)
    result = solve(*task, "astar")
    assert (result.status, result.cost) == ("optimal", 7)
    cheaper = replace(task[1], goal=Goal(comparisons=(Comparison(linear(-3, ore=1), "="),)))
    result = solve(task[0], cheaper, "astar")
    assert (result.status, result.cost) == ("optimal", 1 + 2 + 3)


def test_a_metric_without_a_best_value_is_refused_by_name() -> None:
    task = mine(sense="maximize", expression=linear(gold=1, spent=-1))
    sell = NumericAction("sell", effects=(grows("gold", Fraction(1, 3)),))
    with pytest.raises(UnboundedMetric, match=r"maximize.*\(sell\) changes it by 1/3 each time"):
        solve(*with_action(task, sell), "astar")
    result = solve(*with_action(task, sell), "auto")
    assert result.plan is not None
    assert "no best value" in result.detail["unprovable"]


@pytest.mark.parametrize("relation", [">=", "="])
def test_what_grows_without_end_is_noticed_where_the_goal_is_about_it(relation: str) -> None:
    """Every sale leads to another state, and each is as good for the goal as the one before."""
    model, problem = mine(sense="maximize", expression=linear(gold=1, ore=-1))
    sell = NumericAction("sell", effects=(grows("gold", 2),))
    goal = Goal(comparisons=(Comparison(linear(-4, gold=1), relation),))
    task = NumericModel(WORDS, {**model.actions, "sell": sell}), replace(problem, goal=goal)
    if relation == ">=":
        with pytest.raises(UnboundedMetric, match=r"\(sell\) changes it by 2 each time"):
            solve(*task, "astar")
    else:
        result = solve(*task, "astar", time_limit=1)
        assert (result.plan, result.cost) == ((("sell",),) * 2, 4)


def test_a_cycle_from_which_the_goal_is_unreachable_counts_for_nothing() -> None:
    """Whoever falls asleep dreams of gold for ever."""
    task = mine(sense="maximize", expression=linear(gold=1, spent=-1))
    awake = frozenset({("awake",)})
    dream = NumericAction("sell", negative=awake, effects=(grows("gold", 1),))
    task = with_action(with_action(task, dream), NumericAction("sleep", deletes=awake))
    actions = {name: replace(task[0].actions[name], positive=awake) for name in ("dig", "hire")}
    model = NumericModel(WORDS, {**task[0].actions, **actions})
    with pytest.raises(UnboundedMetric):  # who sleeps once the ore is there may dream on
        solve(model, task[1], "astar")
    problem = replace(task[1], goal=replace(task[1].goal, positive=awake))
    result = solve(model, problem, "astar")
    assert (result.status, result.cost) == ("optimal", -7)


def test_a_proof_of_the_first_search_is_not_sought_again() -> None:
    """Two states without costs; with them, every ore makes another one, without end."""
    awake, gone = frozenset({("awake",)}), frozenset({("gone",)})
    words = replace(WORDS, predicates={"awake": (), "gone": ()}, actions=dict.fromkeys("abc", ()))
    price = Linear(((SPENT, 1), (ORE, 1)), 1)
    actions = [
        NumericAction("a", positive=awake, effects=(grows("ore", 1), (SPENT, price))),
        NumericAction("b", positive=awake, adds=gone, deletes=awake),
        NumericAction("c", positive=gone, adds=awake, deletes=gone),
    ]
    initial = State(awake, {GOLD: 0, ORE: 0, SPENT: 0})
    metric = Metric("minimize", linear(spent=1))
    problem = NumericProblem("both", {}, initial, Goal(awake | gone), metric)
    model = NumericModel(words, {action.name: action for action in actions})
    assert astar_plan(model, problem, time_limit=5).status == "unsolvable"


def test_a_limit_leaves_the_best_plan_and_a_bound() -> None:
    model, problem = mine(sense="minimize", expression=linear(spent=1))
    far = replace(problem, goal=Goal(comparisons=(Comparison(linear(-9, ore=1), ">="),)))
    with_limit = astar_plan(model, far, time_limit=0.0)
    assert (with_limit.plan, with_limit.status) == (None, "time_limit")
    whole = astar_plan(model, far)
    assert (whole.cost, whole.detail["first_bound"]) == (14, 13)  # 9 * 7 / 5, rounded up
    assert whole.bound == 14


def test_planners_without_a_use_of_the_metric_prove_nothing_about_it() -> None:
    model, problem = mine(sense="minimize", expression=linear(spent=1))
    for planner in ("search", "enhsp"):
        result = solve(model, problem, planner)
        assert (result.status, result.bound) == ("satisficing", None)
        assert result.cost is not None
    assert solve(model, problem, "search").detail["fewest_actions"]
    steps = replace(problem, metric=Metric("minimize", Linear(((STEP, 2),), 1)))
    result = solve(model, steps, "search")
    assert (result.status, result.cost, result.bound) == ("optimal", 3, 3)


def test_the_default_planner_improves_the_metric_and_proves_a_bound() -> None:
    model, problem = mine(sense="minimize", expression=linear(spent=1))
    dear = replace(model.actions["hire"], effects=(grows("ore", 5), grows("spent", 70)))
    model = NumericModel(WORDS, {**model.actions, "hire": dear})
    assert solve(model, problem, "search").cost == 70
    result = solve(model, problem)
    assert (result.status, result.cost, result.bound) == ("optimal", 10, 10)
    assert result.plan == (("dig",),) * 5
    assert result.detail["improved"]["from"] == 70


def test_programs_prove_the_best_plan_of_few_actions_where_longer_ones_may_be_better() -> None:
    """A sale costs nothing, so nothing bounds what longer plans are worth."""
    task = mine(sense="maximize", expression=linear(gold=1, spent=-1))
    sell = NumericAction("sell", effects=(grows("gold", 1),))
    result = solve(*with_action(task, sell), "milp", max_horizon=3)
    assert (result.status, result.cost, result.bound) == ("satisficing", -5, None)
    assert result.detail["proven_horizon"] == 3
    assert "nothing is proven about plans of more than 3 actions" in result.detail["reason"]


def test_programs_bound_longer_plans_by_their_cheapest_action() -> None:
    """Ten ore are five digs and a hire for 17, or two hires for 14, which are shorter as well."""
    model, problem = mine(sense="minimize", expression=linear(spent=1))
    far = replace(problem, goal=Goal(comparisons=(Comparison(linear(-10, ore=1), ">="),)))
    result = solve(model, far, "milp")
    assert (result.status, result.cost, result.bound) == ("optimal", 14, 14)
    assert result.detail["proven_horizon"] < 7  # seven digs cost as much
    short = solve(model, far, "milp", max_horizon=1)
    assert (short.plan, short.bound, short.status) == (None, 14, "no_plan_found")


def test_costs_without_a_common_unit_are_not_proven_exactly_by_programs() -> None:
    model, problem = mine(sense="minimize", expression=linear(spent=1))
    half = Linear(((SPENT, 1), (ORE, Fraction(1, 3))), Fraction(1, 7))
    third = NumericAction("dig", effects=((ORE, linear(Fraction(5, 3), ore=1)), (SPENT, half)))
    model = NumericModel(WORDS, {"dig": third})
    by_programs, by_search = (solve(model, problem, planner) for planner in ("milp", "astar"))
    assert by_search.status == "optimal"
    assert by_programs.cost == by_search.cost == 3 * Fraction(1, 7) + Fraction(5, 3)
    assert by_programs.status == "satisficing"
    assert by_programs.bound is not None and by_programs.cost is not None
    assert by_programs.bound < by_programs.cost < by_programs.bound + Fraction(1, 10**5)


def test_a_wrong_cost_of_a_planner_is_corrected() -> None:
    model, problem = mine(sense="minimize", expression=linear(spent=1))

    def boasting(*_: Any, **__: Any) -> PlanResult:
        return PlanResult((("hire",),), "optimal", "boasting", 0.0, cost=1, bound=1)

    result = solve(model, problem, boasting)
    assert (result.status, result.cost, result.bound) == ("satisficing", 7, None)


def test_a_metric_must_have_a_value_and_a_declared_function() -> None:
    model, problem = mine(sense="minimize", expression=linear(spent=1))
    without = State(frozenset(), {ORE: 0})
    with pytest.raises(DatasetError, match=r"\(spent\) has no value"):
        solve(model, replace(problem, initial=without))
    unknown = replace(problem, metric=Metric("minimize", linear(rent=1)))
    with pytest.raises(DatasetError, match=r"\(rent\)"):
        solve(model, unknown)


X = ("x", "object")
ROOMS = Vocabulary(
    "rooms",
    {},
    {},
    {"clean": ("object",), "open": ()},
    {"dust": ("object",), "spent": ()},
    {"wipe": (("x", "object"),)},
)


def rooms(count: int) -> tuple[NumericModel, NumericProblem]:
    """As many equal rooms, each wiped until no dust is left; five wipes are enough for the goal."""
    dusty = Comparison(Linear(((("dust", 0), 1),), -1), ">=")
    wipe = NumericAction(
        "wipe",
        (("x", "object"),),
        comparisons=(dusty,),
        effects=((("dust", 0), Linear(((("dust", 0), 1),), -1)), grows("spent", 1)),
    )
    names = [f"r{number}" for number in range(count)]
    values = {("dust", name): 3 for name in names} | {SPENT: 0}
    goal = Goal(comparisons=(Comparison(linear(-5, spent=1), ">="),))
    problem = NumericProblem(
        "rooms", dict.fromkeys(names, "object"), State(frozenset(), values), goal
    )
    metric = Metric("minimize", linear(spent=1))
    return NumericModel(ROOMS, {"wipe": wipe}), replace(problem, metric=metric)


def test_symmetric_states_share_a_key_and_others_do_not() -> None:
    model, problem = rooms(3)
    task = GroundTask(model, problem, with_costs=True)
    key, objects = symmetry_key(task, model.vocabulary)
    assert objects == 3
    one, other, third = (task.apply(number, task.initial) for number in range(3))
    assert one is not None and other is not None and third is not None
    assert key(one) == key(other) == key(third) != key(task.initial)
    twice, both = task.apply(0, one), task.apply(1, one)
    assert twice is not None and both is not None
    assert key(twice) != key(both)
    named = replace(
        problem, goal=Goal(comparisons=(Comparison(Linear(((("dust", "r1"), -1),)), "="),))
    )
    assert symmetry_key(GroundTask(model, named, with_costs=True), model.vocabulary)[1] == 2


@pytest.mark.parametrize(("red", "blue"), [("a", "b"), ("red", "blue")])
def test_objects_named_like_predicates_are_not_taken_for_each_other(red: str, blue: str) -> None:
    """Only the red one is of use, and it is the dearer one to clean; to hurry is short and dear."""
    words = Vocabulary(
        "two",
        {},
        {},
        {"red": ("object",), "blue": ("object",), "clean": ("object",), "done": ()},
        {"spent": ()},
        {"wipe": (X,), "rub": (X,), "finish": (X,), "hurry": ()},
    )

    def action(name: str, spent: int, **parts: frozenset[tuple[str | int, ...]]) -> NumericAction:
        return NumericAction(name, words.actions[name], effects=(grows("spent", spent),), **parts)

    clean, done = frozenset({("clean", 0)}), frozenset({("done",)})
    actions = [
        action("wipe", 2, positive=frozenset({("red", 0)}), adds=clean),
        action("rub", 1, positive=frozenset({("blue", 0)}), adds=clean),
        action("finish", 0, positive=clean | {("red", 0)}, adds=done),
        action("hurry", 100, adds=done),
    ]
    initial = State(frozenset({("red", red), ("blue", blue)}), {SPENT: 0})
    metric = Metric("minimize", linear(spent=1))
    problem = NumericProblem(
        "two", dict.fromkeys((blue, red), "object"), initial, Goal(done), metric
    )
    model = NumericModel(words, {action.name: action for action in actions})
    result = astar_plan(model, problem)
    assert (result.status, result.cost, result.bound) == ("optimal", 2, 2)


def test_a_fluent_with_the_name_of_a_predicate_is_another_fact() -> None:
    """One object has the atom, the other the fluent with value 1."""
    model, problem = rooms(2)
    words = replace(
        model.vocabulary,
        predicates={**model.vocabulary.predicates, "big": ("object",)},
        functions={**model.vocabulary.functions, "big": ("object",)},
    )
    initial = State(frozenset({("big", "r0")}), {**problem.initial.values, ("big", "r1"): 1})
    task = GroundTask(replace(model, vocabulary=words), replace(problem, initial=initial))
    assert symmetry_key(task, words)[1] == 0
    assert with_representatives(words, task.problem, 1) is task.problem


def test_symmetry_saves_states_and_keeps_the_cost() -> None:
    model, problem = rooms(6)
    result = astar_plan(model, problem)
    assert (result.status, result.cost) == ("optimal", 5)
    assert result.expanded < 60  # 1679 states of at most five wipes without symmetry


def test_bounds_count_mixed_achievers_once() -> None:
    """Fractions of the cheapest achiever bound every mixture: 4 ore at 7 / 5 each, rounded up."""
    model, problem = mine(sense="minimize", expression=linear(spent=1))
    task = GroundTask(
        model,
        replace(problem, goal=Goal(comparisons=(Comparison(linear(-4, ore=1), ">="),))),
        with_costs=True,
    )
    assert LowerBounds(task).still_to_pay(task.initial) == 7
