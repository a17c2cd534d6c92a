"""The crafting tasks: against rules written out by hand, a PDDL simulator, published data and plain
search.
"""

from __future__ import annotations

import itertools
import re
import statistics
import warnings
from collections import deque

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.places import TRAJECTORIES
from worldplan.envs.crafting.dynamics import dynamics_of
from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.generator import generate, generate_counts
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.pddl import domain_pddl, partial_domain_pddl, problem_pddl
from worldplan.envs.crafting.rules import GOAL, ITEMS, SIZES, TASKS, CraftingCounts, CraftingMap
from worldplan.milp.errors import ConfigError, InfeasibleAction

NAMES = {"wooden_sword": "WoodenSword", "pogo_stick": "PogoStick"}
IDS = [
    f"worldplan/{NAMES[task]}{kind}-v0"
    for task in TASKS
    for kind in ("Basic", *(f"Map{size}" for size in SIZES))
]
SETTINGS = [(task, variant, False) for task in TASKS for variant in ("basic", "map")] + [
    ("pogo_stick", "basic", True)
]
DATA = TRAJECTORIES / "minecraft"
MAP = CraftingMap("pogo_stick", 4, frozenset({1, 5}), table=10, agent=3, inventory=(1, 6, 2, 0, 0))
SWORD = CraftingMap("wooden_sword", 4, frozenset({5}), table=6, agent=6, inventory=(0, 4, 0))
TP = 16  # teleports of a 4 x 4 map; the recipes follow
BREAK, PLANK, STICK, TAP, POGO, PLACE = range(TP, TP + 6)


@st.composite
def instances(draw, task, variant, sizes=(2, 4), most=9):
    """Any instance, solvable or not, with the agent anywhere."""
    inventory = tuple(draw(st.integers(0, most)) for _ in ITEMS[task])
    if variant == "basic":
        return CraftingCounts(task, draw(st.integers(0, 3)), inventory)
    size = draw(st.integers(*sizes))
    cell = st.integers(0, size**2 - 1)
    table = draw(cell)
    return CraftingMap(
        task,
        size,
        frozenset(draw(st.sets(cell, max_size=size**2)) - {table}),
        table,
        draw(cell),
        inventory,
    )


def by_hand(symbols, call, tap_consumed):
    """The rules once more, written out action by action after the paper's domains: the next (atoms,
    fluents), or None.
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
        np.testing.assert_array_equal(info["action_mask"], [one is not None for one in expected])
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
    """An exported domain and problem in unified_planning, an implementation of PDDL that knows
    nothing of ours.
    """

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
        """Carries an action out if it is applicable, and says whether it was."""
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
        assert env.objects == {one.name: one.type.name for one in planning.problem.all_objects}
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


def plain_search(dynamics):
    """Length of a shortest plan by breadth-first search on full states. A second sack is never
    needed, so more of them are cut.
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
    found = []

    @settings(
        max_examples=25 if variant == "map" else 60, deadline=None, derandomize=True, database=None
    )
    @given(instances(task, variant, sizes=(2, 2) if task == "pogo_stick" else (2, 3), most=5))
    def compare(instance):
        plan = shortest_plan(instance, tap_consumed)
        assert (None if plan is None else len(plan)) == plain_search(
            dynamics_of(instance, tap_consumed)
        )
        found.append(plan)
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
    assert None in found
    assert sum(plan is not None for plan in found) > 5


