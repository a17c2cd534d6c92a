"""The crafting environment: gymnasium's checks, episodes, bad input and pictures."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.envs.crafting.builders import MAP, SWORD
from tests.places import ROOT
from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.generator import generate
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.rules import SIZES, TASKS, CraftingCounts, CraftingMap
from worldplan.milp.errors import ConfigError, InfeasibleAction

NAMES = {"wooden_sword": "WoodenSword", "pogo_stick": "PogoStick"}
IDS = [
    f"worldplan/{NAMES[task]}{kind}-v0"
    for task in TASKS
    for kind in ("Basic", *(f"Map{size}" for size in SIZES))
]
TP = 16  # number of teleports of a 4 x 4 map; the recipes follow
BREAK, PLANK, STICK, TAP, POGO, PLACE = range(TP, TP + 6)


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


def test_a_fresh_process_makes_an_environment_by_its_id_alone() -> None:
    code = (
        "import gymnasium, sys;"
        "gymnasium.make('worldplan.envs.crafting:worldplan/WoodenSwordBasic-v0').reset(seed=0);"
        "assert 'stable_baselines3' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
