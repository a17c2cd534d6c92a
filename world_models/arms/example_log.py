"""Writes a small made-up programme log: people who do better when visited, and random past visits.

Run `python -m worldplan.world_models.arms.example_log DIRECTORY`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from worldplan.envs.bandits.environment import ArmDynamics
from worldplan.milp.errors import ConfigError

PEOPLE = (
    "Amina",
    "Bruno",
    "Chloe",
    "Dmitri",
    "Elif",
    "Farah",
    "Goran",
    "Hana",
    "Ivo",
    "Jun",
    "Kofi",
    "Leila",
    "Mateo",
    "Nadia",
    "Oren",
    "Priya",
    "Quinn",
    "Rosa",
    "Sami",
    "Tala",
)


def example_dynamics(arms: int, good: int, generator: np.random.Generator) -> ArmDynamics:
    """Four-state arms after Xu et al. (ICLR 2025).

    A pulled arm moves up with a probability of 0.7 to 0.9, another arm with 0 to 0.2; else it moves
    down. Probabilities are rounded to two decimals. The first `good` arms earn 4, 5 or 6 in the top
    state, the others 1, 2 or 3. In the lower states the rewards of good arms fall from state to
    state and those of the others rise, so that one-step rewards mislead on purpose.

    Args:
        arms: number of arms.
        good: number of arms with the higher rewards.
        generator: of probabilities and rewards.
    """
    up = np.stack(
        [generator.uniform(0, 0.2, arms), generator.uniform(0.7, 0.9, arms)], axis=1
    ).round(2)
    transition = np.zeros((arms, 2, 4, 4))
    states = np.arange(4)
    transition[:, :, states, np.minimum(states + 1, 3)] += up[:, :, None]
    transition[:, :, states, np.maximum(states - 1, 0)] += (1 - up)[:, :, None]
    is_good = (np.arange(arms) < good)[:, None]
    reward = np.where(is_good, [0.2, 0.15, 0.1, 0.0], [0.1, 0.15, 0.2, 0.0])
    reward[:, 3] = generator.integers(1, 4, arms) + 3 * is_good[:, 0]
    return ArmDynamics(transition, reward)


def write_example_log(
    directory: str | Path,
    arms: int = 20,
    *,
    weeks: int = 150,
    pulled: float = 0.4,
    term: int = 10,
    seed: int = 0,
) -> None:
    """Write log.csv (weeks * arms rows), rewards.csv, today.csv and the true transitions.csv.

    An episode of the log is a term: its first states are drawn.

    Args:
        directory: made if it does not exist.
        arms: number of arms.
        weeks: steps of the log.
        pulled: probability that an arm is pulled in a week.
        term: weeks after which all arms start again from random states, so that high states occur.
        seed: of the random numbers.
    """
    generator = np.random.default_rng(seed)
    dynamics = example_dynamics(arms, arms // 4, generator)
    names = np.array([PEOPLE[i % 20] + ("" if i < 20 else str(i // 20)) for i in range(arms)])
    every_arm, frames = np.arange(arms), []
    state = np.zeros(arms, np.int64)
    for week in range(weeks):
        if week % term == 0:
            state = generator.integers(4, size=arms)
        action = (generator.random(arms) < pulled).astype(np.int64)
        cumulative = dynamics.transition[every_arm, action, state].cumsum(-1)[:, :-1]
        target = (generator.random(arms)[:, None] >= cumulative).sum(-1)
        frames.append(
            pd.DataFrame(
                {
                    "week": week,
                    "episode": week // term,
                    "arm": names,
                    "state": state,
                    "action": action,
                    "next_state": target,
                }
            )
        )
        state = target
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    pd.concat(frames).to_csv(folder / "log.csv", index=False)
    pd.DataFrame({"arm": names, "state": state}).to_csv(folder / "today.csv", index=False)
    write_tables(folder, dynamics, names)


def write_tables(folder: Path, dynamics: ArmDynamics, names: NDArray[np.str_]) -> None:
    """Write rewards.csv and transitions.csv, the latter without rows of probability 0.

    Args:
        folder: of the files.
        dynamics: of the arms.
        names: (arms,) their ids.

    Raises:
        ConfigError: the dynamics have rewards of actions, which these tables do not hold.
    """
    if dynamics.action_reward is not None:
        raise ConfigError(
            "the dynamics have action_reward, and rewards.csv holds rewards of states: write it "
            "with the columns arm, state, action, reward"
        )
    arm, state = (axis.ravel() for axis in np.indices(dynamics.reward.shape))
    rewards = pd.DataFrame({"arm": names[arm], "state": state, "reward": dynamics.reward.ravel()})
    rewards.to_csv(folder / "rewards.csv", index=False, float_format="%.6g")
    arm, action, state, target = np.nonzero(dynamics.transition)
    probability = dynamics.transition[arm, action, state, target]
    columns = {
        "arm": names[arm],
        "state": state,
        "action": action,
        "next_state": target,
        "probability": probability,
    }
    pd.DataFrame(columns).to_csv(folder / "transitions.csv", index=False, float_format="%.10g")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a made-up programme log as CSV files.")
    parser.add_argument("directory")
    parser.add_argument("--arms", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write_example_log(given.directory, given.arms, seed=given.seed)
