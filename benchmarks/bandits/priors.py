"""How far clients borrow from each other: strengths of the prior on seven kinds of programmes.

    OMP_NUM_THREADS=1 python -m benchmarks.bandits.priors [--clients 200] [--seeds 8]
        [--weeks 1,3,10,40] [--priors fixed2,estimated2,estimated5]

A log has some weeks of random visits to 15 % of the clients. From each posterior mean come the
log-likelihood of 20 further weeks, by move, less that of the best prior (in thousandths), and the
rewards of the Whittle and the myopic policy over half a year with a visit to every 15th client, as

    (policy - nobody visited) / (Whittle with the true dynamics - nobody visited).

`fixed2` is the prior of `ArmLog.posterior` with a strength of 2 moves, `estimated5` that of
`programme.borrow: estimated` with a guess of 5.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd

from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints, draw
from worldplan.planners.bandits.whittle_horizon import finite_whittle_indices
from worldplan.world_models.arms.dynamics import ArmLog
from worldplan.world_models.arms.groups import Tree

HORIZON, PLAYED, VISITED = 12, 26, 15
Numbers = np.random.Generator


def ladder(up: Floats) -> Floats:
    """Transitions that go up by one state with a probability, else down.

    Args:
        up: (arms, 2, states) or (arms, 2, 1).
    """
    arms, states = len(up), 3
    transition = np.zeros((arms, 2, states, states))
    place = np.arange(states)
    transition[:, :, place, np.minimum(place + 1, states - 1)] += up
    transition[:, :, place, np.maximum(place - 1, 0)] += 1 - up
    return transition


def responders(arms: int, rng: Numbers) -> Floats:
    """A fifth of the clients gains from visits."""
    without = rng.uniform(0.1, 0.5, arms)
    gain = np.where(rng.random(arms) < 0.2, 0.4, 0.03)
    return ladder(np.stack([without, without + gain], axis=1)[:, :, None])


def rows(arms: int, rng: Numbers) -> Floats:
    """Four states, moves to any of them, strength 6."""
    mean = rng.dirichlet(np.ones(4), size=(2, 4))
    mean[1] = 0.5 * mean[1] + 0.5 * np.eye(4)[[1, 2, 3, 3]]
    gamma = rng.standard_gamma(6 * mean + 1e-9, size=(arms, 2, 4, 4))
    return np.asarray(gamma / gamma.sum(-1, keepdims=True))


def adherence(arms: int, rng: Numbers) -> Floats:
    """Two states; who is on treatment tends to stay there."""
    up = rng.beta([[1, 5], [4, 9]], [[6, 2], [4, 1.5]], (arms, 2, 2))
    return np.stack([1 - up, up], axis=-1)


def subtypes(arms: int, rng: Numbers) -> Floats:
    """Three types of clients."""
    types = np.array([[0.1, 0.9], [0.3, 0.6], [0.5, 0.55]])
    return ladder(types[rng.integers(3, size=arms)][:, :, None])


KINDS: dict[str, Callable[[int, Numbers], Floats]] = {
    "alike": lambda arms, rng: ladder(rng.beta([[15], [42]], [[45], [18]], (arms, 2, 3))),
    "clients differ": lambda arms, rng: ladder(
        rng.uniform([[0.05], [0.5]], [[0.45], [0.95]], (arms, 2, 1))
    ),
    "far apart": lambda arms, rng: ladder(rng.beta([[0.8], [1.2]], [[1.2], [0.8]], (arms, 2, 3))),
    "responders": responders,
    "four states": rows,
    "adherence": adherence,
    "three types": subtypes,
}


def counts_of(transition: Floats, weeks: int, visited: float, rng: Numbers) -> tuple[Ints, Ints]:
    """Moves (arms, 2, states, states) of a log, and the last states (arms,)."""
    counts = np.zeros(transition.shape, np.int64)
    arms = np.arange(len(counts))
    state = rng.integers(counts.shape[-1], size=len(counts))
    for _ in range(weeks):
        action = (rng.random(len(counts)) < visited).astype(np.int64)
        after = draw(transition[arms, action, state], rng.random(len(counts)))
        np.add.at(counts, (arms, action, state, after), 1)
        state = after
    return counts, state


def play(true: ArmDynamics, index: Floats, start: Ints, luck: Floats, visits: int) -> float:
    """Mean reward of visits to the greatest positive index (arms, states)."""
    state, arms, one, total = start, np.arange(true.arms), true.one_step(), 0.0
    for uniform in luck:
        value = index[arms, state]
        first = np.argsort(-value, kind="stable")[:visits]
        action = np.zeros(true.arms, np.int64)
        action[first[value[first] > 0]] = 1
        total += float(one[arms, action, state].mean())
        state = draw(true.transition[arms, action, state], uniform)
    return total / len(luck)


def mean_of(prior: str, log: ArmLog) -> Floats:
    """Transition probabilities of the posterior mean."""
    strength = float(prior.removeprefix("fixed").removeprefix("estimated"))
    if prior.startswith("fixed"):
        return log.posterior(strength).mean().transition
    concentration = Tree(log.counts).borrow(strength).concentration
    return log.posterior(concentration=concentration).mean().transition


def measure(kind: str, clients: int, weeks: int, seed: int, priors: list[str]) -> pd.DataFrame:
    """Rows prior, likelihood, whittle, myopic of one drawn programme."""
    rng = np.random.default_rng([seed, 7])
    transition = KINDS[kind](clients, rng)
    states = transition.shape[-1]
    reward = rng.choice([1.0, 1.0, 2.0, 3.0], clients)[:, None] * np.linspace(0, 1, states)
    true = ArmDynamics(transition, reward)
    counts, start = counts_of(transition, weeks, 0.15, rng)
    later, _ = counts_of(transition, 20, 0.3, rng)
    luck, visits = rng.random((PLAYED, clients)), max(1, clients // VISITED)
    log = ArmLog(counts, reward, tuple(map(str, range(clients))))
    zero = play(true, np.zeros_like(reward), start, luck, visits)
    best = play(true, finite_whittle_indices(true, HORIZON), start, luck, visits) - zero
    found = []
    for prior in priors:
        mean = ArmDynamics(mean_of(prior, log), reward)
        one = mean.one_step()
        indices = finite_whittle_indices(mean, HORIZON), one[:, 1] - one[:, 0]
        shares = [(play(true, index, start, luck, visits) - zero) / best for index in indices]
        logs = np.log(np.maximum(mean.transition, 1e-300))
        found.append((prior, float((later * logs).sum() / later.sum()), *shares))
    return pd.DataFrame(found, columns=["prior", "likelihood", "whittle", "myopic"])


def main() -> None:
    """Print a line for each kind and length of the log."""
    parser = argparse.ArgumentParser(description="Strengths of the prior by kind of programme.")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--weeks", default="1,3,10,40")
    parser.add_argument("--priors", default="fixed2,estimated2,estimated5")
    given = parser.parse_args()
    priors = given.priors.split(",")
    for kind in KINDS:
        for weeks in map(int, given.weeks.split(",")):
            tables = [
                measure(kind, given.clients, weeks, seed, priors) for seed in range(given.seeds)
            ]
            table = pd.concat(tables).groupby("prior", sort=False).mean()
            table["likelihood"] = 1000 * (table["likelihood"] - table["likelihood"].max())
            table[["whittle", "myopic"]] *= 100
            print(f"\n{kind}, log of {weeks} weeks")
            print(table.to_string(float_format=lambda value: f"{value:.1f}"), flush=True)


if __name__ == "__main__":
    main()
