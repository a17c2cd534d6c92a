"""The optimistic model, its rules from failures, and exploration with it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planners.ramp.builders import sword, walk
from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.generator import generate
from worldplan.planners.numeric.symbolic_env import crafting_task, problem_of, state_of
from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.exploration import nearest_untried
from worldplan.planners.ramp.knowledge.failure_rules import Condition, most_general_rules
from worldplan.planners.ramp.knowledge.optimistic_model import optimistic_model, without_variant
from worldplan.world_models.action_model.hypothesis_classes import Declaration


def conjunctions(
    points: Sequence[tuple[int, ...]], bad: Sequence[tuple[int, ...]], most: int
) -> set[frozenset]:
    """By brute force: all sets of at most `most` bounds that hold for `points`, exclude each of
    `bad`, and imply no other such set.
    """
    low, high = (
        [min(column) for column in zip(*points, strict=True)],
        [max(column) for column in zip(*points, strict=True)],
    )
    values = sorted({value for point in bad for value in point})
    options = []
    for i in range(len(low)):
        over = [(i, 1, value) for value in values if value < low[i]]
        under = [(i, -1, value) for value in values if value > high[i]]
        options.append([frozenset(pair) for pair in product([None, *over], [None, *under])])
    every = {frozenset().union(*chosen) - {None} for chosen in product(*options)}

    def excludes(rule: frozenset, point: tuple[int, ...]) -> bool:
        return any(sign * point[i] <= sign * value for i, sign, value in rule)

    def implies(rule: frozenset, other: frozenset) -> bool:
        return all(
            any(i == j and s == t and s * v >= t * w for i, s, v in rule) for j, t, w in other
        )

    fitting = {rule for rule in every if all(excludes(rule, point) for point in bad)}
    short = min(len(rule) for rule in fitting)
    kept = {rule for rule in fitting if len(rule) <= min(short + 1, most)}
    return {
        rule
        for rule in kept
        if not any(other != rule and implies(rule, other) for other in fitting)
    }


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_most_general_rules_are_those_of_brute_force(data: st.DataObject) -> None:
    point = st.tuples(*[st.integers(0, 4)] * 2)
    good = data.draw(st.lists(point, min_size=1, max_size=4))
    low, high = (
        [min(column) for column in zip(*good, strict=True)],
        [max(column) for column in zip(*good, strict=True)],
    )
    outside = point.filter(
        lambda values: any(not a <= x <= b for x, a, b in zip(values, low, high, strict=True))
    )
    bad = data.draw(st.lists(outside, max_size=5))
    ends = [
        Condition(None, sign, i, end)
        for i in range(2)
        for sign, end in ((1, low[i]), (-1, high[i]))
    ]
    rules, unexplained = most_general_rules(ends, [(frozenset(), values) for values in bad], 1000)
    assert not unexplained
    assert {
        frozenset((bound.fluent, bound.sign, bound.end) for bound in rule) for rule in rules
    } == conjunctions(good, bad, 4)
    assert all(bound.strict for rule in rules for bound in rule)


def test_failures_without_a_simple_reason_are_told() -> None:
    inside = (frozenset(), (1,))
    rules, unexplained = most_general_rules(
        [Condition(None, 1, 0, 0), Condition(None, -1, 0, 2)], [inside], 5
    )
    assert rules == [()] and unexplained == [inside]


@pytest.mark.parametrize("task", ["wooden_sword", "pogo_stick"])
def test_guesses_allow_what_succeeded_and_forbid_what_failed(task: str) -> None:
    instance = generate(task, 6, 1, np.random.default_rng(4))[0]
    env = CraftingEnv(task, maps=instance)
    experience = Experience(crafting_task(env)[0], {}, Declaration())
    walk(env, 600, 1, experience)
    optimistic = optimistic_model(experience)
    assert {without_variant((name,))[0] for name in optimistic.actions} == set(
        experience.model().actions
    )
    failed = 0
    for before, after in experience.outcomes:
        name, *objects = before.call
        variants = [
            variant
            for variant in optimistic.actions.values()
            if without_variant((variant.name,))[0] == name
        ]
        allowed = [
            variant.applicable(tuple(objects), experience.views.state(before))
            for variant in variants
        ]
        if after is not None:
            assert all(allowed)
        elif variants and len(set(objects)) == len(objects):
            assert not any(allowed)
            failed += 1
    assert failed > 10


def test_the_frontier_is_the_nearest_untried_look() -> None:
    env, _ = sword(1, 3)
    experience = Experience(crafting_task(env)[0], {}, Declaration())
    walk(env, 25, 2, experience)
    env.reset()
    problem = problem_of(env, crafting_task(env)[1])
    unknown = experience.unknown_actions()
    assert unknown
    way = nearest_untried(experience, optimistic_model(experience), problem, 10.0)
    assert way is not None and way[-1][0] in unknown
    for call in way[:-1]:
        env.step(env.action_of(experience.views.splitter.join(without_variant(call))))
    view = experience.views.view(way[-1], state_of(env))
    assert view not in experience.tries
    for call in way:
        experience.succeeded.add(experience.views.splitter.base(without_variant(call)[0]))
    experience.succeeded.update(experience.views.splitter.base(name) for name in unknown)
    assert nearest_untried(experience, optimistic_model(experience), problem, 10.0) is None, (
        "nothing is unknown any more"
    )
