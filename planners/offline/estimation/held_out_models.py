"""The value of fixed policies in learned dynamics models: rollouts over whole episodes, every elite
of an ensemble as a world of its own.

The ensemble should come from data that the policies were not trained with. In the ensemble of their
training, policies that exploit its errors look best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.dynamics.termination import Termination
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.planners.base import Planner
from worldplan.planners.offline.estimation.estimate import Estimate, policy_actions
from worldplan.world_models.ensemble.model import GaussianEnsemble
from worldplan.world_models.training.seeds import torch_generator

_MOST_STARTS = 100  # episodes per model and policy


def value_in_models(
    ensemble: GaussianEnsemble,
    terminate: Termination,
    starts: np.ndarray,
    policies: Sequence[Planner],
    *,
    steps: int,
    discount: float = 1.0,
    seed: int = 0,
) -> list[Estimate]:
    """The mean return of each policy in each elite of an ensemble.

    Args:
        ensemble: trained; its elites are the models.
        terminate: rule that terminates episodes.
        starts: first observations of episodes, (n, observation); at most 100 of them are drawn.
        policies: each decides the same for the same observation.
        steps: of an episode that does not terminate, the task's time limit.
        discount: per step; 1 gives the return that `evaluate` plays.
        seed: of the draws of starts and of the models' noise, which all policies share.

    Returns:
        An estimate per policy, whose replicates are the models: the interval is the spread of what
        the models say, t * standard deviation.

    Raises:
        ConfigError: ensemble, starts and policies are of different sizes, or an argument is out of
            range.
    """
    checks.whole_number(steps, "steps", least=1)
    checks.whole_number(seed, "seed", least=0)
    starts = checks.array(starts, "starts", ("n", "observation"), error=ConfigError)
    if not 0 < discount <= 1:
        raise ConfigError(f"discount {discount}: must be in (0, 1]")
    if not len(starts):
        raise ConfigError("starts: give at least one first observation")
    if len(starts) > _MOST_STARTS:
        chosen = np.random.default_rng([seed, 1]).choice(len(starts), _MOST_STARTS, replace=False)
        starts = starts[np.sort(chosen)]
    first = torch.from_numpy(starts.astype(np.float32))
    estimates = []
    for policy in policies:
        generator = torch_generator(seed, 2)  # the same noise for every policy
        returns, lost = _returns(ensemble, terminate, first, policy, steps, discount, generator)
        notes = [] if len(returns) > 1 else ["a single elite: no interval"]
        if lost:
            notes.append(f"{lost} of {returns.size} rollouts left all numbers and were cut there")
        estimates.append(Estimate.of(returns.mean(1), "; ".join(notes)))
    return estimates


@torch.no_grad()
def _returns(
    ensemble: GaussianEnsemble,
    terminate: Termination,
    first: Tensor,
    policy: Planner,
    steps: int,
    discount: float,
    generator: torch.Generator,
) -> tuple[np.ndarray, int]:
    """Returns (elites, starts) float64 of rollouts from `first` (starts, observation), and how many
    of them were cut at a prediction that is not finite.
    """
    elites, count = len(ensemble.elites), len(first)
    observation = first.expand(elites, count, -1)
    alive = torch.ones(elites, count, dtype=torch.bool)
    total = torch.zeros(elites, count, dtype=torch.float64)
    lost = 0
    for step in range(steps):
        rows = observation.reshape(elites * count, -1)
        action = torch.from_numpy(policy_actions(policy, rows.numpy(), ensemble.action_size))
        inputs = ensemble.inputs(rows, action).view(elites, count, -1)
        predicted = ensemble.in_environment(observation, *ensemble.outputs(inputs, ensemble.elites))
        noise = torch.randn(predicted.mean.shape, generator=generator)
        drawn = predicted.mean + predicted.variance.sqrt() * noise
        following, reward = drawn[..., :-1], drawn[..., -1]
        finite = drawn.isfinite().all(-1)
        lost += int((alive & ~finite).sum())
        alive = alive & finite
        total += torch.where(alive, reward, 0.0).double() * discount**step
        flat = following.reshape(elites * count, -1)
        alive = alive & ~terminate(rows, action, flat).view(elites, count)
        if not bool(alive.any()):
            break
        # ended rollouts stay where they are
        observation = torch.where(alive.unsqueeze(-1), following, observation)
    return total.numpy(), lost
