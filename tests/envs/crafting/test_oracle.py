"""Shortest plans of crafting tasks against plain search, and generated maps."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given, settings

from tests.envs.crafting.builders import SETTINGS, SWORD, instances
from worldplan.envs.crafting.dynamics import dynamics_of
from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.generator import generate, generate_counts
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.rules import SIZES, CraftingCounts, CraftingMap
from worldplan.milp.errors import ConfigError


def plain_search(dynamics):
    """Length of a shortest plan by breadth-first search on full states. A second sack is never
    needed, so states with more sacks than 2, or than at the start, are dropped.
    """
    most_sacks = max((2, *dynamics.start.inventory[3:4]))
    frontier, seen, length = [dynamics.start], {dynamics.start}, 0
    while frontier:
        length, following = length + 1, []
        for state in frontier:
            for action in np.flatnonzero(dynamics.mask(state)):
                after = dynamics.successor(state, int(action))
                if after.reached:
                    return length
                if after not in seen and after.inventory[3:4] <= (most_sacks,):
                    seen.add(after)
                    following.append(after)
        frontier = following
    return None


@pytest.mark.parametrize(("task", "variant", "tap_consumed"), SETTINGS)
def test_the_oracle_finds_what_plain_search_finds(task, variant, tap_consumed):
    plans = []

    @settings(
        max_examples=25 if variant == "map" else 60, deadline=None, derandomize=True, database=None
    )
    @given(instances(task, variant, sizes=(2, 2) if task == "pogo_stick" else (2, 3), most=5))
    def compare(instance):
        plan = shortest_plan(instance, tap_consumed)
        assert (None if plan is None else len(plan)) == plain_search(
            dynamics_of(instance, tap_consumed)
        )
        plans.append(plan)
        if plan is None:
            return
        env = CraftingEnv(task, variant, instance, tap_consumed=tap_consumed)
        env.reset(seed=0)
        steps = [env.step(action) for action in plan]
        assert all(info["applied"] for *_, info in steps)
        assert [terminated for _, _, terminated, _, _ in steps] == [False] * (len(plan) - 1) + [
            True
        ]

    compare()
    assert None in plans
    assert sum(plan is not None for plan in plans) > 5


def test_known_optima():
    """From an empty inventory and five trees, the basic pogo stick takes 11 actions. An agent at
    the table must first leave it to craft the sword.
    """
    for tap_consumed in (False, True):
        assert len(shortest_plan(CraftingCounts("pogo_stick", 5, (0,) * 5), tap_consumed)) == 11
    assert len(shortest_plan(SWORD)) == 3
    assert len(shortest_plan(CraftingMap("wooden_sword", 4, frozenset({5}), 6, 7, (0, 4, 0)))) == 2
    assert shortest_plan(CraftingMap("wooden_sword", 4, frozenset(), 6, 7, (0, 3, 0))) is None
    assert (
        shortest_plan(
            CraftingCounts("pogo_stick", 0, (5 * 10**5, 5 * 10**5, 5 * 10**5, 0, 5 * 10**5))
        )
        is None
    )
    assert (
        len(
            shortest_plan(CraftingMap("pogo_stick", 2, frozenset({0, 1, 2}), 3, 3, (0, 9, 0, 0, 1)))
        )
        == 4
    ), "no air: a tree is away too"


@pytest.mark.parametrize("size", SIZES)
def test_generated_maps_look_like_the_papers(size):
    """The paper's instances of the three sizes have 2.9, 12.1 and 29.6 trees on average, at most 4,
    21 and 49. Their shortest plans have 6.4, 6.8 and 6.7 (pogo stick) and 2.5 (sword) actions.
    """
    pogo = generate("pogo_stick", size, 100, np.random.default_rng(1))
    sword = generate("wooden_sword", size, 100, np.random.default_rng(2))
    assert len(set(pogo)) == len(set(sword)) == 100
    trees = statistics.mean(len(instance.trees) for instance in pogo)
    assert trees == pytest.approx({6: 2.9, 10: 12.1, 15: 29.6}[size], rel=0.2)
    plans = [len(shortest_plan(instance)) for instance in pogo]
    assert statistics.mean(plans) == pytest.approx(6.5, abs=0.5)
    assert min(plans) == 4 and max(plans) <= 14
    plans = [len(shortest_plan(instance)) for instance in sword]
    assert statistics.mean(plans) == pytest.approx(2.5, abs=0.25)
    assert set(plans) <= {2, 3, 4, 5}
    for instance in pogo + sword:
        in_front = [cell + row * size for cell in instance.trees for row in range(3)] + [
            instance.table,
            instance.table + size,
        ]
        assert len(in_front) == len(set(in_front)), (
            "what is in front of a tree or the table is free"
        )
        assert instance.agent not in {*instance.trees, instance.table}
        for cell in (*instance.trees, instance.table, instance.agent):
            assert 1 <= cell % size <= size - 2 and 1 <= cell // size <= size - 3
    assert all(
        max(instance.inventory[:3]) <= 8 and instance.inventory[3:] == (0, 0) for instance in pogo
    )
    assert all(max(instance.inventory) <= 8 and instance.inventory[2] == 0 for instance in sword)


def test_generation_repeats_and_knows_when_there_are_no_more():
    assert generate("pogo_stick", 6, 5, np.random.default_rng(7)) == generate(
        "pogo_stick", 6, 5, np.random.default_rng(7)
    )
    assert generate("pogo_stick", 6, 5, np.random.default_rng(7)) != generate(
        "pogo_stick", 6, 5, np.random.default_rng(8)
    )
    counts = generate_counts("wooden_sword", 5, 100, np.random.default_rng(0))
    assert len(set(counts)) == 100
    with pytest.raises(ConfigError, match="different solvable instances"):
        generate_counts(
            "wooden_sword", 5, 400, np.random.default_rng(0)
        )  # 9 x 9 inventories, up to 3 trees
    with pytest.raises(ConfigError, match="5 x 5"):
        generate("pogo_stick", 4, 1, np.random.default_rng(0))