def test_known_optima():
    """From nothing, with five trees, the basic pogo stick takes 11 actions; standing at the table
    the sword needs a step away first.
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
    """Their instances: trees 2.9 / 12.1 / 29.6 on average, at most 4 / 21 / 49; shortest plans 6.4
    / 6.8 / 6.7 (pogo) and 2.5 (sword).
    """
    pogo = generate("pogo_stick", size, 100, np.random.default_rng(1))
    sword = generate("wooden_sword", size, 100, np.random.default_rng(2))
    assert len(set(pogo)) == len(set(sword)) == 100
    trees = statistics.mean(len(one.trees) for one in pogo)
    assert trees == pytest.approx({6: 2.9, 10: 12.1, 15: 29.6}[size], rel=0.2)
    plans = [len(shortest_plan(one)) for one in pogo]
    assert statistics.mean(plans) == pytest.approx(6.5, abs=0.5)
    assert min(plans) == 4 and max(plans) <= 14
    plans = [len(shortest_plan(one)) for one in sword]
    assert statistics.mean(plans) == pytest.approx(2.5, abs=0.25)
    assert set(plans) <= {2, 3, 4, 5}
    for one in pogo + sword:
        in_front = [cell + row * size for cell in one.trees for row in range(3)] + [
            one.table,
            one.table + size,
        ]
        assert len(in_front) == len(set(in_front)), (
            "what is in front of a tree or the table is free"
        )
        assert one.agent not in {*one.trees, one.table}
        for cell in (*one.trees, one.table, one.agent):
            assert 1 <= cell % size <= size - 2 and 1 <= cell // size <= size - 3
    assert all(max(one.inventory[:3]) <= 8 and one.inventory[3:] == (0, 0) for one in pogo)
    assert all(max(one.inventory) <= 8 and one.inventory[2] == 0 for one in sword)


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


@pytest.mark.parametrize("name", IDS)
def test_gymnasium_and_stable_baselines_accept_every_registered_environment(name):
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(name, render_mode="ansi")
        check_env(env.unwrapped, skip_render_check=True)
        sb3_check_env(env.unwrapped, skip_render_check=True)
        env.reset(seed=4)
        for _ in range(30):  # through the passive checker
            mask = env.get_wrapper_attr("action_masks")()
            _, _, terminated, truncated, _ = env.step(
                env.action_space.sample(mask=mask.astype(np.int8))
            )
            if terminated or truncated:
                env.reset()
        assert isinstance(env.render(), str)
    size = {"Map6": 36, "Map10": 100, "Map15": 225}.get(re.search(r"(Map\d+|Basic)", name)[1])
    pogo = "Pogo" in name
    assert env.action_space.n == ((6 if pogo else 4) if size is None else size + (6 if pogo else 4))
    assert env.observation_space.shape == (
        (7 if pogo else 5) if size is None else size + (8 if pogo else 6),
    )


def test_rendering_passes_the_checker_too():
    for name in IDS[:2]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(gym.make(name, render_mode="rgb_array").unwrapped)


def test_the_same_seed_gives_the_same_episodes():
    def episode(seed):
        env = gym.make("worldplan/PogoStickMap6-v0")
        rng, rows = np.random.default_rng(0), []
        for number in range(3):
            observation, _ = env.reset(seed=seed if number == 0 else None)
            rows.append(observation.tolist())
            rows += [env.step(rng.integers(42))[0].tolist() for _ in range(20)]
        return rows

    assert episode(5) == episode(5)
    assert episode(5) != episode(6)


def test_an_observation_is_laid_out_as_documented():
    env = CraftingEnv("pogo_stick", "map", MAP)
    observation, _ = env.reset(seed=0)
    blocks = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0]
    assert observation.dtype == np.float32
    assert observation.tolist() == [0, *blocks, 1, 6, 2, 0, 0, 0, 3]
    observation = env.step(1)[0]
    assert observation.tolist() == [1, *blocks, 1, 6, 2, 0, 0, 0, 1]
    observation = env.step(BREAK)[0]
    assert observation.tolist() == [0, 0, 0, *blocks[2:], 2, 6, 2, 0, 0, 0, 1]
    observation = env.step(TAP)[0]
    assert observation.tolist() == [2, 0, 0, *blocks[2:], 2, 1, 1, 0, 1, 0, 10]
    basic = CraftingEnv("pogo_stick", "basic", MAP.to_counts())
    assert basic.reset(seed=0)[0].tolist() == [2, 1, 6, 2, 0, 0, 0]


def test_an_inapplicable_action_only_costs_a_step_and_the_limit_truncates():
    env = CraftingEnv("pogo_stick", "map", MAP, max_steps=3)
    before, _ = env.reset(seed=0)
    for step in range(1, 4):
        after, reward, terminated, truncated, info = env.step(BREAK)  # no tree here
        assert (info["applied"], reward, terminated, truncated) == (False, 0.0, False, step == 3)
        np.testing.assert_array_equal(after, before)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_the_goal_terminates_and_is_no_truncation():
    env = CraftingEnv("wooden_sword", "map", SWORD, max_steps=3)
    env.reset(seed=0)
    results = [
        env.step(action) for action in (TP + 2, 0, TP + 3)
    ]  # sticks, step away, sword: the last step is also the limit
    assert [result[1:4] for result in results] == [
        (0.0, False, False),
        (0.0, False, False),
        (1.0, True, False),
    ]
    assert results[-1][4]["is_success"] and not results[0][4]["is_success"]
    assert ("position", "crafting_table") in env.symbolic_state()[0]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_maps_are_kept_drawn_or_replaced():
    rng = np.random.default_rng(0)
    maps = generate("pogo_stick", 6, 4, rng)
    env = CraftingEnv("pogo_stick", maps=maps)
    env.reset(seed=0)
    drawn = []
    for _ in range(40):
        env.reset()
        drawn.append(env.instance)
    assert set(drawn) == set(maps)
    env.reset(options={"map": maps[2]})
    for _ in range(5):
        env.reset()
        assert env.instance == maps[2]
    fresh = CraftingEnv("pogo_stick", size=6)
    fresh.reset(seed=0)
    first = fresh.instance
    fresh.reset()
    assert fresh.instance != first
    assert shortest_plan(fresh.instance) is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "iron_sword"}, "iron_sword"),
        ({"task": "pogo_stick", "variant": "grid"}, "grid"),
        ({"task": "pogo_stick", "tap_consumed": True}, "tap_consumed"),
        ({"task": "wooden_sword", "variant": "basic", "tap_consumed": True}, "tap_consumed"),
        ({"task": "pogo_stick", "maps": []}, "empty"),
        ({"task": "pogo_stick", "maps": [SWORD]}, "is a map wooden_sword"),
        ({"task": "pogo_stick", "maps": MAP.to_counts()}, "is a basic pogo_stick"),
        ({"task": "pogo_stick", "maps": [MAP], "size": 6}, "4 x 4"),
        ({"task": "pogo_stick", "maps": [3]}, "must be a CraftingMap"),
        ({"task": "pogo_stick", "max_steps": 0}, "max_steps"),
        ({"task": "pogo_stick", "render_mode": "human"}, "render_mode"),
        ({"task": "pogo_stick", "size": 4}, "5 x 5"),
    ],
)
def test_bad_arguments_are_told(arguments, message):
    with pytest.raises(ConfigError, match=message):
        CraftingEnv(**arguments)


def test_bad_reset_options_and_actions_are_told():
    env = CraftingEnv("pogo_stick", "map", MAP)
    with pytest.raises(gym.error.ResetNeeded):
        env.action_masks()
    for options in (
        {"maps": MAP},
        {"map": SWORD},
        {"map": None},
        {"map": generate("pogo_stick", 6, 1, np.random.default_rng(0))[0]},
    ):
        with pytest.raises(ConfigError):
            env.reset(options=options)
    env.reset(seed=0)
    for action in (-1, TP + 6, 1.5):
        with pytest.raises(InfeasibleAction):
            env.step(action)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 1},
        {"table": 16},
        {"agent": -1},
        {"trees": {10}},
        {"trees": {16}},
        {"inventory": (1, 2, 3)},
        {"inventory": (0, 0, 0, 0, -1)},
        {"inventory": (0.5, 0, 0, 0, 0)},
        {"inventory": (2**19 + 1, 0, 0, 0, 0)},
        {"task": "axe"},
    ],
)
def test_bad_maps_are_told(change):
    good = {
        "task": "pogo_stick",
        "size": 4,
        "trees": [1, 5],
        "table": 10,
        "agent": np.int64(3),
        "inventory": [1, 6, 2, 0, 0],
    }
    assert CraftingMap(**good) == MAP, "lists and numpy numbers will do"
    with pytest.raises(ConfigError):
        CraftingMap(**{**good, **change})


def test_pictures_show_the_state():
    env = CraftingEnv("pogo_stick", "map", MAP, render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == " .  T  . [.]\n .  T  .  . \n .  .  C  . \n .  .  .  . \n" + (
        "log 1  planks 6  stick 2  sack_polyisoprene_pellets 0  tree_tap 0  have_pogo_stick 0\n"
    )
    env = CraftingEnv("pogo_stick", "map", MAP, render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    assert first.shape == ((4 + 3) * 24, 4 * 24, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first[24:48, 24:48], first[:24, 24:48], "trees look alike")
    env.step(5)
    moved = env.render()
    changed = {
        (row // 24, column // 24)
        for row, column in zip(*np.nonzero((first != moved).any(-1)), strict=True)
    }
    assert changed == {(0, 3), (1, 1)}, "the agent left one cell and came to another"
    env.step(BREAK)
    assert (env.render()[24 * 4 :] != moved[24 * 4 :]).any(), "one log more"
    basic = CraftingEnv("pogo_stick", "basic", MAP.to_counts(), render_mode="rgb_array")
    basic.reset(seed=0)
    assert basic.render().shape == (2 * 24, 4 * 48, 3)
    large = CraftingEnv(
        "wooden_sword",
        "basic",
        CraftingCounts("wooden_sword", 10**5, (0, 0, 0)),
        render_mode="rgb_array",
    )
    large.reset(seed=0)
    assert large.render().shape == (2 * 24, 4 * 48, 3)


def test_masks_reach_sb3_contrib_through_wrappers_and_vector_environments():
    utils = pytest.importorskip("sb3_contrib.common.maskable.utils")
    from stable_baselines3.common.env_util import make_vec_env

    vector = make_vec_env("worldplan/PogoStickMap6-v0", 2, seed=0, env_kwargs={"max_steps": 5})
    vector.reset()
    for _ in range(12):  # resets itself on the way
        masks = utils.get_action_masks(vector)
        actions = np.array([np.flatnonzero(mask)[-1] for mask in masks])
        _, _, _, infos = vector.step(actions)
        assert all(info["applied"] for info in infos)
