"""What the mean rewards of bandit policies are compared with: random feasible actions and the
default action in the same episodes, the decisions in the log, and the upper bound of the run.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from worldplan.commands.bandits.jobs import make_planner
from worldplan.commands.bandits.scenario import Scenario
from worldplan.commands.studies.references import RANDOM
from worldplan.envs.bandits.environment import BanditVectorEnv, Floats
from worldplan.planners.bandits.played import play_policy
from worldplan.planners.bandits.units import counted_steps, default_returns
from worldplan.planners.base import bootstrap
from worldplan.runs import Run
from worldplan.world_models.arms.programme import Built

DEFAULT, LOG, BOUND = "default action (exact)", "the log's decisions", "upper bound"


def reference_rows(
    built: Built,
    scenario: Scenario,
    seed: int,
    first_seed: int,
    episodes: int,
    values: Floats | None = None,
) -> list[dict[str, Any]]:
    """Rows policy, seed, mean, low, high and episodes of one seed of a run.

    Args:
        built: the programme of this seed.
        scenario: of the run.
        seed: of the run.
        first_seed: added to it for the episodes.
        episodes: how many.
        values: as in `worldplan.planners.bandits.played.play_policy`.
    """
    instance, start = built.instance, seed + first_seed
    planner = make_planner("random", built, scenario, seed, None)
    played = play_policy(planner, instance, episodes, start, values)
    random = bootstrap(played.returns / counted_steps(instance))
    rows = [{"policy": RANDOM, "seed": seed, **random, "episodes": episodes}]
    observation, _ = BanditVectorEnv(instance, episodes).reset(seed=start)
    returns = default_returns(instance, observation["state"])
    default = returns.mean() / counted_steps(instance)
    rows.append({"policy": DEFAULT, "seed": seed, "mean": float(default), "episodes": episodes})
    return rows


def log_rows(built: Built) -> list[dict[str, Any]]:
    """The row of the log's own decisions; none without a log.

    The mean reward of an arm's observed moves is summed over the arms that have any. An arm without
    moves is in no sum, so the row is left out where there is such an arm.
    """
    if built.moves is None:
        return []
    model, moves = built.instance.dynamics, built.moves
    counts = moves.sum((1, 2, 3))
    if moves.shape[1] != model.transition.shape[1] or not counts.all():
        return []
    gained = np.einsum("jkst,jt->j", moves, model.reward)
    if model.action_reward is not None:
        gained = gained + (moves * model.action_reward).sum((1, 2, 3))
    return [{"policy": LOG, "mean": float((gained / counts).sum()), "episodes": 0}]


def bound_rows(run: Run) -> list[dict[str, Any]]:
    """The row of the run's upper bound, which holds for its own start states; none in a run of an
    earlier version, or where no bound is known.

    Raises:
        DatasetError: the file of the bound is damaged.
    """
    bound = run.bound
    if bound is None or not math.isfinite(bound):
        return []
    return [{"policy": BOUND, "mean": bound, "episodes": 0}]
