"""Whole RAMP runs on small maps, their settings and their files."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import pytest
import torch

from tests.planners.ramp.builders import SMALL, ramp_on, sword, timeless
from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.rules import CraftingMap
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.numeric.symbolic_env import crafting_task
from worldplan.planners.ramp.policy import PolicyLearner
from worldplan.planners.ramp.ramp import Ramp
from worldplan.planners.ramp.settings import RampSettings
from worldplan.world_models.action_model.files import load_model
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.numeric.domain import (
    NumericModel,
)
from worldplan.world_models.pddl.reading import read_model


def test_a_run_solves_every_map_shortest() -> None:
    env, maps = sword(4, 1)
    ramp = ramp_on(env)
    records = ramp.run([{"map": instance} for instance in maps], 400)
    assert [record.best for record in records] == [
        len(shortest_plan(instance) or ()) for instance in maps
    ]
    assert all(
        record.broken_plans == 0 and record.settled and record.steps < 400 for record in records
    )
    assert all(
        record.first_goal is not None and record.first_goal < 15 for record in records[1:]
    ), "the model of the first map plans on the next ones"
    for record, instance in zip(records, maps, strict=True):
        env.reset(options={"map": instance})
        for call in record.best_plan:
            assert env.step(env.action_of(call))[4]["applied"]
        assert env.state.reached
    assert set(ramp.agent.demonstrations) == {0, 1, 2, 3}
    assert [len(steps) for steps in ramp.agent.demonstrations.values()] == [
        record.best for record in records
    ]


def test_a_map_of_scarce_resources_is_solved() -> None:
    """Two trees and one log: nearly every sequence of actions wastes something. Random actions do
    not reach the goal in 6000 steps.
    """
    env = CraftingEnv(
        "pogo_stick", maps=CraftingMap("pogo_stick", 6, frozenset({7, 14}), 15, 22, (1, 0, 0, 0, 0))
    )
    record = ramp_on(env).run_map(2000)
    assert record.best == 12 and record.settled


def test_the_same_seed_gives_the_same_run() -> None:
    env, maps = sword(2, 2)
    runs = [ramp_on(env, replace(SMALL, optimism=False), seed=seed) for seed in (5, 5, 6)]
    for ramp in runs:
        ramp.run([{"map": instance} for instance in maps], 90)
    first, second, third = map(timeless, runs)
    assert first == second and first != third
    weights = [
        torch.nn.utils.parameters_to_vector(ramp.agent.policy.ppo.policy.parameters())
        for ramp in runs
    ]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_saved_run_resumes_to_the_same_result(tmp_path) -> None:
    env, maps = sword(3, 2)
    chosen, options = replace(SMALL, optimism=False), [{"map": instance} for instance in maps]
    whole = ramp_on(env, chosen)
    whole.run(options, 90)
    ramp_on(env, chosen).run(options[:2], 90, tmp_path)
    resumed = Ramp.load(tmp_path, env, *crafting_task(env))
    assert resumed.settings == chosen
    numbers: list[int] = []
    resumed.run(options, 90, tmp_path, lambda record: numbers.append(record.map))
    assert numbers == [2], "finished maps are skipped"
    assert timeless(resumed) == timeless(whole)
    first, second = (
        torch.nn.utils.parameters_to_vector(ramp.agent.policy.ppo.policy.parameters())
        for ramp in (whole, resumed)
    )
    assert torch.equal(first, second)
    assert (
        load_model(tmp_path / "action_model.json").actions == whole.agent.experience.model().actions
    )


def test_a_damaged_run_is_refused(tmp_path) -> None:
    env, _ = sword(1)
    (tmp_path / "ramp.pt").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"ramp\.pt: cannot be read"):
        Ramp.load(tmp_path, env, *crafting_task(env))


class Counting(PolicyLearner):
    """Counts the steps that it records."""

    def record(self, *arguments: object) -> None:
        self.recorded = getattr(self, "recorded", 0) + 1
        super().record(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("published", [False, True])
def test_planned_steps_train_the_policy_only_in_the_published_setting(published: bool) -> None:
    env, maps = sword(3, 1)
    chosen = (
        RampSettings.paper(net=(8,), rollout=64, epochs=2, time_limit=5.0, shortest_possible=2)
        if published
        else SMALL
    )
    ramp = ramp_on(env, chosen)
    ramp.agent.policy = Counting(env.observation_space, env.action_space, chosen, 0)
    records = ramp.run([{"map": instance} for instance in maps], 130)
    taken = sum(record.steps for record in records)
    planned = sum(record.planned_steps for record in records)
    assert planned > 0
    assert ramp.agent.policy.recorded == (taken if published else taken - planned)
    assert bool(ramp.agent.demonstrations) != published


def test_the_published_setting_waits_for_the_first_success_and_takes_turns(tmp_path) -> None:
    from worldplan.envs.crafting.pddl import domain_pddl

    path = tmp_path / "domain.pddl"
    path.write_text(domain_pddl("wooden_sword", "map"))
    env, maps = sword(3, 1)
    chosen = RampSettings.paper(net=(8,), rollout=60, epochs=2, time_limit=5.0, shortest_possible=1)
    ramp = ramp_on(env, chosen, true_model=read_model(path))
    records = ramp.run([{"map": instance} for instance in maps], 130)
    assert [record.steps for record in records] == [130] * 3
    assert not any(record.settled for record in records)
    first = next(record for record in records if record.first_goal is not None)
    assert first.first_by == "policy"
    assert sum(record.planned_steps for record in records) > 0
    assert sum(record.broken_plans for record in records) == 0


class DearerPlanks(CraftingEnv):
    """Needs two logs for planks once `dearer` is set; before, one log is enough."""

    dearer = False

    def step(self, action):  # type: ignore[no-untyped-def]
        if self.dearer and self.call(action)[0] == "craft_plank" and self.state.inventory[0] < 2:
            self._steps += 1
            return (
                self._dynamics.observe(self._state),
                0.0,
                False,
                self._steps >= self.max_steps,
                {"applied": False},
            )
        return super().step(action)


def test_a_safe_plan_that_breaks_is_counted_and_not_repeated() -> None:
    instance = CraftingMap("wooden_sword", 5, frozenset({6}), 12, 8, (1, 0, 0))
    env = DearerPlanks("wooden_sword", maps=instance, max_steps=60)
    ramp = ramp_on(env)
    assert ramp.run_map(400).best == 3
    env.dearer = True
    record = ramp.run_map(400)
    assert record.broken_plans == 1
    assert (
        "craft_plank" in ramp.agent.experience.model().detail["report"].excluded
        or record.best is not None
    )


def test_a_map_that_changes_between_episodes_is_refused() -> None:
    _, maps = sword(5, 7)
    env = CraftingEnv("wooden_sword", maps=maps, max_steps=30)
    with pytest.raises(ConfigError, match="another start"):
        ramp_on(env, replace(SMALL, train_when_settled=True)).run_map(300)


def test_settings_are_checked_and_survive_a_file() -> None:
    chosen = RampSettings.paper(
        default=Declaration("monotone", {"f": 1}), declarations={"a": Declaration("juntas", size=1)}
    )
    import json

    assert RampSettings.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen
    for wrong, word in (
        ({"masks": "some"}, "masks"),
        ({"rollout": 1}, "rollout"),
        ({"curiosity": 1.5}, "curiosity"),
        ({"schedule": "published"}, "optimism"),
        ({"speed": 1}, "speed"),
        ({"time_limit": 0}, "time_limit"),
    ):
        with pytest.raises(ConfigError, match=word):
            RampSettings.from_dict(wrong)
    env, _ = sword(1)
    with pytest.raises(ConfigError, match="unwrapped"):
        Ramp(gym.wrappers.TimeLimit(env, 9), *crafting_task(env))  # type: ignore[arg-type]
    model = NumericModel(crafting_task(env)[0], {})
    with pytest.raises(ConfigError, match="true_model"):
        ramp_on(env, SMALL, true_model=model)
