"""Episodes one after the other with the same arms, and what learning them costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from worldplan.envs.bandits.environment import BanditInstance, BanditVectorEnv
from worldplan.envs.episodes import EpisodeBatch
from worldplan.milp import checks
from worldplan.planners.base import Evaluation, Planner, as_planner, play_round


def play_online(
    planner: Planner,
    instance: BanditInstance,
    episodes: int,
    seed: int,
    *,
    envs: Sequence[BanditVectorEnv] | None = None,
) -> Evaluation:
    """Play episodes one after the other, so that a learner begins each with all moves before it.

    Episode i has the start and the random numbers of episode i of `BanditVectorEnv(instance,
    episodes)` with the same seed.

    Args:
        planner: is reset with `seed`.
        instance: the programme with the true dynamics.
        episodes: how many.
        seed: of planner and episodes.
        envs: the environment of each episode; made unless given.

    Returns:
        As `worldplan.planners.base.evaluate`.

    Raises:
        ConfigError: an argument is out of range, or the planner lacks a method.
    """
    episodes = checks.whole_number(episodes, "episodes", least=1)
    seed = checks.whole_number(seed, "seed", least=0)
    planner = as_planner(planner)
    planner.reset(seed=seed)
    rows: list[dict[str, Any]] = []
    rewards: list[NDArray[np.float64]] = []
    for number in range(episodes):
        planner.restart(np.ones(1, bool))
        env = BanditVectorEnv(instance, 1, first_episode=number) if envs is None else envs[number]
        row, earned = play_round(planner, EpisodeBatch(env, seed=seed))
        rows += row
        rewards += earned
    return Evaluation(pd.DataFrame(rows), np.stack(rewards))


def regret(learned: Evaluation, known: Evaluation) -> pd.DataFrame:
    """What learning cost, by episode: columns episode, regret, cumulative.

    Args:
        learned: of a learner.
        known: of the policy that it would have with the true dynamics, in the same episodes.

    Raises:
        ConfigError: they have different numbers of episodes.
    """
    checks.of_type(learned, "learned", Evaluation)
    checks.of_type(known, "known", Evaluation)
    count = checks.whole_number(len(learned.episodes), "episodes", least=1)
    checks.whole_number(len(known.episodes), "episodes of known", least=count, most=count)
    lost = known.episodes["return"].to_numpy() - learned.episodes["return"].to_numpy()
    return pd.DataFrame(
        {"episode": np.arange(1, count + 1), "regret": lost, "cumulative": lost.cumsum()}
    )
