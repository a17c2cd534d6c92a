"""The policy of RAMP: probabilities, advantages, imitation, sampling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.planners.ramp.builders import SMALL, sword
from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.planners.numeric.checked_symbolic import CheckedSymbolicEnv
from worldplan.planners.numeric.symbolic_env import crafting_task
from worldplan.planners.ramp.agent import Agent
from worldplan.planners.ramp.episode import EpisodeRun
from worldplan.planners.ramp.knowledge.state_graph import StateGraph
from worldplan.planners.ramp.policy import DemonstratedStep, PolicyLearner


def filled(steps: int = 40) -> tuple[PolicyLearner, CraftingEnv]:
    """A policy with recorded steps in sequences of different ends, and its environment."""
    env, _ = sword(1)
    learner = PolicyLearner(env.observation_space, env.action_space, SMALL, 3)
    generator = np.random.default_rng(0)
    observation, _ = env.reset()
    for step in range(steps):
        mask = env.action_masks()
        chances = learner.probabilities(observation, mask)
        action = int(generator.choice(len(chances), p=chances))
        after, _, terminated, *_ = env.step(action)
        learner.record(observation, action, mask, chances[action], float(step % 3 == 0))
        observation = after
        if terminated or step % 9 == 8:
            learner.end(None if terminated or step % 2 else observation)
            observation, _ = env.reset()
    learner.end(observation)
    return learner, env


def test_probabilities_are_those_ppo_computes() -> None:
    learner, _ = filled()
    for step in learner._steps:
        assert learner.probabilities(step.observation, step.mask)[~step.mask].sum() == 0
        with torch.no_grad():
            arguments = torch.as_tensor(step.observation[None]), torch.tensor([step.action])
            _, log_probability, _ = learner.ppo.policy.evaluate_actions(
                *arguments, action_masks=step.mask[None]
            )
        assert float(log_probability) == pytest.approx(step.log_probability, abs=1e-5)


def test_advantages_are_those_of_the_definition() -> None:
    """Every sequence of steps on its own: after the last step the value is 0 if the environment
    terminated, else that of the next observation.
    """
    learner, _ = filled()
    buffer = learner._buffer()
    steps, gamma, decay = learner._steps, SMALL.gamma, SMALL.gae_lambda
    values = [float(learner._values([step.observation])[0]) for step in steps]
    for start, step in enumerate(steps):
        advantage, weight = 0.0, 1.0
        for i in range(start, len(steps)):
            last = i + 1 == len(steps) or steps[i + 1].first
            cut = steps[i].after
            following = (
                (0.0 if cut is None else float(learner._values([cut])[0]))
                if last
                else values[i + 1]
            )
            advantage += weight * (steps[i].reward + gamma * following - values[i])
            weight *= gamma * decay
            if last:
                break
        assert buffer.advantages[start, 0] == pytest.approx(advantage, abs=1e-4), step


def test_imitation_makes_a_demonstration_likelier() -> None:
    env, _ = sword(1)
    learner = PolicyLearner(
        env.observation_space, env.action_space, replace(SMALL, imitation_epochs=200), 0
    )
    observation, _ = env.reset()
    mask = env.action_masks()
    shown = int(np.flatnonzero(mask)[-1])
    before = learner.probabilities(observation, mask)[shown]
    learner.update([DemonstratedStep(observation, shown, mask)])
    assert learner.probabilities(observation, mask)[shown] > before + 0.05
    other = PolicyLearner(
        env.observation_space, env.action_space, replace(SMALL, imitation_weight=0.0), 0
    )
    other.update([DemonstratedStep(observation, shown, mask)])
    assert other.probabilities(observation, mask)[shown] == before


def test_draws_follow_the_mixture_they_are_recorded_with() -> None:
    env, _ = sword(1)
    vocabulary, goal = crafting_task(env)
    checked = CheckedSymbolicEnv(env, vocabulary, None)
    agent = Agent(checked, vocabulary, SMALL, 0)
    episode = EpisodeRun(agent, checked, goal, StateGraph(), None)
    counts, chances = np.zeros(env.action_space.n), np.zeros(env.action_space.n)
    for _ in range(1500):
        action, chance = agent.sample(episode.observation, episode.mask, episode.views, 0.5)
        counts[action] += 1
        chances[action] = chance
    assert chances.sum() == pytest.approx(1, abs=1e-6)
    assert np.abs(counts / 1500 - chances).max() < 0.05
    curious = agent._exploring_distribution(episode.mask, episode.views)
    cells = env.size**2
    assert curious[:cells].sum() == pytest.approx(1 / 5), (
        "teleports are one of five actions, however many targets there are"
    )
