"""The crafting rules against rules written by hand, a PDDL simulator and published data."""

from __future__ import annotations

import itertools
import re
import warnings
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.envs.crafting.builders import MAP, SETTINGS, instances
from tests.places import TRAJECTORIES
from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.generator import generate, generate_counts
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.pddl import domain_pddl, partial_domain_pddl, problem_pddl
from worldplan.envs.crafting.rules import GOAL, ITEMS, TASKS, CraftingCounts, CraftingMap
from worldplan.milp.errors import InfeasibleAction

DATA = TRAJECTORIES / "minecraft"


def by_hand(symbols, call, tap_consumed):
    """The rules again, written action by action after the paper's domains.

    Returns the atoms and fluents after `call`, or None if it is not applicable.
    """
    (atoms, fluents), (name, *cells) = symbols, call
    on_map = ("trees_in_map",) not in fluents
    held = {item: fluents.get((f"count_{item}_in_inventory",), 0) for item in ITEMS["pogo_stick"]}
    log, planks, stick, sack, tap = held.values()
    if cells and ("position", cells[0]) not in atoms:
        return None
    tree = (
        ("tree_cell", cells[0]) in atoms
        if on_map and cells
        else fluents.get(("trees_in_map",), 0) >= 1
    )
    away = not on_map or ("position", "crafting_table") not in atoms
    possible, more = {
        "tp_to": (cells[0] != cells[1] if len(cells) == 2 else False, {}),
        "break": (tree, {"log": 1}),
        "get_log": (tree, {"log": 1, "trees": -1}),
        "craft_plank": (log >= 1, {"log": -1, "planks": 4}),
        "craft_stick": (planks >= 2, {"planks": -2, "stick": 4}),
        "craft_wooden_sword": (away and planks >= 2 and stick >= 1, {"planks": -2, "stick": -1}),
        "craft_tree_tap": (
            away and planks >= 5 and stick >= 1,
            {"planks": -5, "stick": -1, "tree_tap": 1},
        ),
        "place_tree_tap": (
            tree and tap >= 1,
            {"sack_polyisoprene_pellets": 1, "tree_tap": -1 if tap_consumed else 0},
        ),
        "craft_wooden_pogo": (
            away and planks >= 2 and stick >= 4 and sack >= 1,
            {"planks": -2, "stick": -4, "sack_polyisoprene_pellets": -1},
        ),
    }[name]
    if not possible:
        return None
    after = set(atoms)
    if name == "tp_to" or (
        on_map and name in ("craft_wooden_sword", "craft_tree_tap", "craft_wooden_pogo")
    ):
        after = after - {("position", cells[0])} | {
            ("position", cells[1] if name == "tp_to" else "crafting_table")
        }
    if name == "break":
        after = after - {("tree_cell", cells[0])} | {("air_cell", cells[0])}
    if name in ("craft_wooden_sword", "craft_wooden_pogo"):
        after.add(("have_wooden_sword",) if name == "craft_wooden_sword" else ("have_pogo_stick",))
    keys = {"trees": ("trees_in_map",)} | {item: (f"count_{item}_in_inventory",) for item in held}
    return frozenset(after), {
        **fluents,
        **{keys[item]: fluents[keys[item]] + by for item, by in more.items() if by},
    }


