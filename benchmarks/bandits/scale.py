"""Time and peak memory with many arms, on HiGHS: 10,000 with a plain budget, 100 in each domain.

    OMP_NUM_THREADS=1 python -m benchmarks.bandits.scale [--arms 10000] [--episodes 2]
        [--skip-domains]
    OMP_NUM_THREADS=1 python -m benchmarks.bandits.scale --only fixed
    OMP_NUM_THREADS=1 python -m benchmarks.bandits.scale --only capacity [--arms 10000]

Prints one line for each measurement.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import time
import warnings

import numpy as np

from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import BanditInstance, BanditVectorEnv
from worldplan.milp.sets.fixed import fixed
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.fluid import FluidBound, FluidPlanner
from worldplan.planners.bandits.lagrangian import LagrangianBound, LagrangianPlanner
from worldplan.planners.bandits.policies import PolicyContext, make_policy
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


def decided(name: str, instance: BanditInstance, limit: float) -> None:
    """Decisions of two states, within `limit` seconds each."""
    generator, model = np.random.default_rng(0), instance.dynamics
    started = time.perf_counter()
    context = PolicyContext(instance, solver=SolverSettings(gap=1e-3, time_limit=limit))
    planner = make_policy(name, context)
    made = time.perf_counter() - started
    seconds = []
    for _ in range(2):
        state = generator.integers(0, model.states, model.arms)
        observation = {"state": state, "steps_left": instance.horizon}
        started = time.perf_counter()
        decision = planner.plan(observation)
        seconds.append(time.perf_counter() - started)
    bound = "no bound" if decision.gap is None else f"gap {100 * decision.gap:.3g} %"
    print(
        f"  {name}, limit {limit:g} s: made in {made:.2f} s, decisions {seconds[0]:.2f} and "
        f"{seconds[1]:.2f} s, {decision.status}, {bound}, feasible "
        f"{instance.actions.contains(decision.action)}; {peak()}",
        flush=True,
    )


def fixed_budget(arms: int, limit: float) -> None:
    """A plain budget with 2 % of the arms absent and 10 forced in."""
    instance = generate("budget", arms, arms // 5, seed=0)
    never = np.zeros(arms, bool)
    absent, forced = np.arange(arms) < arms // 50, np.arange(arms) >= arms - 10
    actions = fixed(instance.actions, never, absent, forced)
    print(f"budget, {arms} arms, {arms // 50} absent and 10 forced in; {peak()}")
    for name in ("fluid", "whittle", "myopic"):
        decided(name, dataclasses.replace(instance, actions=actions), limit)


def capacities(arms: int, limit: float) -> None:
    """Workers with capacities."""
    instance = generate("capacity", arms, arms // 5, seed=0)
    print(f"capacity, {arms} arms, budget {arms // 5}; {peak()}")
    for name in ("whittle", "myopic", "fluid"):
        decided(name, instance, limit)


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
    parser.add_argument("--arms", type=int, help="10,000, or 1,200 with capacities")
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--skip-domains", action="store_true")
    parser.add_argument("--only", choices=("fixed", "capacity"))
    parser.add_argument("--limit", type=float, default=30.0, help="seconds of a decision")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.only == "fixed":
        fixed_budget(options.arms or 10_000, options.limit)
    elif options.only == "capacity":
        capacities(options.arms or 1200, options.limit)
    else:
        many_arms(options.arms or 10_000)
        if not options.skip_domains:
            domains(options.episodes)


if __name__ == "__main__":
    main()
