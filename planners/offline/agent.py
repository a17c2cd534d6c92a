"""Actor, critics and update of reach-aware value learning (RAVL, Sims et al., 2024) on short model
rollouts, and of the methods it is compared with.

Base is soft actor-critic on real and model transitions (MBPO-style):

    y = r + gamma (1 - d) [min_j Q_j(s', a') - alpha log pi(a'|s')],    a' ~ pi(.|s')

A state that rollouts reach only with their last step appears in targets, but its own value is never
trained ("edge of reach"), however exact the dynamics. RAVL as published therefore uses many critics
and EDAC's diversity term, and no penalty on the dynamics; the default settings are two critics with
layer normalisation, in units of the data. MOPO, MOReL and MOBILE are settings of the same update,
and so are variants that treat the last step of a rollout differently.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.actor import SquashedActor
from worldplan.planners.offline.critics import Critics, diversity_loss
from worldplan.planners.offline.options.option import Option
from worldplan.planners.offline.replay import Batch
from worldplan.planners.offline.scalers import reward_scale
from worldplan.planners.offline.settings import ReachAwareSettings as ReachAwareSettings
from worldplan.world_models.ensemble.batched_mlp import compiled

# (batch, next actions (seeds, batch, action), values (seeds, 1 or critics, batch)) -> values
NextValue = Callable[[Batch, Tensor, Tensor], Tensor]


class ReachAware(nn.Module):
    """Actor, critics, target critics and temperature of `seeds` independent trainings, updated
    together.

    Args:
        observation: size of an observation.
        low: (action,) least actions.
        high: (action,) greatest actions.
        settings: of the method.
        seeds: trainings side by side.
        generator: of the initial weights.
        options: additions to the update, such as a budget of costs.

    Attributes:
        next_value: where given, `next_value(batch, next_action, values)` replaces the values
            (seeds, 1 or critics, batch) of the next states (see
            `worldplan.planners.offline.oracle_patch`).
        reward_scale: the unit of reward of each seed, (seeds,), initially 1; None where the
            settings need none.
        penalty: where given, `penalty(batch)` (seeds, batch) is subtracted from the targets
            (MOBILE).
    """

    reward_scale: Tensor | None

    def __init__(
        self,
        observation: int,
        low: Tensor,
        high: Tensor,
        settings: ReachAwareSettings,
        *,
        seeds: int = 1,
        generator: torch.Generator | None = None,
        options: Sequence[Option] = (),
    ) -> None:
        super().__init__()
        checks.whole_number(observation, "observation", least=1)
        checks.of_type(settings, "settings", ReachAwareSettings)
        self.settings, self.seeds = settings, checks.whole_number(seeds, "seeds", least=1)
        if not (isinstance(low, Tensor) and isinstance(high, Tensor) and low.shape == high.shape):
            raise ConfigError(
                f"low is {checks.shown(low)} and high {checks.shown(high)}: give two tensors of "
                "the action's shape"
            )
        self.actor = SquashedActor(
            observation,
            low,
            high,
            settings.hidden,
            normalise_observations=settings.normalise_observations,
            seeds=seeds,
            generator=generator,
        )
        self.critics = Critics(
            observation,
            len(low),
            settings.critics,
            settings.hidden,
            layer_norm=settings.layer_norm,
            normalise_observations=settings.normalise_observations,
            scale_values=settings.normalise_rewards,
            seeds=seeds,
            generator=generator,
        )
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.full((seeds,), settings.temperature).log())
        needs_unit = settings.normalise_rewards or settings.relative_diversity
        self.register_buffer("reward_scale", torch.ones(seeds) if needs_unit else None)
        self.target_entropy = (
            -float(len(low)) if settings.target_entropy is None else settings.target_entropy
        )
        self._values = compiled(self.critics.forward) if settings.compile else self.critics.forward
        self._gradients = (
            compiled(self.critics.with_action_gradients)
            if settings.compile
            else self.critics.with_action_gradients
        )
        self.next_value: NextValue | None = None
        self.penalty: Callable[[Batch], Tensor] | None = None
        self._options = nn.ModuleList(options)

    def options(self) -> Iterator[Option]:
        """The additions to the update."""
        for option in self._options:
            assert isinstance(option, Option)
            yield option

    def draw_from(self, generator: torch.Generator) -> None:
        """Let the terms of the options draw from this generator."""
        for option in self.options():
            option.generator = generator

    def fit_observations(self, observations: Tensor) -> None:
        """Scale the observations that actor and critics see, if the settings say so.

        Args:
            observations: those of the dataset, (n, observation).
        """
        for network in (self.actor, self.critics, self.target_critics):
            if network.scaler is not None:
                network.scaler.fit(observations)

    def fit_rewards(self, rewards: Tensor) -> None:
        """Take the unit of reward of each seed, if the settings need one.

        Args:
            rewards: of the dataset, (n,), or of each seed's rollouts, (seeds, n).
        """
        if self.reward_scale is None:
            return
        self.reward_scale.copy_(reward_scale(rewards))
        for critics in (self.critics, self.target_critics):
            if critics.value_scale is not None:
                critics.value_scale.copy_(self.reward_scale)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for actor, critics and temperature, in this order, and those of the options. Adam
        works elementwise, so the seeds stay independent.
        """
        settings = self.settings
        learned: list[tuple[list[nn.Parameter], float]] = [
            (list(self.actor.parameters()), settings.actor_rate),
            (list(self.critics.parameters()), settings.critic_rate),
            ([self.log_temperature], settings.temperature_rate),
        ]
        own = [torch.optim.Adam(parameters, rate, fused=True) for parameters, rate in learned]
        return [*own, *(option.optimizer() for option in self.options())]

    def update(
        self,
        batch: Batch,
        optimizers: list[torch.optim.Optimizer],
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """One update of temperature, actor, critics and target critics, and of the options.

        Args:
            batch: transitions (seeds, batch, ...) to learn from.
            optimizers: those of `optimizers()`.
            generator: of the policy's noise.

        Returns:
            Statistics of the update by name, each (seeds,), still on the device: values in the
            environment's units, losses in those of learning.
        """
        actor_adam, critic_adam, temperature_adam, *of_options = optimizers
        temperature = self.log_temperature.detach().exp()
        actor_loss, log_density = self.actor_loss(batch, temperature, generator)
        # gradient of the loss -log alpha * (log pi + target entropy)
        self.log_temperature.grad = -(log_density.detach() + self.target_entropy).mean(-1)
        temperature_adam.step()
        _step(actor_adam, list(self.actor.parameters()), actor_loss.sum())
        temperature = self.log_temperature.detach().exp()
        target = self.target(batch, temperature, generator)
        critic_loss, values = self.critic_loss(batch, target)
        _step(critic_adam, list(self.critics.parameters()), critic_loss.sum())
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.target_critics.parameters()),
                list(self.critics.parameters()),
                self.settings.target_rate,
            )
        entropy = -log_density.detach().mean(-1)
        unit = self.reward_scale if self.settings.normalise_rewards else None
        statistics = {
            "critic_loss": critic_loss.detach(),
            "actor_loss": actor_loss.detach(),
            "q": values.detach().mean((1, 2)),
            "q_std": values.detach().std(1, correction=0).mean(-1),
            "temperature": temperature,
            "entropy": entropy,
            "entropy_bonus": temperature * entropy
            if unit is None
            else temperature * entropy * unit,
        }
        for option, adam in zip(self.options(), of_options, strict=True):
            statistics |= option.learn(self, batch, adam, generator)
        return statistics

    def actor_loss(
        self, batch: Batch, temperature: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Loss of the actor, (seeds,): the mean over the batch of alpha log pi(a|s) - Q(s, a) with
        the pessimistic Q, less the penalties of the options. And log pi(a|s), (seeds, batch).

        Args:
            batch: states.
            temperature: alpha, (seeds,).
            generator: of the policy's noise.
        """
        action, log_density = self.actor.sample(batch.observation, generator)
        value = self.pessimistic(self._values(batch.observation, action))
        for option in self.options():
            if (penalty := option.value_penalty(batch, action)) is not None:
                value = value - penalty
        if self.settings.normalise_rewards:
            value = value / self._unit()
        return (temperature.unsqueeze(-1) * log_density - value).mean(-1), log_density

    @torch.no_grad()
    def target(
        self, batch: Batch, temperature: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Targets y of the critics: (seeds, 1, batch), or (seeds, critics, batch) with independent
        targets.

        Args:
            batch: transitions.
            temperature: alpha, (seeds,).
            generator: of the policy's noise.
        """
        settings = self.settings
        action, log_density = self.actor.sample(batch.next_observation, generator)
        value = self._next_values(self.target_critics(batch.next_observation, action), batch)
        if self.next_value is not None:
            value = self.next_value(batch, action, value)
        bonus = temperature.unsqueeze(-1) * log_density
        if settings.normalise_rewards:
            bonus = bonus * self._unit()
        value = value - bonus.unsqueeze(1)
        if settings.last_step == "reward_only":
            value = torch.where(self._is_last(batch), 0.0, value)
        target = (
            batch.reward.unsqueeze(1)
            + settings.discount * (1 - batch.terminated).unsqueeze(1) * value
        )
        if self.penalty is not None:
            target = target - self.penalty(batch).unsqueeze(1)
        return target if settings.target_cap is None else target.clamp_max(settings.target_cap)

    def _next_values(self, values: Tensor, batch: Batch) -> Tensor:
        """The next values (seeds, 1 or critics, batch) that targets use, out of those of all target
        critics (seeds, critics, batch), with the rule for last steps.
        """
        settings = self.settings
        value = (
            values if settings.targets == "independent" else self.pessimistic(values).unsqueeze(1)
        )
        if settings.last_step == "pessimistic":
            ceiling = _below_mean(values, settings.last_step_pessimism).unsqueeze(1)
        elif settings.last_step == "hold":
            ceiling = batch.reward.unsqueeze(1) / (1 - settings.discount)
        else:
            return value
        return torch.where(self._is_last(batch), torch.minimum(value, ceiling), value)

    def _is_last(self, batch: Batch) -> Tensor:
        return (batch.step == self.settings.horizon - 1).unsqueeze(1)

    def pessimistic(self, values: Tensor) -> Tensor:
        """Pessimistic value (seeds, batch) out of the values of all critics (seeds, critics,
        batch).
        """
        return (
            values.amin(1)
            if self.settings.lower_bound is None
            else _below_mean(values, self.settings.lower_bound)
        )

    def critic_loss(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of the critics, squared errors summed over critics plus the diversity term and those
        of the options, (seeds,); and their values, (seeds, critics, batch).

        Args:
            batch: states and actions.
            target: y, (seeds, 1 or critics, batch).
        """
        settings = self.settings
        if settings.diversity > 0:
            values, gradients = self._gradients(batch.observation, batch.action)
            if settings.normalise_rewards:  # else what keeps a zero gradient finite has a unit
                gradients = gradients / self._unit()[..., None, None]
            diversity = settings.diversity * diversity_loss(gradients)
        else:
            values = self._values(batch.observation, batch.action)
            diversity = torch.zeros_like(self.log_temperature)
        error, terms = values - target, diversity
        if settings.normalise_rewards:  # diversity is relative then
            error = error / self._unit().unsqueeze(1)
        elif settings.relative_diversity:
            terms = terms * self._unit()[:, 0].square()
        learned = values / self._unit().unsqueeze(1) if settings.normalise_rewards else values
        errors = error.square()
        for option in self.options():
            if (weights := option.weights(batch)) is not None:
                errors = errors * weights.unsqueeze(1)
            if (term := option.critic_term(batch, learned)) is not None:
                terms = terms + term
        return errors.mean(-1).sum(1) + terms, values

    def _unit(self) -> Tensor:
        """The unit of reward, (seeds, 1)."""
        assert self.reward_scale is not None
        return self.reward_scale.unsqueeze(-1)


def _below_mean(values: Tensor, weight: float) -> Tensor:
    """mean - weight * std over the critics, (seeds, critics, batch) -> (seeds, batch)."""
    return values.mean(1) - weight * values.std(1, correction=0)


def _step(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], loss: Tensor) -> None:
    """Minimise `loss` by one step; no other parameters get a gradient, so the actor's loss leaves
    none in the critics.
    """
    optimizer.zero_grad()
    # backward gives each `grad` the strides of its parameter. Those of autograd.grad may be
    # transposed, and a fused optimiser reads both in memory order.
    torch.autograd.backward(loss, inputs=parameters)
    optimizer.step()