@pytest.mark.parametrize(("task", "variant", "tap_consumed"), SETTINGS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_random_walk_follows_the_rules_written_out_by_hand(task, variant, tap_consumed, data):
    env = CraftingEnv(task, variant, data.draw(instances(task, variant)), tap_consumed=tap_consumed)
    _, info = env.reset(seed=0)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    for _ in range(25):
        symbols = env.symbolic_state()
        expected = [
            by_hand(symbols, env.call(action), tap_consumed) for action in range(env.action_space.n)
        ]
        assert info["action_mask"].dtype == np.bool_
        np.testing.assert_array_equal(
            info["action_mask"], [after is not None for after in expected]
        )
        if info["action_mask"].any() and rng.random() < 0.75:
            action = int(rng.choice(np.flatnonzero(info["action_mask"])))
        else:
            action = int(rng.integers(env.action_space.n))
        mask = env.action_masks()
        _, reward, terminated, _, info = env.step(action)
        assert info["applied"] == mask[action]
        assert env.symbolic_state() == (expected[action] or symbols)
        won = (GOAL[task],) in env.symbolic_state()[0]
        assert (reward, terminated, info["is_success"]) == (float(won), won, won)
        if terminated:
            return


class PlanningProblem:
    """An exported domain and problem in unified_planning, an independent implementation of PDDL."""

    def __init__(self, domain, problem):
        from unified_planning.engines.sequential_simulator import UPSequentialSimulator
        from unified_planning.io import PDDLReader

        self.problem = PDDLReader().parse_problem_string(domain, problem)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.simulator = UPSequentialSimulator(self.problem, error_on_failed_checks=False)
        self.state = self.simulator.get_initial_state()

    def symbols(self):
        atoms, fluents = set(), {}
        for expression in self.problem.initial_values:
            value = self.state.get_value(expression)
            name = (expression.fluent().name, *(str(argument) for argument in expression.args))
            if value.is_bool_constant():
                atoms |= {name} if value.bool_constant_value() else set()
            else:
                fluents[name] = value.constant_value()
        return frozenset(atoms), fluents

    def apply(self, call):
        """Execute an action if it is applicable. Returns whether it was."""
        action, objects = (
            self.problem.action(call[0]),
            [self.problem.object(name) for name in call[1:]],
        )
        possible = self.simulator.is_applicable(self.state, action, objects)
        if possible:
            self.state = self.simulator.apply(self.state, action, objects)
        return possible

    def solved(self):
        return self.simulator.is_goal(self.state)


@pytest.mark.parametrize(("task", "variant", "tap_consumed"), SETTINGS)
def test_the_exported_pddl_and_the_environment_agree(task, variant, tap_consumed):
    rng = np.random.default_rng(3)
    drawn = (
        generate(task, 5, 3, rng)
        if variant == "map"
        else generate_counts(task, 6, 3, rng, tap_consumed)
    )
    full = (8, 9, 9, 0, 0)[: len(ITEMS[task])]
    drawn = [
        *drawn,
        CraftingMap(task, 3, frozenset({0, 7}), 4, 4, full)
        if variant == "map"
        else CraftingCounts(task, 2, full),
    ]
    applied = won = 0
    for instance in drawn:
        env = CraftingEnv(task, variant, instance, tap_consumed=tap_consumed)
        env.reset(seed=0)
        planning = PlanningProblem(domain_pddl(task, variant, tap_consumed), problem_pddl(instance))
        assert env.symbolic_state() == planning.symbols()
        assert env.objects == {each.name: each.type.name for each in planning.problem.all_objects}
        plan = deque(shortest_plan(instance, tap_consumed))
        for step in range(40):
            if step < 20:  # first wander, then solve it from where that led, if it can be solved
                mask = env.action_masks()
                often = (
                    np.flatnonzero(mask)
                    if mask.any() and rng.random() < 0.6
                    else np.arange(len(mask))
                )
                action = int(
                    rng.choice(often[-8:] if rng.random() < 0.7 else often)
                )  # recipes come last
            elif not plan:
                break
            else:
                action = plan.popleft()
            call = env.call(action)
            assert env.action_of(call) == action
            _, _, terminated, _, info = env.step(action)
            assert planning.apply(call) == info["applied"]
            assert planning.symbols() == env.symbolic_state()
            assert planning.solved() == terminated
            applied += info["applied"]
            won += terminated
            if terminated:
                break
            if step == 19:
                plan = deque(shortest_plan(_from_here(env), tap_consumed) or ())
    assert applied > 20
    assert won >= 2


def _from_here(env):
    state = env.state
    if env.variant == "basic":
        return CraftingCounts(env.task, state.trees, state.inventory)
    return CraftingMap(
        env.task, env.size, state.trees, env.instance.table, state.position, state.inventory
    )


def test_no_teleport_from_elsewhere_in_pddl_and_no_gym_action_for_it():
    env = CraftingEnv("pogo_stick", "map", MAP)
    env.reset(seed=0)
    planning = PlanningProblem(domain_pddl("pogo_stick", "map"), problem_pddl(MAP))
    for start, end in itertools.product(env.objects, repeat=2):
        assert planning.simulator.is_applicable(
            planning.state,
            planning.problem.action("tp_to"),
            [planning.problem.object(start), planning.problem.object(end)],
        ) == (start == "cell3" != end)
        if start == "cell3":
            assert env.call(env.action_of(("tp_to", start, end))) == ("tp_to", start, end)
        else:
            with pytest.raises(InfeasibleAction, match="stands on cell3"):
                env.action_of(("tp_to", start, end))
    for call in (
        ("break", "cell1"),
        ("tp_to", "cell3"),
        ("fly",),
        ("tp_to", "cell3", "cell99"),
        ("craft_plank", "cell3"),
        ("break",),
    ):
        with pytest.raises(InfeasibleAction):
            env.action_of(call)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("variant", ["basic", "map"])
def test_the_partial_domain_is_the_domain_without_conditions_and_effects(task, variant):
    full, partial = domain_pddl(task, variant), partial_domain_pddl(task, variant)
    assert "".join(re.sub(r"    :(precondition|effect) .*\n", "", full)) == partial
    assert (full + partial).islower()
    from unified_planning.io import PDDLReader

    parsed, stripped = (PDDLReader().parse_problem_string(text) for text in (full, partial))
    assert {a.name: [(p.name, p.type) for p in a.parameters] for a in parsed.actions} == {
        a.name: [(p.name, p.type) for p in a.parameters] for a in stripped.actions
    }
    assert not any(action.preconditions or action.effects for action in stripped.actions)
    assert all(action.effects for action in parsed.actions)


def test_the_dataset_replays_with_a_consumed_tap_and_no_plan_in_it_beats_the_oracle():
    if not DATA.is_dir():
        pytest.skip("the trajectories are not beside this checkout")
    names = ["trees_in_map", *(f"count_{item}_in_inventory" for item in ITEMS["pogo_stick"])]

    def read(text):
        return [int(float(re.search(rf"\(= \({name} ?\) ([\d.]+)\)", text)[1])) for name in names]

    files = sorted(DATA.glob("*.trajectory"))
    assert len(files) > 50
    for file in files:
        states = re.findall(r"\(:(?:init|state) .*", file.read_text())
        calls = [
            tuple(call.split()) for call in re.findall(r"\(operator: \((.*?)\)\)", file.read_text())
        ]
        trees, *inventory = read(states[0])
        env = CraftingEnv(
            "pogo_stick",
            "basic",
            CraftingCounts("pogo_stick", trees, tuple(inventory)),
            tap_consumed=True,
        )
        observation, _ = env.reset(seed=0)
        for call, state in zip(calls, states[1:], strict=True):
            observation, _, terminated, _, info = env.step(env.action_of(call))
            assert info["applied"]
            assert observation.tolist() == [*read(state), float("have_pogo_stick" in state)]
        assert terminated
        assert len(shortest_plan(env.instance, tap_consumed=True)) <= len(calls)
