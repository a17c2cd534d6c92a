"""The MILP planner and its layers against brute force, on random tasks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.planners.numeric.builders import plain_successors, shortest
from worldplan.planners.numeric.milp.layers import first_layer, may_be_goal, next_layer
from worldplan.planners.numeric.milp.planner import milp_plan
from worldplan.planners.numeric.task.task import GroundTask
from worldplan.world_models.action_model.hypothesis_classes import SeenPoints
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.exact.vertices import hull_points
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Ground,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    Region,
    Shape,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import is_valid

DEPTH = 4


ROOMS = Vocabulary(
    "rooms",
    {"room": "object"},
    {},
    {"clean": ("room",), "ready": ()},
    {"dust": ("room",), "energy": ()},
    {"one": (("x", "room"),), "two": (("x", "room"), ("y", "room")), "none": ()},
)


Rng = np.random.Generator


def number(rng: Rng) -> Rational:
    return Fraction(1, 2) if rng.random() < 0.1 else int(rng.integers(0, 4))


def some(rng: Rng, items: Sequence, most: int) -> list:
    return [items[i] for i in rng.permutation(len(items))[: rng.integers(0, most + 1)]]


def random_form(rng: Rng, fluents: Sequence) -> Linear:
    factors = (1, 1, -1, 2, Fraction(1, 2))
    return Linear(
        tuple((fluent, factors[rng.integers(5)]) for fluent in some(rng, fluents, 2)),
        int(rng.integers(-2, 3)),
    )


def random_shape(rng: Rng, dimension: int) -> Shape:
    points = [
        tuple(number(rng) for _ in range(dimension))
        for _ in range(rng.integers(1, 4 + 3 * dimension))
    ]
    kind = rng.choice(["hull", "rays", "finite"], p=[0.6, 0.2, 0.2])
    if kind == "finite":
        return SeenPoints(frozenset(points))
    return Polyhedron(
        points, tuple(map(int, rng.integers(-1, 2, dimension))) if kind == "rays" else None
    )


def random_action(rng: Rng, name: str) -> NumericAction:
    """Conditions of every kind, each of them rare enough that many actions are applicable."""
    parameters = ROOMS.actions[name]
    atoms = [("ready",), *(("clean", i) for i in range(len(parameters)))]
    fluents = [("energy",), *(("dust", i) for i in range(len(parameters)))]
    regions = []
    for _ in range(rng.choice(3, p=[0.3, 0.4, 0.3])):
        chosen = some(rng, fluents, len(fluents)) or fluents
        regions.append(Region(tuple(chosen), random_shape(rng, len(chosen))))
    literals = {atom: bool(rng.random() < 0.5) for atom in some(rng, atoms, 1)}
    changed = {atom: bool(rng.random() < 0.6) for atom in some(rng, atoms, 2)}
    comparisons = [
        Comparison(random_form(rng, fluents), rng.choice([">=", ">=", ">", "="]))
        for _ in range(rng.choice(2, p=[0.7, 0.3]))
    ]
    effects = []
    for target in some(rng, fluents, 2):
        step = Linear(((target, 1),), int(rng.choice([-1, 1, 1, 2])))
        effects.append((target, step if rng.random() < 0.6 else random_form(rng, fluents)))
    return NumericAction(
        name,
        parameters,
        frozenset(atom for atom, value in literals.items() if value),
        frozenset(atom for atom, value in literals.items() if not value),
        frozenset({(0, 1)})
        if len(parameters) == 2
        else frozenset(),  # or one target twice would leave its value open
        tuple(comparisons),
        tuple(regions),
        frozenset(atom for atom, value in changed.items() if value),
        frozenset(atom for atom, value in changed.items() if not value),
        tuple(effects),
    )


def random_task(seed: int) -> tuple[NumericModel, NumericProblem]:
    """A goal that a random walk reaches or, in one of four cases, misses by 1."""
    rng = np.random.default_rng(seed)
    model = NumericModel(ROOMS, {name: random_action(rng, name) for name in ROOMS.actions})
    rooms = {"a": "room", "b": "room"}
    fluents: list[Ground] = [("energy",), *(("dust", room) for room in rooms)]
    atoms: list[Ground] = [("ready",), *(("clean", room) for room in rooms)]
    initial = State(frozenset(some(rng, atoms, 2)), {fluent: number(rng) for fluent in fluents})
    problem = NumericProblem("small", rooms, initial, Goal())
    state = initial
    for _ in range(DEPTH):
        ways = list(plain_successors(model, problem, state).values())
        state = ways[rng.integers(len(ways))] if ways else state
    miss = int(rng.random() < 0.25)
    comparisons = [
        Comparison(Linear(((fluent, 1),), -state.values[fluent] - miss), rng.choice([">=", "="]))
        if rng.random() < 0.8
        else Comparison(Linear(((fluent, 2),), 1 - 2 * state.values[fluent] - miss), ">")
        for fluent in [
            *[fluent for fluent in fluents if state.values[fluent] != initial.values[fluent]][:1],
            *some(rng, fluents, 2),
        ]
    ]
    goal_atoms = some(rng, atoms, 2)
    goal = Goal(
        frozenset(goal_atoms) & state.atoms, frozenset(goal_atoms) - state.atoms, tuple(comparisons)
    )
    return model, NumericProblem("small", rooms, initial, goal)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**9))
@example(674).via("HiGHS's presolve calls its programme infeasible")
@example(2175).via("HiGHS's presolve calls its programme infeasible")
def test_plans_are_as_short_as_brute_force_finds_them(seed: int) -> None:
    model, problem = random_task(seed)
    length = shortest(model, problem, DEPTH)
    result = milp_plan(model, problem, max_horizon=DEPTH)
    if length is None:
        assert result.plan is None
        assert result.status in ("unsolvable", "no_plan_found")
        if result.status == "unsolvable":
            assert shortest(model, problem, DEPTH + 2) is None
    else:
        assert result.status == "optimal"
        assert result.plan is not None
        assert len(result.plan) == length
        assert is_valid(model, problem, result.plan)
        assert result.detail["proven_horizon"] == length - 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_layers_hold_every_state_and_action(seed: int) -> None:
    model, problem = random_task(seed)
    compiled = GroundTask(model, problem)
    if compiled.unreachable:
        return
    layer, nodes = first_layer(compiled), {compiled.initial}
    for _ in range(4):
        for bits, values in nodes:
            assert bits & ~layer.true == 0
            assert ~bits & ((1 << len(compiled.atoms)) - 1) & ~layer.false == 0
            assert all(
                low <= value <= high for value, (low, high) in zip(values, layer.box, strict=True)
            )
            assert {number for number, _ in compiled.successors((bits, values))} <= set(
                layer.actions
            )
            assert may_be_goal(compiled, layer) or not compiled.is_goal((bits, values))
        if not layer.actions:
            return
        nodes = {after for node in nodes for _, after in compiled.successors(node)}
        layer = next_layer(compiled, layer)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 3).flatmap(
        lambda d: st.tuples(
            st.lists(st.tuples(*[st.integers(0, 4)] * d), min_size=1, max_size=12),
            st.tuples(*[st.sampled_from([-1, 0, 0, 1])] * d),
        )
    )
)
def test_hull_points_keep_the_hull(given_: tuple[list[tuple[int, ...]], tuple[int, ...]]) -> None:
    points, directions = given_
    shape = Polyhedron(points, directions)
    kept = hull_points(shape)
    assert set(kept) <= set(shape.points)
    smaller = Polyhedron(kept, directions)
    assert all(smaller.contains(point) for point in points)
    if not any(directions):
        for point in kept:
            rest = [other for other in kept if other != point]
            assert not rest or not Polyhedron(rest).contains(point)


def test_hull_points_of_a_grid_are_its_corners() -> None:
    grid = Polyhedron([(x, y, z) for x in range(5) for y in range(5) for z in range(5)])
    corners = {(x, y, z) for x in (0, 4) for y in (0, 4) for z in (0, 4)}
    assert set(hull_points(grid)) == corners
    assert hull_points(Polyhedron([(3,), (1,), (2,), (9,)])) == ((1,), (9,))
    assert hull_points(Polyhedron([(3,), (1,), (2,), (9,)], (1,))) == ((1,),)
