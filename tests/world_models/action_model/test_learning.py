"""Action models from trajectories: discrete rules, declarations, exclusions."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.world_models.action_model.builders import accepts, numeric, observe, result, state
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.action_model.action_learner import lifted_terms
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.action_model.learner import ActionModelLearner, learn
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import State, Vocabulary
from worldplan.world_models.numeric.trajectories import Trajectory

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
