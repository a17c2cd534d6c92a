"""Bounded noise: whatever is learned holds for every true value within the bounds."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world_models.action_model.builders import numeric, state
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.numeric.planning import solve
from worldplan.world_models.action_model.files import load_any_model, load_model, save_model
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.action_model.learner import ActionModelLearner, learn
from worldplan.world_models.exact import erosion
from worldplan.world_models.exact.erosion import box_corners, eroded
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.bounded import BoundedModel
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Linear,
    NumericProblem,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import plan_cost
from worldplan.world_models.numeric.metrics import Metric
from worldplan.world_models.numeric.noise import Noise
from worldplan.world_models.numeric.plan_errors import plan_fault
from worldplan.world_models.numeric.trajectories import Trajectory

TENTHS = st.integers(-60, 60).map(lambda n: Fraction(n, 10))
PARTS = st.sampled_from([-1, -1, -1, 1, 1, 1, 0, Fraction(1, 2), Fraction(-1, 3)])  # of the bound
BOUNDS = st.sampled_from([Fraction(1, 100), Fraction(1, 10), Fraction(1, 2), Fraction(1, 10**12)])
CLASSES = [
    {},
    {"effects": "increment"},
    {"effects": "sparse", "support": 1},
    {"preconditions": "monotone", "directions": {"x0": 1}},
    {"preconditions": "juntas", "size": 1},
]


def dot(a: tuple, b: tuple) -> Rational:
    return sum(x * y for x, y in zip(a, b, strict=True))


@st.composite
def noisy_worlds(draw: st.DrawFn) -> tuple:
    """A true action within a declared class, its transitions and their noisy observations."""
    d, declaration = draw(st.integers(1, 3)), draw(st.sampled_from(CLASSES))
    bounds = [draw(st.one_of(BOUNDS, st.just(0))) for _ in range(d)]
    slopes = st.sampled_from([-1, 0, 0, 0, Fraction(1, 2), 1])
    effect = []
    for i in range(d):
        row = [int(i == j) for j in range(d)]
        if declaration.get("effects") == "sparse":
            k = draw(st.integers(0, d - 1))
            row[k] += draw(slopes)
        elif declaration.get("effects") != "increment":
            row = [draw(slopes) for _ in range(d)]
        effect.append((tuple(row), draw(st.sampled_from([-1, 0, Fraction(1, 2), 3]))))
    limits = []
    for _ in range(draw(st.integers(0, 2))):
        normal = [draw(st.integers(-2, 2)) for _ in range(d)]
        if declaration.get("preconditions") == "monotone":
            normal[0] = -abs(normal[0])
        if declaration.get("preconditions") == "juntas":
            kept = draw(st.integers(0, d - 1))
            normal = [a if i == kept else 0 for i, a in enumerate(normal)]
        limits.append((tuple(normal), draw(st.integers(0, 8))))
    count = draw(st.integers(2, 14))
    points = [draw(st.tuples(*[TENTHS] * d)) for _ in range(count)]
    points = [x for x in points if all(dot(a, x) <= b for a, b in limits)] or [(0,) * d]

    def seen(x: tuple) -> tuple:
        return tuple(v + e * draw(PARTS) for v, e in zip(x, bounds, strict=True))

    pairs = [(seen(x), seen(moved(effect, x))) for x in points]
    return declaration, bounds, effect, limits, points, pairs


def moved(effect: list, x: tuple) -> tuple:
    return tuple(dot(row, x) + shift for row, shift in effect)


def learner_of(declaration: dict, bounds: list, pairs: list) -> ActionModelLearner:
    noise = Noise(0, {f"x{i}": bound for i, bound in enumerate(bounds)})
    learner = ActionModelLearner(
        numeric(len(bounds)), default=Declaration(**declaration), noise=noise
    )
    for before, after in pairs:
        learner.observe_transition(state(*before), ("a",), state(*after), True)
    return learner


@settings(max_examples=60, deadline=None)
@given(noisy_worlds(), st.data())
def test_nothing_untrue_is_accepted_and_the_errors_hold(world: tuple, data: st.DataObject) -> None:
    check(world, data.draw(st.tuples(*[TENTHS] * len(world[1]))))


@settings(max_examples=20, deadline=None)
@given(noisy_worlds(), st.tuples(TENTHS, TENTHS, TENTHS))
def test_so_do_regions_that_are_parts_only_for_want_of_facets(world: tuple, query: tuple) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erosion, "MOST_FACETS", (2, 2, 3, 5))
        check(world, query[: len(world[1])])


def check(world: tuple, query: tuple) -> None:
    """Check that what is accepted is true, and that every error holds."""
    declaration, bounds, effect, limits, points, pairs = world
    bounded = learner_of(declaration, bounds, pairs).bounded_model()  # never "below the scatter"
    assert not bounded.detail["report"].refuted
    action = bounded.model.actions.get("a")
    if action is None:
        return
    mean = tuple(sum(map(Fraction, c)) / len(c) for c in zip(*points, strict=True))
    tried = [*points, mean, *(before for before, _ in pairs)]
    for region in action.regions:  # corners of what is accepted, the hardest states
        for corner in list(region.shape.points)[:6]:
            x = dict(zip((f[0] for f in region.fluents), corner, strict=True))
            tried.append(tuple(x.get(f"x{i}", mean[i]) for i in range(len(bounds))))
    tried.append(query)
    for x in tried:
        if not action.applicable((), state(*x)):
            continue
        assert all(dot(a, x) <= b for a, b in limits)
        learned = action.successor((), state(*x)).values
        for i, true in enumerate(moved(effect, x)):
            low, high = bounded.errors.get("a", {}).get((f"x{i}",), (0, 0))
            assert learned[(f"x{i}",)] + low <= true <= learned[(f"x{i}",)] + high


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(TENTHS, TENTHS), min_size=1, max_size=6),
    st.tuples(BOUNDS, BOUNDS),
    st.sampled_from([(0, 0), (1, 0), (0, -1)]),
    st.tuples(TENTHS, TENTHS),
)
def test_the_certain_set_is_the_whole_certain_set(
    points: list, margins: tuple, directions: tuple, query: tuple
) -> None:
    certain = eroded(points, margins, directions)
    hull = Polyhedron(points, directions)
    inside = all(hull.contains(corner) for corner in box_corners(query, margins))
    assert inside == (certain is not None and certain.contains(query))
    if not inside:  # some fall of the noise leaves the query outside the hull of the true points
        corners = [
            tuple(x + s * e for x, s, e in zip(point, signs, margins, strict=True))
            for signs in product((1, -1), repeat=2)
            for point in points
        ]
        count = len(points)
        falls = [corners[i * count : (i + 1) * count] for i in range(4)]
        assert any(not Polyhedron(fall, directions).contains(query) for fall in falls)


def test_more_noise_accepts_less_and_no_noise_is_exact_learning() -> None:
    pairs = [((x, y), (x - 1, y)) for x, y in product(range(0, 12, 3), repeat=2)]
    accepted = []
    for bound in (0, Fraction(1, 2), 2):
        bounded = learner_of({"effects": "increment"}, [bound, bound], pairs).bounded_model()
        action = bounded.model.actions["a"]
        accepted.append(
            {x for x in product(range(10), repeat=2) if action.applicable((), state(*x))}
        )
    assert accepted[0] > accepted[1] > accepted[2] and accepted[2]
    exact_learner = ActionModelLearner(numeric(2), default=Declaration(effects="increment"))
    for before, after in pairs:
        exact_learner.observe_transition(state(*before), ("a",), state(*after), True)
    exact_action = exact_learner.model().actions["a"]
    bounded = learner_of({"effects": "increment"}, [0, 0], pairs).bounded_model()
    assert bounded.model.actions["a"] == exact_action and not bounded.errors


def test_bounds_below_the_scatter_are_refused() -> None:
    off = [0, 9, -9, 4, -9, 9]
    pairs = [((x,), (x + 1 + Fraction(o, 100),)) for x, o in enumerate(off)]
    assert learner_of({"effects": "increment"}, [Fraction(9, 200)], pairs).bounded_model()
    for declaration in ({"effects": "increment"}, {}):
        with pytest.raises(
            DatasetError,
            match=r"action 'a': the noise bound 0.0\d+ of \(x0\) is below.*give a larg",
        ) as refusal:
            learner_of(declaration, [Fraction(1, 100)], pairs).bounded_model()
        needed = Fraction(str(refusal.value).split("about ")[1].split()[0])
        assert learner_of(declaration, [needed], pairs).bounded_model()  # and this is enough
    squares = [((x,), (x * x,)) for x in range(6)]
    with pytest.raises(DatasetError, match="or its effect is not affine"):
        learner_of({}, [Fraction(1, 10)], squares).bounded_model()


def test_too_little_spread_names_the_fluent_and_the_remedy() -> None:
    pairs = [((x, 5), (x + 1, 5)) for x in range(8)]
    bounded = learner_of({}, [Fraction(1, 10), Fraction(1, 10)], pairs).bounded_model()
    assert "(x1) spread by 0 only" in bounded.detail["report"].excluded["a"]
    assert "declare the bound 0" in bounded.detail["report"].excluded["a"]
    assert learner_of({}, [Fraction(1, 10), 0], pairs).bounded_model().model.actions


def test_noise_is_no_sign_of_success() -> None:
    """Without a success column, a number that moved within its noise tells nothing."""
    learner = ActionModelLearner(numeric(1), noise=Noise(Fraction(1, 10)))
    learner.observe_transition(state(1), ("a",), state(Fraction(11, 10)))
    learner.observe_transition(state(1), ("a",), state(2))
    with pytest.raises(DatasetError, match="marked as failed and yet the state changed"):
        learner.observe_transition(state(1), ("a",), state(2), False)
    learner.observe_transition(state(5), ("a",), state(Fraction(51, 10)), False)
    report = learner.bounded_model().detail["report"]
    assert report.observations["a"] == 1 and report.skipped["a"] == 1


def test_a_failure_refutes_only_if_it_does_for_every_noise() -> None:
    pairs = [((x,), (x - 1,)) for x in (0, 4, 10)]
    declared = {"preconditions": "monotone", "effects": "increment"}
    for failed, refuted in ((Fraction(1, 10), False), (12, True)):
        learner = learner_of(declared, [Fraction(1, 10)], pairs)
        learner.observe_transition(state(failed), ("a",), state(failed), False)
        bounded = learner.bounded_model()
        assert bool(bounded.detail["report"].refuted) == refuted
        action = bounded.model.actions["a"]
        assert not action.applicable((), state(12)) if refuted else action.applicable((), state(12))
    learner = learner_of({}, [Fraction(1, 10)], pairs)
    learner.observe_transition(state(5), ("a",), state(5), False)
    assert "no weaker class" in learner.bounded_model().detail["report"].excluded["a"]


def tank(bound: Rational, declared: Rational | None = None) -> BoundedModel:
    """A tank that loses 1 and gains 3, from observations with the worst noise of a bound."""
    words = Vocabulary("tank", {}, {}, {}, {"level": (), "left": ()}, {"use": (), "fill": ()})
    learner = ActionModelLearner(
        words,
        {
            "use": Declaration(
                preconditions="monotone", precondition_fluents=("level",), effects="increment"
            ),
            "fill": Declaration(
                precondition_fluents=("left",),
                effects="increment",
                effect_fluents={"level": (), "left": ()},
            ),
        },
        noise=Noise(bound if declared is None else declared, {"left": 0}),
    )
    for i, x in enumerate((1, 2, 5, 9, 3, 4)):
        s, t = (1, -1) if i % 2 else (-1, 1)
        for name, change, left in (("use", -1, 0), ("fill", 3, -1)):
            before = State(frozenset(), {("level",): x + s * bound, ("left",): i % 4 + 1})
            after = State(
                frozenset(), {("level",): x + change + t * bound, ("left",): i % 4 + 1 + left}
            )
            learner.observe_transition(before, (name,), after, True)
    return learner.bounded_model()


def test_robust_plans_hold_for_every_value_and_no_other_plan_is_taken() -> None:
    bounded = tank(Fraction(1, 10))
    goal = Goal(comparisons=(Comparison(Linear(((("level",), 1),), -7), ">="),))
    start = State(frozenset(), {("level",): 2, ("left",): 4})
    problem = NumericProblem("p", {}, start, goal)
    result = solve(bounded, problem, "search", time_limit=5.0)
    assert result.plan == (("fill",), ("fill",)) and result.detail["robust"]
    assert plan_fault(bounded, problem, result.plan) is None
    # from 1 the level may be 6.9 afterwards
    near = NumericProblem("p", {}, State(frozenset(), {("level",): 1, ("left",): 4}), goal)
    fault = plan_fault(bounded, near, result.plan)
    assert fault is not None and "level-low" in fault
    third = solve(bounded, near, "search", time_limit=5.0).plan
    assert third is not None and len(third) == 3
    exact_goal = Goal(comparisons=(Comparison(Linear(((("level",), 1),), -8), "="),))
    assert solve(bounded, NumericProblem("p", {}, start, exact_goal), "search").plan is None


def test_a_metric_counts_with_its_worst_value() -> None:
    bounded = tank(Fraction(1, 10), Fraction(1, 5))
    level = Linear(((("level",), 1),))
    start = State(frozenset(), {("level",): 2, ("left",): 4})
    for sense, worst in (("minimize", Fraction(12, 5)), ("maximize", Fraction(8, 5))):
        problem = NumericProblem("p", {}, start, Goal(), Metric(sense, level))
        model, robust = bounded.robust(problem)
        assert plan_cost(model, robust, ()) == 2 + (worst - 2) / 2
        assert plan_cost(model, robust, (("fill",),)) == 3 + worst


def test_model_files_keep_the_bounds(tmp_path: Path) -> None:
    bounded = tank(Fraction(1, 10), Fraction(1, 5))
    assert bounded.errors["use"] == {("level",): (Fraction(-1, 5), Fraction(1, 5))}
    save_model(bounded, tmp_path / "m.json")
    again = load_any_model(tmp_path / "m.json")
    assert isinstance(again, BoundedModel) and again.noise == bounded.noise
    assert again.model.actions == bounded.model.actions and again.errors == bounded.errors
    with pytest.raises(DatasetError, match="has noise bounds"):
        load_model(tmp_path / "m.json")
    text = (tmp_path / "m.json").read_text()
    for old, new, words in (
        ('"bound": "1/5"', '"bound": "-1/5"', "noise.bound: '-1/5' is below 0"),
        ('"bounds": {"left"', '"bounds": {"lft"', "noise.bounds.lft"),
        ('[["level"], "', '[["levl"], "', "noise.errors"),
        ('"errors"', '"erors"', "'errors' is missing"),
    ):
        assert old in text
        (tmp_path / "m.json").write_text(text.replace(old, new))
        with pytest.raises(DatasetError, match=words):
            load_any_model(tmp_path / "m.json")


@pytest.mark.parametrize("wrong", [-1, True, "x", float("nan"), float("inf"), [1]])
def test_wrong_bounds(wrong: object) -> None:
    with pytest.raises(ConfigError, match="largest error of an observed number"):
        Noise(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="noise of 'x0'"):
        Noise(0, {"x0": wrong})  # type: ignore[dict-item]


def test_misuse_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'x9' is not a function.*x0"):
        ActionModelLearner(numeric(2), noise=Noise(0, {"x9": 1}))
    with pytest.raises(ConfigError, match=r"use bounded_model\(\)"):
        ActionModelLearner(numeric(1), noise=Noise(1)).model()
    with pytest.raises(ConfigError, match="no noise is declared"):
        ActionModelLearner(numeric(1)).bounded_model()
    states = (state(1), state(2))
    trajectory = Trajectory({}, states, (("a",),), (True,))
    model = learn(numeric(1), [trajectory])
    with pytest.raises(DatasetError, match=r"errors\['a'\]"):
        BoundedModel(model, {"a": {("x7",): (0, 1)}}, Noise(1))
