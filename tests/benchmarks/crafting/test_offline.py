"""The offline crafting comparison: experts, actions split by constants, the grid for networks,
learners, outcomes and tables.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.crafting import networks as crafting_networks
from benchmarks.crafting import offline as crafting_offline
from benchmarks.crafting.experts import (
    Expert,
    declarations,
    problem_of,
    reaches_goal,
    split,
    symbolic,
    vocabulary,
)
from benchmarks.crafting.networks import (
    BEDROCK,
    GRID,
    LEARNERS,
    Transitions,
    into_grid,
    network_input,
    offline_dqn,
    onto_map,
    steps_to_goal,
    transitions,
)
from benchmarks.crafting.report import draw, enough, report, success
from worldplan.envs.crafting.dynamics import dynamics_of
from worldplan.envs.crafting.generator import generate
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.rules import TASKS, CraftingMap
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.planners.ramp.knowledge.constant_arguments import ActionSplitter
from worldplan.world_models.action_model.learner import learn

KNOWLEDGE = ("nothing", "relevant", "resources")
SWORD = CraftingMap(
    "wooden_sword", 6, frozenset({8, 14}), table=20, agent=9, inventory=(0, 2, 1)
)  # craft at once


@pytest.fixture(scope="module")
def experts():
    """30 of each task."""
    return {
        task: [Expert.on(instance) for instance in generate(task, 6, 30, np.random.default_rng(3))]
        for task in TASKS
    }


def learned(task, experts, knowledge):
    splitter = ActionSplitter(vocabulary(task))
    trajectories = split((expert.trajectory() for expert in experts), splitter)
    return learn(
        splitter.vocabulary, trajectories, declarations(knowledge, task, splitter)
    ), splitter


@pytest.mark.parametrize("task", TASKS)
def test_an_expert_goes_a_shortest_way_to_the_goal(experts, task):
    for expert in experts[task]:
        instance = expert.dynamics.instance
        trajectory = expert.trajectory()
        assert len(trajectory.calls) == len(shortest_plan(instance))
        assert expert.states[-1].reached and not expert.states[-2].reached
        assert problem_of(instance).goal.holds(trajectory.states[-1])
        assert reaches_goal(instance, trajectory.calls)
        assert not reaches_goal(instance, trajectory.calls[:-1])


def test_no_call_is_left_with_a_constant(experts):
    splitter = ActionSplitter(vocabulary("pogo_stick"))
    before = [expert.trajectory() for expert in experts["pogo_stick"]]
    after = split(before, splitter)
    assert [splitter.join(call) for trajectory in after for call in trajectory.calls] == [
        call for trajectory in before for call in trajectory.calls
    ]
    assert any("crafting_table" in call for trajectory in before for call in trajectory.calls)
    assert not any(
        "crafting_table" in call[1:] for trajectory in after for call in trajectory.calls
    )
    assert [trajectory.states for trajectory in after] == [
        trajectory.states for trajectory in before
    ]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("knowledge", KNOWLEDGE)
def test_what_a_learned_model_allows_is_allowed_and_does_the_same(experts, task, knowledge):
    """On random walks of other maps of two sizes; and each expert's own steps are allowed, bar
    excluded actions.
    """
    model, splitter = learned(task, experts[task], knowledge)
    taken, generator = 0, np.random.default_rng(0)
    for size in (6, 7):
        for instance in generate(task, size, 3, generator):
            dynamics = dynamics_of(instance)
            state = dynamics.start
            for _ in range(8):
                before = symbolic(dynamics, state)
                for action in model.actions.values():
                    for binding in model.vocabulary.bindings(action.name, dynamics.objects):
                        if action.applicable(binding, before):
                            taken += 1
                            number = dynamics.action_of(
                                state, splitter.join((action.name, *binding))
                            )
                            assert dynamics.applicable(state, number)
                            assert action.successor(binding, before) == symbolic(
                                dynamics, dynamics.successor(state, number)
                            )
                state = dynamics.successor(
                    state, int(generator.choice(np.flatnonzero(dynamics.mask(state))))
                )
                if state.reached:
                    break
    assert taken > 10
    for expert in experts[task]:
        (own,) = split([expert.trajectory()], splitter)
        for i, call in enumerate(own.calls):
            if call[0] in model.actions:
                assert model.actions[call[0]].applicable(call[1:], own.states[i])


def test_relevant_items_are_those_of_the_recipes(experts):
    _, splitter = learned("pogo_stick", experts["pogo_stick"], "nothing")
    result = declarations("relevant", "pogo_stick", splitter)
    assert result["tp_to-crafting_table-any"].precondition_fluents == ()
    assert result["craft_tree_tap"].precondition_fluents == (
        "count_planks_in_inventory",
        "count_stick_in_inventory",
    )
    assert declarations("resources", "pogo_stick", splitter)["break"].effects == "increment"


@given(size=st.sampled_from([5, 6, 10, 15]), data=st.data())
def test_grid_and_map_actions_are_inverse(size, data):
    action = data.draw(st.integers(0, size**2 + 5))
    assert onto_map(into_grid(action, size), size) == action
    row, column = data.draw(st.integers(0, GRID - 1)), data.draw(st.integers(0, GRID - 1))
    assert (onto_map(row * GRID + column, size) is None) == (max(row, column) >= size)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), size=st.sampled_from([6, 10, 15]))
def test_a_map_lies_in_the_corner_of_the_grid(seed, size):
    dynamics = dynamics_of(generate("wooden_sword", size, 1, np.random.default_rng(seed))[0])
    seen, plain = network_input(dynamics, dynamics.start), dynamics.observe(dynamics.start)
    grid = seen[1 : 1 + GRID**2].reshape(GRID, GRID)
    np.testing.assert_array_equal(grid[:size, :size].ravel(), plain[1 : 1 + size**2])
    assert (
        (grid[size:] == BEDROCK).all()
        and (grid[:, size:] == BEDROCK).all()
        and (grid[:size, :size] < BEDROCK).all()
    )
    assert grid.ravel()[int(seen[-1])] == plain[0] and len(seen) == 3 + GRID**2 + 3
    if size == GRID:
        np.testing.assert_array_equal(seen, plain)


def test_transitions_reward_the_last_step_only(experts):
    data = transitions(experts["pogo_stick"][:2])
    lengths = [len(expert.actions) for expert in experts["pogo_stick"][:2]]
    assert np.flatnonzero(data.reward).tolist() == [lengths[0] - 1, sum(lengths) - 1]
    assert torch.equal(data.observation[1], data.next_observation[0])


def test_cloning_repeats_what_it_was_shown(experts, monkeypatch):
    monkeypatch.setattr(crafting_networks, "HIDDEN", (128, 128))
    monkeypatch.setitem(crafting_networks.RATE, "bc", 5e-3)
    few = experts["pogo_stick"][:4]
    policy = LEARNERS["bc"]("pogo_stick", transitions(few), 300, torch.Generator().manual_seed(0))
    steps = steps_to_goal(policy, [expert.dynamics.instance for expert in few], 32)
    assert steps == [len(expert.actions) for expert in few]


def test_dqn_learns_the_discounted_values_of_a_chain(experts, monkeypatch):
    monkeypatch.setattr(crafting_networks, "HIDDEN", (128, 128))
    monkeypatch.setitem(crafting_networks.RATE, "dqn", 3e-3)
    rows = transitions(experts["wooden_sword"])
    data = Transitions(*(part[:1].repeat(2, *[1] * (part.dim() - 1)) for part in rows))
    first, second = data.observation[0], data.observation[0] + 1
    data = data._replace(
        observation=torch.stack([first, second]),
        next_observation=torch.stack([second, second]),
        action=torch.tensor([7, 7]),
        reward=torch.tensor([0.0, 1.0]),
        terminated=torch.tensor([0.0, 1.0]),
    )
    values = offline_dqn("wooden_sword", data, 400, torch.Generator().manual_seed(0))
    estimates = values(data.observation)
    assert estimates[1, 7].item() == pytest.approx(1, abs=0.02)
    # double DQN: the value of the best action now, which no data holds back
    assert estimates[0, 7].item() == pytest.approx(0.99 * estimates[1].max().item(), abs=0.05)


class Always(torch.nn.Module):
    """A policy that always wants the same action."""

    def __init__(self, action):
        super().__init__()
        self.action = action

    def forward(self, rows):
        return torch.nn.functional.one_hot(
            torch.full((len(rows),), self.action), GRID**2 + 6
        ).float()


def test_steps_are_counted_and_bedrock_is_no_way_out():
    craft = into_grid(36 + 3, 6)
    assert steps_to_goal(Always(craft), [SWORD], 32) == [1]
    assert steps_to_goal(Always(GRID**2 - 1), [SWORD], 32) == [None]
    assert steps_to_goal(Always(into_grid(36, 6)), [SWORD], 32) == [
        None
    ]  # there is no tree to break


def outcome(monkeypatch, plan, status="satisficing"):
    monkeypatch.setattr(
        crafting_offline, "search_plan", lambda *_, **__: PlanResult(plan, status, "search", 0.5)
    )
    model, splitter = learned("wooden_sword", [Expert.on(SWORD)], "nothing")
    splitter.split(("tp_to", "cell9", "cell1"))
    return crafting_offline.plan_and_play(model, splitter, SWORD, 1.0)[:2]


def test_outcomes_of_planning(monkeypatch):
    craft = ("craft_wooden_sword", "cell9")
    around = [("tp_to", "cell9", "cell1"), ("tp_to", "cell1", "cell9")]
    assert outcome(monkeypatch, (craft,)) == ("solved", 1)
    assert outcome(monkeypatch, (*around * 15, craft)) == ("solved", 31)
    assert outcome(monkeypatch, (*around * 16, craft)) == ("too_long", 33)
    assert outcome(monkeypatch, tuple(around)) == ("false_plan", 2)  # not at the goal
    assert outcome(monkeypatch, (around[1], craft)) == ("false_plan", 2)  # not from there
    assert outcome(monkeypatch, (("craft_wooden_sword", "cell8"),)) == ("false_plan", 1)
    assert outcome(monkeypatch, None, "unsolvable") == ("no_plan", 0)
    assert outcome(monkeypatch, None, "no_plan_found") == ("no_plan", 0)
    assert outcome(monkeypatch, None, "time_limit") == ("time_limit", 0)


def table_of(solved):
    """One method, 10 maps a seed; `solved` by (seed, trajectories)."""
    rows = [
        {
            "task": "wooden_sword",
            "method": "nsam",
            "seed": seed,
            "trajectories": count,
            "size": 6,
            "maps": 10,
            "updates": 0,
            "solved": number,
            "no_plan": 10 - number,
            "time_limit": 0,
            "too_long": 0,
            "false_plan": 0,
            "mean_ratio": 1.0,
            "worst_ratio": 1.5,
            "learn_seconds": 1.0,
            "plan_seconds": 0.1,
            "slowest_plan": 0.2,
        }
        for (seed, count), number in solved.items()
    ]
    return pd.DataFrame(rows)


def test_enough_means_every_map_of_every_seed_from_there_on():
    assert enough(table_of({(0, 1): 10, (0, 5): 9, (0, 20): 10, (0, 80): 10})) == 20
    assert enough(table_of({(0, 5): 10, (1, 5): 9, (0, 20): 10, (1, 20): 10})) == 20
    assert enough(table_of({(0, 5): 10, (0, 20): 9})) is None


def test_report_and_plot(tmp_path):
    table = table_of({(0, 1): 5, (1, 1): 7, (0, 5): 10, (1, 5): 10})
    share = success(table[table["trajectories"] == 1])
    assert share["mean"] == pytest.approx(60) and share["low"] < 60 < share["high"]
    text = report(table, 32)
    assert (
        "| Wooden Sword | NSAM + search | 5 |" in text
        and "| NSAM + search | 6 x 6 | 60.0 (" in text
        and "false plans: 0." in text
    )
    draw(table, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_rows_that_are_done_are_not_run_again():
    options = argparse.Namespace(
        tasks=["wooden_sword"],
        counts=[1, 3],
        seeds=1,
        maps=3,
        methods=["nsam_resources"],
        time_limit=5.0,
        updates=1,
    )
    rows = list(crafting_offline.missing(options, set()))
    assert [(row["trajectories"], row["size"]) for row in rows] == [
        (count, size) for count in (1, 3) for size in (6, 10, 15)
    ]
    for row in rows:
        assert (
            sum(row[name] for name in ("solved", "no_plan", "time_limit", "too_long", "false_plan"))
            == 3
            and row["false_plan"] == 0
        )
    done = {crafting_offline.key_of(row) for row in rows}
    assert list(crafting_offline.missing(options, done)) == []
    assert [
        row["size"]
        for row in crafting_offline.missing(options, done - {crafting_offline.key_of(rows[1])})
    ] == [10]
