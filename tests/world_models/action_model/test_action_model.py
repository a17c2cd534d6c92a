"""Learned action models are safe: nothing is accepted that truly cannot be done, and every
prediction is exact.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.action_model.action_learner import lifted_terms
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.action_model.learner import ActionModelLearner, learn
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import State, Vocabulary
from worldplan.world_models.numeric.trajectories import Trajectory

NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.fractions(-2, 2, max_denominator=7),
    st.sampled_from([Fraction(1, 20000), -(10**9), 10**9]),
)


def numeric(count: int, *actions: str) -> Vocabulary:
    """A domain of `count` numbers and actions without objects."""
    return Vocabulary(
        "numbers",
        {},
        {},
        {},
        {f"x{i}": () for i in range(count)},
        dict.fromkeys(actions or ("a",), ()),
    )


def state(*values: Rational, atoms: frozenset = frozenset()) -> State:
    return State(atoms, {(f"x{i}",): value for i, value in enumerate(values)})


def observe(pairs: list[tuple], failures: list[tuple] = (), **declaration) -> ActionModelLearner:
    """A learner of action `a` that saw numbers before and after it, and numbers where it failed."""
    learner = ActionModelLearner(numeric(len(pairs[0][0])), default=Declaration(**declaration))
    for before, after in pairs:
        learner.observe_transition(state(*before), ("a",), state(*after), True)
    for before in failures:
        learner.observe_transition(state(*before), ("a",), state(*before), False)
    return learner


def accepts(learner: ActionModelLearner, *values: Rational) -> bool:
    action = learner.model().actions.get("a")
    return action is not None and action.applicable((), state(*values))


def result(learner: ActionModelLearner, *values: Rational) -> tuple:
    after = learner.model().actions["a"].successor((), state(*values)).values
    return tuple(after[(f"x{i}",)] for i in range(len(values)))


@st.composite
def worlds(draw: st.DrawFn) -> tuple:
    """A true action (half-spaces, affine effect), states where it applies, and further states."""
    d = draw(st.integers(1, 8))
    effect = [(draw(st.tuples(*[NUMBERS] * d)), draw(NUMBERS)) for _ in range(d)]
    limits = [
        (draw(st.tuples(*[st.integers(-2, 2)] * d)), draw(st.integers(-2, 6)))
        for _ in range(draw(st.integers(0, 3)))
    ]
    scale = draw(st.sampled_from([1, 1, Fraction(1, 20000), 10**6]))
    rank = draw(st.integers(0, d))
    flat = [draw(st.tuples(*[st.integers(-2, 2)] * d)) for _ in range(rank)]
    base = draw(st.tuples(*[st.integers(-3, 3)] * d))

    def point() -> tuple:
        steps = [draw(st.integers(-3, 3)) for _ in flat]
        return tuple(
            (base[i] + sum(s * v[i] for s, v in zip(steps, flat, strict=True))) * scale
            for i in range(d)
        )

    seen = [point() for _ in range(draw(st.integers(1, 10)))]
    limits = [(a, max([b * scale, *(dot(a, x) for x in seen[:3])])) for a, b in limits]
    seen = [x for x in seen if allowed(limits, x)]
    mean = tuple(sum(map(Fraction, column)) / len(seen) for column in zip(*seen, strict=True))
    asked = [mean, *(point() for _ in range(4)), draw(st.tuples(*[NUMBERS] * d))]
    asked += [tuple(x + Fraction(1, 10**7) for x in mean), tuple(x * 2 for x in mean)]
    return effect, limits, seen, asked


def dot(a: tuple, b: tuple) -> Rational:
    return sum(x * y for x, y in zip(a, b, strict=True))


def allowed(limits: list, x: tuple) -> bool:
    return all(dot(a, x) <= b for a, b in limits)


def moved(effect: list, x: tuple) -> tuple:
    return tuple(dot(row, x) + shift for row, shift in effect)


@settings(max_examples=70, deadline=None)
@given(worlds())
def test_nothing_inapplicable_is_accepted_and_every_prediction_is_exact(world: tuple) -> None:
    effect, limits, seen, asked = world
    learner = observe([(x, moved(effect, x)) for x in seen])
    assert not learner.model().detail["report"].excluded
    for x in [*seen, *asked]:
        if accepts(learner, *x):
            assert allowed(limits, x)
            assert result(learner, *x) == moved(effect, x)
    assert all(accepts(learner, *x) for x in [*seen, asked[0]])


@settings(max_examples=50, deadline=None)
@given(
    worlds(),
    st.sampled_from(["juntas", "groups", "monotone", "finite"]),
    st.sampled_from(["affine", "sparse"]),
    st.data(),
)
def test_a_declared_class_that_is_true_is_safe(
    world: tuple, kind: str, effects: str, data: st.DataObject
) -> None:
    effect, limits, seen, asked = world
    d = len(effect)
    if kind == "juntas":  # each limit looks at two fluents at most
        limits = [
            (tuple(v if i in (k, (k + 1) % d) else 0 for i, v in enumerate(a)), b)
            for k, (a, b) in enumerate(limits)
        ]
    elif kind == "groups":
        limits = [
            (tuple(v if (i < d // 2) == bool(k % 2) else 0 for i, v in enumerate(a)), b)
            for k, (a, b) in enumerate(limits)
        ]
    elif kind == "monotone":
        limits = [(tuple(-abs(v) for v in a), b) for a, b in limits]
    if effects == "sparse":
        effect = [
            (
                tuple(
                    v if k == data.draw(st.integers(0, d - 1)) else int(k == i)
                    for k, v in enumerate(row)
                ),
                shift,
            )
            for i, (row, shift) in enumerate(effect)
        ]
        effect = [
            (tuple(int(k == i) + (row[k] if k == i // 2 else 0) for k in range(d)), shift)
            for i, (row, shift) in enumerate(effect)
        ]
    limits = [(a, max(b, *(dot(a, x) for x in seen))) for a, b in limits]
    groups = (tuple(f"x{i}" for i in range(d // 2)),)
    learner = observe(
        [(x, moved(effect, x)) for x in seen],
        preconditions=kind,
        effects=effects,
        size=2,
        groups=groups,
    )
    assert not learner.model().detail["report"].refuted
    for x in [*seen, *asked]:
        if accepts(learner, *x):
            assert allowed(limits, x)
            assert result(learner, *x) == moved(effect, x)
    assert all(accepts(learner, *x) for x in seen)


def test_halving_is_learned_as_halving() -> None:
    learner = observe([((8,), (4,)), ((2,), (1,)), ((5,), (Fraction(5, 2),))])
    assert result(learner, 6) == (3,)
    assert result(observe([((1,), (-2,)), ((3,), (-6,))]), 2) == (-4,)


def test_tiny_coefficients_are_kept() -> None:
    step = Fraction("0.00005")
    learner = observe([((0, 0), (0, 0)), ((1, 4), (1 + 4 * step, 4)), ((7, 2), (7 + 2 * step, 2))])
    assert result(learner, 2, 2) == (2 + 2 * step, 2)
    third = observe(
        [((0, 0), (0, 0)), ((1, 4), (1 + Fraction(4, 3), 4)), ((7, 2), (7 + Fraction(2, 3), 2))]
    )
    assert result(third, 2, 1) == (Fraction(7, 3), 1)


def test_the_steep_facet_is_not_rounded_away() -> None:
    points = [(0, 15), (10**6, 5), (0, 0), (10**6, 0)]
    learner = observe([(x, x) for x in points])
    assert not accepts(learner, 10**6, 15) and accepts(learner, 10**6, 5)
    low = observe([((x, y), (x, y)) for x, y in product((0, 10**6), (0, Fraction(1, 10**5)))])
    assert accepts(low, 5, Fraction(1, 10**5)) and not accepts(low, 5, Fraction(2, 10**5))


TRUCKS = Vocabulary(
    "trucks",
    {"truck": "object", "place": "object", "depot": "place"},
    {"home": "depot"},
    {"at": ("truck", "place"), "open": ("place",), "done": ()},
    {"fuel": ("truck",), "total": ()},
    {
        "drive": (("t", "truck"), ("a", "place"), ("b", "place")),
        "return": (("t", "truck"),),
        "idle": (),
    },
)
OBJECTS = {"t1": "truck", "t2": "truck", "p": "place", "q": "place", "r": "place", "home": "depot"}


def trucks(*atoms: str, **fuel: Rational) -> State:
    return State(
        frozenset(tuple(atom.split()) for atom in atoms),
        {("total",): 0, **{("fuel", truck): value for truck, value in fuel.items()}},
    )


def test_discrete_rules_and_inequalities() -> None:
    learner = ActionModelLearner(TRUCKS)
    learner.observe_transition(
        trucks("at t1 p", "open q", t1=5, t2=1),
        ("drive", "t1", "p", "q"),
        trucks("at t1 q", "open q", t1=4, t2=1),
    )
    learner.observe_transition(
        trucks("at t2 q", "done", t1=5, t2=1),
        ("drive", "t2", "q", "r"),
        trucks("at t2 r", "done", t1=5, t2=0),
    )
    drive = learner.model().actions["drive"]
    assert drive.positive == {("at", 0, 1)}
    assert drive.adds == {("at", 0, 2)} and drive.deletes == {("at", 0, 1)}
    assert {("at", 0, 2), ("open", 1), ("open", "home")} <= drive.negative and (
        "open",
        2,
    ) not in drive.negative
    assert drive.distinct == {(1, 2)}
    assert drive.applicable(("t1", "p", "q"), trucks("at t1 p", t1=3, t2=1))
    assert not drive.applicable(("t1", "p", "p"), trucks("at t1 p", t1=3, t2=1)), (
        "repeated objects were never seen"
    )
    assert not drive.applicable(("t1", "p", "q"), trucks("at t1 p", t1=0, t2=1))
    assert learner.model().detail["report"].excluded == {
        "return": "never observed",
        "idle": "never observed",
    }


def test_repeated_objects_teach_nothing() -> None:
    learner = ActionModelLearner(TRUCKS)
    learner.observe_transition(
        trucks("at t1 p", t1=5), ("drive", "t1", "p", "p"), trucks("at t1 p", t1=4), True
    )
    report = learner.model().detail["report"]
    assert (
        report.skipped == {"drive": 1}
        and report.observations["drive"] == 0
        and "drive" not in learner.model().actions
    )


def test_a_parameter_that_names_a_constant_is_told_apart_by_other_transitions() -> None:
    learner = ActionModelLearner(TRUCKS)
    learner.observe_transition(
        trucks("at t1 p", t1=5), ("drive", "t1", "p", "home"), trucks("at t1 home", t1=4)
    )
    assert "(at ?t ?b) or (at ?t home)" in learner.model().detail["report"].excluded["drive"]
    learner.observe_transition(
        trucks("at t1 p", t1=5), ("drive", "t1", "p", "q"), trucks("at t1 q", t1=4)
    )
    drive = learner.model().actions["drive"]
    assert drive.adds == {("at", 0, 2)}
    assert drive.successor(("t1", "p", "home"), trucks("at t1 p", t1=5)) == trucks(
        "at t1 home", t1=4
    )


def test_a_change_beyond_the_objects_names_the_transition() -> None:
    states = (trucks("at t1 p", t1=5, t2=1), trucks("at t1 q", t1=4, t2=0))
    with pytest.raises(
        DatasetError, match=r"log 7: transition 1, \(drive t1 p q\): \(fuel t2\) changes"
    ):
        ActionModelLearner(TRUCKS).observe(
            Trajectory(OBJECTS, states, (("drive", "t1", "p", "q"),), (None,), "log 7")
        )
    with pytest.raises(DatasetError, match="marked as failed"):
        ActionModelLearner(TRUCKS).observe_transition(
            states[0], ("drive", "t1", "p", "q"), trucks("at t1 q", t1=5, t2=1), False
        )


def test_conditional_and_non_affine_effects_are_excluded_by_name() -> None:
    learner = ActionModelLearner(TRUCKS)
    learner.observe_transition(
        trucks("at t1 p", t1=5), ("drive", "t1", "p", "q"), trucks("at t1 q", "open q", t1=4)
    )
    learner.observe_transition(
        trucks("at t1 p", t1=5), ("drive", "t1", "p", "q"), trucks("at t1 q", t1=4)
    )
    excluded = learner.model().detail["report"].excluded["drive"]
    assert "(open ?b)" in excluded and "conditional effect" in excluded
    squares = observe([((x,), (x * x,)) for x in (1, 2, 3)])
    assert (
        squares.model().actions == {}
        and "(x0) is not affine" in squares.model().detail["report"].excluded["a"]
    )
    random = observe([((1,), (2,)), ((1,), (3,))])
    assert "two different values" in random.model().detail["report"].excluded["a"]


def test_monotone_resources_need_one_example() -> None:
    pairs = [((5, 1), (3, 2))]
    assert not accepts(observe(pairs), 9, 4)
    learner = observe(pairs, preconditions="monotone", effects="increment")
    assert accepts(learner, 9, 4) and result(learner, 9, 4) == (7, 5) and not accepts(learner, 4, 9)
    mixed = observe(
        pairs, preconditions="monotone", effects="increment", directions={"x0": -1, "x1": 0}
    )
    assert accepts(mixed, 0, 1) and not accepts(mixed, 6, 1) and not accepts(mixed, 0, 2)


def test_affine_effects_outside_the_hull_need_the_affine_hull() -> None:
    """Under a monotone precondition a change that two points settle on a line is not settled off
    that line.
    """
    learner = observe([((1, 1), (2, 1)), ((2, 1), (4, 1))], preconditions="monotone")
    assert accepts(learner, 7, 1) and result(learner, 7, 1) == (14, 1)
    assert not accepts(learner, 7, 2), "whether x1 plays a part was never seen"


def test_effect_and_precondition_maps_are_separate() -> None:
    pairs = [((1, 0), (0, 4)), ((3, 2), (2, 6))]
    learner = observe(pairs, precondition_fluents=("x0",), effects="increment")
    assert (
        accepts(learner, 2, 50) and result(learner, 2, 50) == (1, 54) and not accepts(learner, 4, 0)
    )
    mapped = observe(pairs, precondition_fluents=("x0",), effect_fluents={"x0": (), "x1": ()})
    assert accepts(mapped, 2, 50) and result(mapped, 2, 50) == (1, 54)
    wrong = observe(pairs, precondition_fluents=("x0",), effect_fluents={"x0": ()})
    assert "(x1) is not as declared" in wrong.model().detail["report"].refuted["a"]
    assert result(wrong, 1, 0) == (0, 4) and not accepts(wrong, 2, 50)


def test_failed_actions_refute_a_declaration() -> None:
    pairs = [((5, 0), (4, 0)), ((1, 1), (0, 1))]
    refuted = observe(pairs, [(6, 3)], preconditions="monotone", effects="increment")
    assert "x0 = 6, x1 = 3" in refuted.model().detail["report"].refuted["a"]
    assert not accepts(refuted, 6, 3) and accepts(refuted, 3, Fraction(1, 2))
    gap = observe(pairs, [(3, Fraction(1, 2))])
    assert "not as declared (convex)" in gap.model().detail["report"].refuted["a"]
    assert (
        accepts(gap, 5, 0)
        and not accepts(gap, 3, Fraction(1, 2))
        and not accepts(gap, 2, Fraction(3, 4))
    )
    hidden = observe(pairs, [(5, 0)])
    assert "succeeded and failed in the same state" in hidden.model().detail["report"].excluded["a"]


def test_a_sparse_effect_is_used_only_where_all_readings_agree() -> None:
    pairs = [((1, 2), (2, 2)), ((2, 4), (4, 4))]  # x0 += x0, or x0 += x1 / 2
    learner = observe(pairs, preconditions="monotone", effects="sparse", support=1)
    assert accepts(learner, 3, 6) and result(learner, 3, 6) == (6, 6)
    assert not accepts(learner, 3, 8)
    settled = observe(
        [*pairs, ((2, 6), (4, 6))], preconditions="monotone", effects="sparse", support=1
    )
    assert accepts(settled, 3, 8) and result(settled, 3, 8) == (6, 8)


def test_incremental_learning_equals_learning_at_once() -> None:
    pairs = [((x, y), (x + y, y)) for x, y in [(0, 0), (4, 1), (2, 2), (1, 0), (3, 3), (1, 1)]]
    grown = ActionModelLearner(numeric(2))
    for i, (before, after) in enumerate(pairs, 1):
        grown.observe_transition(state(*before), ("a",), state(*after), True)
        assert grown.model().actions == observe(pairs[:i]).model().actions
    first = grown.model().actions["a"]
    assert grown.model().actions["a"] is first, "nothing new, nothing learned again"


def test_undefined_fluents_are_left_out() -> None:
    vocabulary = numeric(2)
    learner = ActionModelLearner(vocabulary)
    learner.observe_transition(state(3, 1), ("a",), state(2, 1))
    learner.observe_transition(
        State(frozenset(), {("x0",): 5}), ("a",), State(frozenset(), {("x0",): 4})
    )
    assert learner.model().actions["a"].applicable((), State(frozenset(), {("x0",): 4}))
    learner.observe_transition(State(frozenset(), {("x0",): 6}), ("a",), state(5, 1))
    assert (
        "(x1) changes although it is not defined" in learner.model().detail["report"].excluded["a"]
    )


def test_bad_declarations() -> None:
    with pytest.raises(ConfigError, match="no numeric fluent 'x7'; it has: x0"):
        observe([((1,), (1,))], precondition_fluents=("x7",))
    with pytest.raises(ConfigError, match="'round' is unknown: use convex"):
        Declaration("round")
    with pytest.raises(ConfigError, match="known settings"):
        Declaration.from_dict({"precondition": "convex"})
    with pytest.raises(DatasetError, match="'fly', which is not an action"):
        ActionModelLearner(TRUCKS, {"fly": Declaration()})


def test_lifted_terms_use_different_parameters_of_fitting_types() -> None:
    assert lifted_terms(TRUCKS, TRUCKS.actions["drive"], {"at": ("truck", "place")}) == [
        ("at", 0, 1),
        ("at", 0, 2),
        ("at", 0, "home"),
    ]
    assert learn(TRUCKS, []).actions == {}


def test_an_add_on_a_constant_never_hides_a_delete() -> None:
    """go ?x: needs (p ?x), adds (p home), deletes (p ?x); (p home) always holds in what is seen."""
    vocabulary = Vocabulary(
        "hide",
        {"place": "object"},
        {"home": "place"},
        {"p": ("place",)},
        {},
        {"go": (("x", "place"),)},
    )
    both, home = (
        State(frozenset({("p", "home"), ("p", "d")}), {}),
        State(frozenset({("p", "home")}), {}),
    )
    only_home = ActionModelLearner(vocabulary)
    only_home.observe_transition(home, ("go", "home"), home, True)
    assert "could be hidden" in only_home.model().detail["report"].excluded["go"]
    only_d = ActionModelLearner(vocabulary)
    only_d.observe_transition(both, ("go", "d"), home, True)
    go = only_d.model().actions["go"]
    assert (
        go.deletes == {("p", 0)}
        and go.applicable(("d",), both)
        and not go.applicable(("home",), home)
    )


def test_repeated_arguments_can_be_preconditions() -> None:
    vocabulary = Vocabulary(
        "loop",
        {"place": "object"},
        {},
        {"ok": ("place", "place"), "at": ("place",)},
        {},
        {"go": (("x", "place"),)},
    )
    learner = ActionModelLearner(vocabulary)
    learner.observe_transition(
        State(frozenset({("ok", "a", "a")}), {}),
        ("go", "a"),
        State(frozenset({("ok", "a", "a"), ("at", "a")}), {}),
    )
    assert (
        not learner.model()
        .actions["go"]
        .applicable(("b",), State(frozenset({("ok", "a", "a")}), {}))
    )


def test_named_directions_leave_the_other_fluents_alone() -> None:
    learner = observe(
        [((5, 3), (2, 3)), ((6, 1), (5, 1))],
        preconditions="monotone",
        directions={"x0": 1},
        effect_fluents={"x0": ("x1",)},
    )
    assert accepts(learner, 9, 2) and not accepts(learner, 9, 100)
    with pytest.raises(ConfigError, match="directions belong to 'monotone'"):
        Declaration("convex", directions={"x0": 1})


def test_an_undefined_value_excludes_or_narrows_only_its_action() -> None:
    learner = ActionModelLearner(
        numeric(2),
        default=Declaration(precondition_fluents=("x0", "x1"), effect_fluents={"x0": ()}),
    )
    learner.observe_transition(state(3, 1), ("a",), state(2, 1))
    learner.observe_transition(
        State(frozenset(), {("x0",): 5}), ("a",), State(frozenset(), {("x0",): 4})
    )
    assert learner.model().actions["a"].applicable((), State(frozenset(), {("x0",): 4}))
    lost = ActionModelLearner(numeric(1))
    lost.observe_transition(state(3), ("a",), State(frozenset(), {}))
    assert "(x0) is defined before and not after" in lost.model().detail["report"].excluded["a"]
