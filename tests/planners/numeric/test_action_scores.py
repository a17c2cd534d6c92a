"""Scores of a learned action model against the true one: counted by hand, by brute force, and on
learned models.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.planners.numeric.model_scores import (
    Agreement,
    changes,
    effect_agreement,
    mean_precision,
    mean_recall,
    precondition_agreement,
    random_walk,
    reproduced,
    transition_examples,
)
from worldplan.world_models.action_model.hypothesis_classes import Declaration
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
from worldplan.world_models.numeric.trajectories import Trajectory

V = ("v", 0)
VOCABULARY = Vocabulary(
    "cups",
    {"cup": "object"},
    {},
    {"full": ("cup",)},
    {"v": ("cup",)},
    dict.fromkeys(("pour", "empty"), (("c", "cup"),)),
)
POUR = NumericAction(
    "pour",
    VOCABULARY.actions["pour"],
    negative=frozenset({("full", 0)}),
    comparisons=(Comparison(Linear(((V, -1),), 3), ">="),),  # v <= 3
    effects=((V, Linear(((V, 1),), Fraction(1, 2))),),
)
EMPTY = NumericAction(
    "empty",
    VOCABULARY.actions["empty"],
    positive=frozenset({("full", 0)}),
    deletes=frozenset({("full", 0)}),
    effects=((V, Linear(())),),
)
TRUE = NumericModel(VOCABULARY, {"pour": POUR, "empty": EMPTY})


def cups(*levels: tuple[Fraction | int, bool]) -> State:
    atoms = frozenset(("full", f"c{i}") for i, (_, full) in enumerate(levels) if full)
    return State(atoms, {("v", f"c{i}"): value for i, (value, _) in enumerate(levels)})


EXAMPLES = [
    (cups((v, full)), (name, "c0"))
    for v, full, name in product(range(6), (False, True), ("pour", "empty"))
]


def test_preconditions_are_counted() -> None:
    # v <= 1 holds in 2 of the 4 states where the action is applicable
    low = replace(POUR, comparisons=(Comparison(Linear(((V, -1),), 1), ">="),))
    wide = replace(EMPTY, positive=frozenset())  # accepts 6 true states and 6 wrong ones
    agreements = precondition_agreement(
        TRUE, NumericModel(VOCABULARY, {"pour": low, "empty": wide}), EXAMPLES
    )
    assert agreements == {"pour": Agreement(2, 0, 2), "empty": Agreement(6, 6, 0)}
    assert (
        agreements["pour"].precision,
        agreements["pour"].recall,
        agreements["empty"].precision,
        agreements["empty"].recall,
    ) == (1, 0.5, 0.5, 1)
    assert mean_precision(agreements) == 0.75 and mean_recall(agreements) == 0.75


def test_an_action_that_was_not_learned_is_never_taken() -> None:
    agreements = precondition_agreement(TRUE, NumericModel(VOCABULARY, {"pour": POUR}), EXAMPLES)
    assert (
        agreements["empty"] == Agreement(0, 0, 6)
        and agreements["empty"].precision == 1
        and agreements["empty"].recall == 0
    )
    assert math.isnan(Agreement().recall) and Agreement().precision == 1
    assert (
        math.isnan(mean_recall({"a": Agreement()}))
        and mean_recall({"a": Agreement(), "b": Agreement(1, 0, 1)}) == 0.5
    )


def test_effects_are_counted_change_by_change() -> None:
    # pour: a value that is off by 1/1000, and an atom that does not change; empty: forgets that the
    # cup is no longer full
    off = replace(
        POUR, adds=frozenset({("full", 0)}), effects=((V, Linear(((V, 1),), Fraction(501, 1000))),)
    )
    forgets = replace(EMPTY, deletes=frozenset())
    agreements = effect_agreement(
        TRUE, NumericModel(VOCABULARY, {"pour": off, "empty": forgets}), EXAMPLES
    )
    assert agreements["pour"] == Agreement(0, 8, 4)  # 4 states, each a wrong atom and a wrong value
    # 6 states, in one of which the value is already 0 and does not change
    assert agreements["empty"] == Agreement(5, 0, 6)
    assert effect_agreement(TRUE, TRUE, EXAMPLES) == {
        "pour": Agreement(4, 0, 0),
        "empty": Agreement(11, 0, 0),
    }
    narrow = NumericModel(VOCABULARY, {"empty": EMPTY})
    assert effect_agreement(TRUE, narrow, EXAMPLES)["pour"] == Agreement()


def test_changes_know_new_fluents_and_exact_values() -> None:
    before = State(frozenset({("a",), ("b",)}), {("x",): 1, ("y",): Fraction(1, 3)})
    after = State(frozenset({("b",), ("c",)}), {("x",): 1, ("y",): Fraction(2, 3), ("z",): 0})
    assert changes(before, after) == {
        (("a",), False),
        (("c",), True),
        (("y",), Fraction(2, 3)),
        (("z",), 0),
    }


def problem(*levels: tuple[int, bool]) -> NumericProblem:
    return NumericProblem("p", {f"c{i}": "cup" for i in range(len(levels))}, cups(*levels), Goal())


def test_a_walk_follows_the_true_model() -> None:
    start = problem((0, False), (1, True), (3, False))
    walk = random_walk(TRUE, start, 200, np.random.default_rng(3))
    assert (
        walk
        == random_walk(TRUE, start, 200, np.random.default_rng(3))
        != random_walk(TRUE, start, 200, np.random.default_rng(4))
    )
    state, wrong = start.initial, 0
    for before, (name, *binding) in walk:
        assert before == state
        if TRUE.actions[name].applicable(tuple(binding), state):
            state = TRUE.actions[name].successor(tuple(binding), state)
        else:
            wrong += 1
    # the walk ends because the cups are full
    assert 0 < wrong < len(walk) / 2 and len(walk) < 200
    assert not any(
        TRUE.actions[name].applicable((cup,), state)
        for name in TRUE.actions
        for cup in start.objects
    )


def test_a_walk_without_wrong_steps_and_without_anything_to_do() -> None:
    assert all(
        TRUE.actions[name].applicable(tuple(b), s)
        for s, (name, *b) in random_walk(TRUE, problem((0, True)), 9, np.random.default_rng(0), 0.0)
    )
    assert random_walk(TRUE, problem((9, False)), 9, np.random.default_rng(0), 0.0) == []
    always = NumericModel(VOCABULARY, {"pour": replace(POUR, comparisons=(), negative=frozenset())})
    walk = random_walk(always, problem((0, False)), 40, np.random.default_rng(0))
    assert 10 < len(walk) < 40  # a step for which there is no inapplicable action is left out


def trajectory(
    calls: list[tuple[str, str]], start: State, succeeded: list[bool | None] | None = None
) -> Trajectory:
    states, done = [start], succeeded or []
    for name, cup in calls:
        action = TRUE.actions[name]
        right = action.applicable((cup,), states[-1])
        states.append(action.successor((cup,), states[-1]) if right else states[-1])
        done += [] if succeeded else [right]
    return Trajectory(
        {f"c{i}": "cup" for i in range(len(start.values))}, tuple(states), tuple(calls), tuple(done)
    )


def test_self_consistency() -> None:
    seen = trajectory(
        [("pour", "c0"), ("empty", "c0"), ("empty", "c1"), ("pour", "c0")],
        cups((0, False), (2, True)),
    )
    assert reproduced(TRUE, [seen, seen]) == 6  # (empty c0) failed and is not counted
    off = replace(POUR, effects=((V, Linear(((V, 1),), Fraction(1, 3))),))
    assert reproduced(NumericModel(VOCABULARY, {"pour": off, "empty": EMPTY}), [seen]) == 1
    assert (
        reproduced(
            NumericModel(VOCABULARY, {"pour": replace(POUR, positive=frozenset({("full", 0)}))}),
            [seen],
        )
        == 0
    )
    # nothing changed, and it is unknown whether the action was applicable
    idle = trajectory([("empty", "c0")], cups((0, False)), [None])
    everything = NumericModel(
        VOCABULARY, {"empty": NumericAction("empty", VOCABULARY.actions["empty"])}
    )
    assert (
        reproduced(everything, [idle]) == 0
        and reproduced(everything, [replace(idle, succeeded=(True,))]) == 1
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(("pour", "empty")), st.sampled_from(("c0", "c1"))), max_size=8
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(("convex", "monotone", "juntas", "finite")),
    st.integers(0, 99),
)
def test_a_safe_learner_is_never_wrong(
    plans: list[list[tuple[str, str]]], preconditions: str, seed: int
) -> None:
    seen = [
        trajectory(calls, cups((number, False), (1, True))) for number, calls in enumerate(plans)
    ]
    declaration = Declaration(
        preconditions, directions={"v ?c": -1} if preconditions == "monotone" else {}
    )
    learned = learn(VOCABULARY, seen, default=declaration)
    assert reproduced(learned, seen) == sum(learned.detail["report"].observations.values())
    examples = (
        transition_examples(seen)
        + random_walk(TRUE, problem((0, False), (2, True)), 60, np.random.default_rng(seed))
        + EXAMPLES
    )
    assert len(transition_examples(seen)) == sum(map(len, plans))
    for agreement in precondition_agreement(TRUE, learned, examples).values():
        assert agreement.precision == 1
    for agreement in effect_agreement(TRUE, learned, examples).values():
        assert agreement.precision == 1
        assert agreement.recall == 1 or math.isnan(agreement.recall)


def test_a_wrong_declaration_shows() -> None:
    seen = [trajectory([("pour", "c0")], cups((2, False)))]
    # this declaration is false
    learned = learn(
        VOCABULARY,
        seen,
        default=Declaration("monotone", directions={"v ?c": 1}, effects="increment"),
    )
    agreements = precondition_agreement(TRUE, learned, EXAMPLES)["pour"]
    assert agreements == Agreement(2, 2, 2) and agreements.precision == pytest.approx(0.5)
