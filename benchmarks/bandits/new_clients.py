"""A network of shared weights on programmes of other clients, without training on them.

    python -m benchmarks.bandits.new_clients [--domains capacity,path] [--arms 20,40] [--seeds 1..3]

The network is trained on seed 0 of a domain with 20 arms. Returns in the same episodes, with
control variates, as a share of the bound; `sequoia` is trained anew on each programme.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from worldplan.commands.bandits.scenario import Scenario
from worldplan.envs.bandits.domains import DOMAINS, generate
from worldplan.envs.bandits.environment import BanditInstance, BanditVectorEnv
from worldplan.planners.bandits.bounds import make_bound
from worldplan.planners.bandits.control_values import control_values
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.bandits.sequoia.starts import steady_returns
from worldplan.planners.bandits.sequoia.training import module_for
from worldplan.world_models.training.trainer import fit

SOLVER = Scenario().solver
POLICIES = "shared,sequoia,whittle,fluid,myopic"


def main() -> None:
    """Train once for each domain, then print a row for each programme."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", default=",".join(DOMAINS[:4]))
    parser.add_argument("--arms", default="20,40")
    parser.add_argument("--seeds", default="1..3")
    parser.add_argument("--policies", default=POLICIES)
    parser.add_argument("--episodes", type=int, default=6)
    parser.add_argument("--steps", type=int, default=1000, help="of each phase of a training")
    parser.add_argument("--folder", default="runs/new_clients")
    options = parser.parse_args()
    steps = options.steps
    plain = SequoiaSettings(pretrain_steps=steps, updates=steps, check_every=steps)
    for domain in options.domains.split(","):
        folder = Path(options.folder) / domain
        module = module_for(generate(domain), replace(plain, network="shared"), 0, SOLVER)
        checkpoint = str(fit(module, folder / "shared"))
        rows = []
        for arms in map(int, options.arms.split(",")):
            for seed in Scenario(seeds=options.seeds).seed_list():
                instance = generate(domain, arms, arms // 4, seed=seed)
                own = folder / f"{arms}-{seed}"
                base = PolicyContext(instance, solver=SOLVER, seed=seed, sequoia=plain, folder=own)
                contexts = {
                    name: replace(base, checkpoint=checkpoint if name == "shared" else None)
                    for name in options.policies.split(",")
                    if name != "whittle" or instance.dynamics.effect is None
                }
                shares = _shares(instance, contexts, options.episodes, seed)
                rows.append({"domain": domain, "arms": arms, "seed": seed} | shares)
        print(pd.DataFrame(rows).round(2).to_string(index=False), flush=True)


def _shares(
    instance: BanditInstance, contexts: dict[str, PolicyContext], episodes: int, seed: int
) -> dict[str, float]:
    """Mean return of each policy as a share of the bound, in percent."""
    starts = BanditVectorEnv(instance, episodes).reset(seed=seed)[0]["state"]
    bound = make_bound(instance, SOLVER)
    most = float(np.mean([bound.from_state(state) for state in starts]))
    values = control_values(instance, SOLVER)
    shares = {}
    for name, context in contexts.items():
        planner = make_policy("sequoia" if name == "shared" else name, context)
        returns = steady_returns(planner, instance, values, episodes, seed)
        shares[name] = 100 * float(returns.mean()) / most
    return shares


if __name__ == "__main__":
    main()
