"""A bound on costs: critics of the costs, and a Lagrange multiplier that dual ascent adapts.

The policy maximises its value subject to an expected discounted cost of at most d,

    max_pi J(pi)   subject to   J_c(pi) = E[sum_t gamma^t c_t] <= d,      s_0 from the data,

through the Lagrangian (Altman, 1999). Critics Q_c,j learn the costs to come, pessimistically from
above, as the critics of the reward do from below:

    y_c = c + gamma (1 - terminated) max_j Q_c,j(s', a'),                 a' ~ pi(.|s')
    L(pi) = E[alpha log pi(a|s) - Q(s, a) + lambda max_j Q_c,j(s, a)],    a ~ pi(.|s)
    I <- max(0, I + K_I e),   e = E[max_j Q_c,j(s_0, a_0)] - d,           a_0 ~ pi(.|s_0)
    lambda = max(0, I + K_P e)

With K_P = 0 this is dual ascent, whose multiplier follows the cost with a delay and swings about
its solution; the proportional term answers at once and damps the swings ("Responsive Safety in
Reinforcement Learning by PID Lagrangian Methods", Stooke et al., 2020; K_I and K_P are
`multiplier_rate` and `multiplier_gain`).

"Offline Guarded Safe Reinforcement Learning" (OGSRL, Yan et al., 2025) states this constrained
problem on a learned model and solves it by constrained policy optimisation (CPO) on value
functions, or by conservative critics, in its public code; the multiplier is ours, so that the
constraint is an option of the same actor and critics. Its cost there is a rule about the state.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.critics import Critics
from worldplan.planners.offline.options.option import Option, step
from worldplan.planners.offline.replay import Batch
from worldplan.planners.offline.settings import ReachAwareSettings

if TYPE_CHECKING:
    from worldplan.planners.offline.agent import ReachAware


class CostCritics(Option):
    """Critics of the costs of `seeds` trainings, and their multipliers.

    Args:
        settings: of the method, with a budget.
        first: first observations of the dataset's episodes, (episodes, observation).
        action: size of an action.
        seeds: trainings side by side.
        generator: of the initial weights.

    Attributes:
        multiplier: lambda, (seeds,).
        integral: I, (seeds,).
    """

    first: Tensor
    multiplier: Tensor
    integral: Tensor

    def __init__(
        self,
        settings: ReachAwareSettings,
        first: Tensor,
        action: int,
        *,
        seeds: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        constraint = settings.costs
        assert constraint is not None
        self.settings, self.constraint = settings, constraint
        self.critics = Critics(
            first.shape[-1],
            action,
            constraint.critics,
            settings.hidden,
            layer_norm=settings.layer_norm,
            normalise_observations=settings.normalise_observations,
            seeds=seeds,
            generator=generator,
        )
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("multiplier", torch.full((seeds,), float(constraint.multiplier)))
        self.register_buffer("integral", self.multiplier.clone())
        self.register_load_state_dict_pre_hook(_with_integral)  # type: ignore[no-untyped-call]

    def fit_observations(self, observations: Tensor) -> None:
        """Scale the observations that the critics see, if the settings say so.

        Args:
            observations: those of the dataset, (n, observation).
        """
        for critics in (self.critics, self.target_critics):
            if critics.scaler is not None:
                critics.scaler.fit(observations)

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam for the critics of the costs."""
        return torch.optim.Adam(self.critics.parameters(), self.settings.critic_rate, fused=True)

    def value_penalty(self, batch: Batch, action: Tensor) -> Tensor:
        """lambda times the pessimistic cost to come, (seeds, batch).

        Args:
            batch: states.
            action: (seeds, batch, action), of the policy.
        """
        cost = self.pessimistic(self.critics(batch.observation, action))
        return self.multiplier.unsqueeze(-1) * cost

    def pessimistic(self, costs: Tensor) -> Tensor:
        """Pessimistic cost (seeds, batch) out of those of all critics (seeds, critics, batch)."""
        bound = self.constraint.upper_bound
        return (
            costs.amax(1) if bound is None else costs.mean(1) + bound * costs.std(1, correction=0)
        )

    def learn(
        self,
        agent: ReachAware,
        batch: Batch,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Step critics, target critics and multipliers.

        Args:
            agent: its policy acts in the next states and in the first ones.
            batch: transitions (seeds, batch, ...) with costs.
            optimizer: that of `optimizer()`.
            generator: of the policy's noise and of the first observations.

        Returns:
            "cost_q", the mean cost to come of the batch; "expected_cost", the pessimistic estimate
            of J_c; "multiplier", lambda: each (seeds,).
        """
        target = self.target(agent, batch, generator)
        values = self.critics(batch.observation, batch.action)
        errors = (values - target.unsqueeze(1)).square()
        for option in agent.options():  # an imperfect simulator's costs are as wrong as its rewards
            if (weights := option.weights(batch)) is not None:
                errors = errors * weights.unsqueeze(1)
        step(optimizer, self.critics, errors.mean(-1).sum())
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.target_critics.parameters()),
                list(self.critics.parameters()),
                self.settings.target_rate,
            )
            expected = self.expected_cost(agent, batch.reward.shape[-1], generator)
            excess = expected - self.constraint.budget
            self.integral.add_(self.constraint.multiplier_rate * excess).clamp_min_(0)
            damped = self.integral + self.constraint.multiplier_gain * excess
            self.multiplier.copy_(damped.clamp_min(0))
        return {
            "cost_q": values.detach().mean((1, 2)),
            "expected_cost": expected,
            "multiplier": self.multiplier.clone(),
        }

    @torch.no_grad()
    def target(
        self, agent: ReachAware, batch: Batch, generator: torch.Generator | None = None
    ) -> Tensor:
        """Targets y_c (seeds, batch); a cost to come is at least 0.

        Args:
            agent: its policy acts in the next states.
            batch: transitions with costs.
            generator: of the policy's noise.

        Raises:
            ConfigError: the batch has no costs.
        """
        if batch.cost is None:
            raise ConfigError("the batch has no costs: give Batch.cost")
        action = agent.actor.sample(batch.next_observation, generator)[0]
        following = self.pessimistic(self.target_critics(batch.next_observation, action))
        return batch.cost + self.settings.discount * (1 - batch.terminated) * following.clamp_min(0)

    @torch.no_grad()
    def expected_cost(
        self, agent: ReachAware, count: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Pessimistic estimate (seeds,) of J_c, the mean over `count` random first observations.

        Args:
            agent: its policy acts.
            count: observations of each seed.
            generator: of the policy's noise and of the observations.
        """
        seeds = len(self.multiplier)
        chosen = torch.randint(
            len(self.first), (seeds, count), generator=generator, device=self.first.device
        )
        observation = self.first[chosen]
        action = agent.actor.sample(observation, generator)[0]
        return self.pessimistic(self.critics(observation, action)).mean(-1)


def _with_integral(_: CostCritics, state: dict[str, Any], prefix: str, *rest: object) -> None:
    """Checkpoints from before there was a gain hold the integral as the multiplier."""
    if f"{prefix}multiplier" in state:
        state.setdefault(f"{prefix}integral", state[f"{prefix}multiplier"].clone())
