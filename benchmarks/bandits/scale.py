"""Time and peak memory with many arms, on HiGHS: 10,000 with a plain budget, 100 in each domain.

    OMP_NUM_THREADS=1 python -m benchmarks.bandits.scale [--arms 10000] [--episodes 2]
        [--skip-domains]

Prints one line for each measurement.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings

import numpy as np

from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import BanditInstance, BanditVectorEnv
from worldplan.planners.bandits.fluid import FluidBound, FluidPlanner
from worldplan.planners.bandits.lagrangian import LagrangianBound, LagrangianPlanner
from worldplan.planners.bandits.units import default_returns
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.planners.base import Planner, evaluate


def peak() -> str:
    """Peak resident memory so far, in MB (Linux counts in KiB)."""
    return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"


def many_arms(arms: int) -> None:
    """Whittle and Lagrangian on one plain budget instance, one episode each."""
    instance = generate("budget", arms, arms // 5, seed=0)
    env = BanditVectorEnv(instance)
    start = env.reset(seed=0)[0]["state"][0]
    print(
        f"budget, {arms} arms, {instance.actions.most} pulls, {instance.dynamics.states} states, "
        f"{instance.horizon} steps; {peak()}"
    )
    started = time.perf_counter()
    bound = LagrangianBound(instance).from_state(start)
    print(
        f"  Lagrangian bound {bound / instance.horizon:.2f} per step, gap 1e-6: "
        f"{time.perf_counter() - started:.2f} s; {peak()}"
    )
    started = time.perf_counter()
    whittle = WhittlePolicy(instance)
    print(f"  Whittle indices: {time.perf_counter() - started:.2f} s; {peak()}")
    policies: dict[str, Planner] = {"whittle": whittle, "lagrangian": LagrangianPlanner(instance)}
    for name, planner in policies.items():
        report(name, planner, instance, 1, bound)


def zero_of(instance: BanditInstance, episodes: int) -> float:
    """Mean return of the default action at every step, from the start states of the episodes."""
    env = BanditVectorEnv(instance)
    starts = [env.reset(seed=episode)[0]["state"][0] for episode in range(episodes)]
    return float(default_returns(instance, np.stack(starts)).mean())


def report(
    name: str, planner: Planner, instance: BanditInstance, episodes: int, bound: float
) -> None:
    result = evaluate(planner, BanditVectorEnv(instance), episodes, seed=0)
    zero = zero_of(instance, episodes)
    share = (result.episodes["return"].mean() - zero) / (bound - zero)
    print(
        f"  {name}: {result.episodes['decision_seconds'].mean():.4f} CPU s per decision, "
        f"{100 * share:.2f} % of the bound (from no pulls); {peak()}",
        flush=True,
    )


def domains(episodes: int) -> None:
    """The four coupled domains at J = 100, B = 20; the bound is a mean over start states."""
    for domain in ("capacity", "schedule", "path", "interventions"):
        instance = generate(domain, 100, 20, seed=0)
        env = BanditVectorEnv(instance)
        started = time.perf_counter()
        fluid = FluidBound(instance)
        starts = [env.reset(seed=episode)[0]["state"][0] for episode in range(episodes)]
        bound = float(np.mean([fluid.from_state(state) for state in starts]))
        print(
            f"{domain}, 100 arms, budget 20: bound {bound / instance.horizon:.2f} per step, "
            f"{(time.perf_counter() - started) / episodes:.1f} s each"
        )
        report("fluid", FluidPlanner(instance), instance, episodes, bound)
        if instance.dynamics.effect is None:
            report("whittle", WhittlePolicy(instance), instance, episodes, bound)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arms", type=int, default=10_000)
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--skip-domains", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    many_arms(options.arms)
    if not options.skip_domains:
        domains(options.episodes)


if __name__ == "__main__":
    main()
