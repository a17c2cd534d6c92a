"""Data and policies of tasks whose values are known in closed form."""

from __future__ import annotations

import numpy as np

from worldplan.planners.base import Decision, Planner
from worldplan.world_models.data.transitions import Transitions

A, B, NOISE, COST = 0.9, 0.5, 0.1, 0.1  # s' = A s + B u + noise, r = -s^2 - COST u^2


class Linear(Planner):
    """u = -gain * s."""

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def plan(self, observation):
        return self.plan_batch(np.asarray(observation)[None])[0]

    def plan_batch(self, observations):
        return [
            Decision(action, None, None, "heuristic", 0.0)
            for action in -self.gain * np.asarray(observations)
        ]


class Right(Planner):
    """Always +1."""

    def plan(self, observation):
        return Decision(np.ones(1, np.float32), None, None, "heuristic", 0.0)


def linear_value(state: np.ndarray, gain: float, discount: float) -> np.ndarray:
    """V(s) = -(p s^2 + c) of u = -gain s: the discrete Lyapunov equation in one dimension."""
    closed = A - B * gain
    p = (1 + COST * gain**2) / (1 - discount * closed**2)
    return -(p * state**2 + discount * p * NOISE**2 / (1 - discount))


def linear_data(episodes: int, length: int, seed: int) -> Transitions:
    """Random actions; every episode is truncated."""
    generator = np.random.default_rng(seed)
    state = generator.uniform(-1, 1, episodes)
    columns = []
    for _ in range(length):
        action = generator.uniform(-1.5, 1.5, episodes)
        following = A * state + B * action + NOISE * generator.normal(size=episodes)
        columns.append((state, action, -(state**2) - COST * action**2, following))
        state = following
    observation, action, reward, following = (
        np.stack(part, 1).ravel() for part in zip(*columns, strict=True)
    )
    truncated = np.zeros((episodes, length), bool)
    truncated[:, -1] = True
    return Transitions(
        observation[:, None],
        action[:, None],
        reward,
        following[:, None],
        np.zeros(episodes * length, bool),
        truncated.ravel(),
        np.repeat(np.arange(episodes), length),
    )


def chain_data(episodes: int, seed: int) -> Transitions:
    """Places 0..4 on a line: a > 0 moves right, else left; reaching 4 pays 1 and terminates."""
    generator = np.random.default_rng(seed)
    rows = []
    for episode in range(episodes):
        place = 0
        while place < 4:
            action = generator.uniform(-1, 1) + 0.3
            following = place + 1 if action > 0 else max(place - 1, 0)
            rows.append((place, action, float(following == 4), following, following == 4, episode))
            place = following
    place, action, reward, following, terminated, episode = (
        np.array(part) for part in zip(*rows, strict=True)
    )
    return Transitions(
        place[:, None].astype(np.float32),
        action[:, None].astype(np.float32),
        reward,
        following[:, None].astype(np.float32),
        terminated.astype(bool),
        np.zeros(len(rows), bool),
        episode,
    )
