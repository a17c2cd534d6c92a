"""H2O ("When to trust your simulator", Niu et al., 2022): simulated transitions count by how real
their dynamics look.

Two discriminators tell real rows from simulated ones, one from (s, a) and one from (s, a, s'). The
logits of the second are its own, A, plus those of the first, so the ratio of their odds is

    P_real(s'|s, a) / P_simulated(s'|s, a) = exp(A_real - A_simulated)(s, a, s') =: w

The squared errors of real rows count by their mean, and those of simulated rows by their mean
weighted by w in [1e-5, 1]. The gap of a simulated pair is the divergence

    u(s, a) = mean over 10 s'' of (A_simulated - A_real)(s, a, s''),   s'' = s' + noise,

cut to [0, 10], and with omega = u / sum of u over the simulated rows of the batch, the loss of each
critic has the term (value regularisation)

    weight * (log sum over simulated rows of omega exp Q(s, a) - mean over real rows of Q(s, a)),

the difference cut to +-1000. So Q is lowered where the simulator errs, and raised on the data.

As in the public code; differences: rollouts are short and begin in states of the data, instead of
the simulator's own episodes; the inputs of the discriminators are standardised; they learn from the
rows of the same batch, after the critics; the target holds the entropy, as for all other settings.

The noise on states is in units of the data's one-step changes, while the discriminators learn and
around s'. In the public code it is 0.1 on all numbers, and the standard deviation of its buffer,
which is half empty at first, around s'. Where steps are short, such noise hides the dynamics:
Pendulum with a gravity of 4 for 10, after 3000 steps with noise of 0.1 standard deviations of the
states, has a mean w of 0.86 at simulated next states and of 0.96 at true ones; with this noise 0.26
and 0.95. The rank correlation of u with the simulator's true error is then 0.2, and 0.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from worldplan.planners.offline.options.gap_settings import DynamicsGap
from worldplan.planners.offline.options.option import Option
from worldplan.planners.offline.replay import Batch
from worldplan.world_models.ensemble.batched_mlp import BatchedMLP

if TYPE_CHECKING:
    from worldplan.planners.offline.agent import ReachAware

RATIO = (1e-5, 1.0)  # least and greatest weight of a simulated row
GAP = (1e-30, 10.0)  # of u; the public code's 1e-45 is no normal number in float32
NEIGHBOURS = 10  # next states at which the gap is averaged
_DIFFERENCE = 1000.0  # greatest size of the difference in the term
_LOGITS = 2.0  # the discriminators' outputs are 2 tanh


class Discriminators(Option):
    """Both discriminators of `seeds` trainings, and what they add to the loss of the critics.

    Args:
        settings: of the option.
        observation: size of an observation.
        action: size of an action.
        seeds: trainings side by side.
        generator: of the initial weights.

    Attributes:
        generator: of the neighbours of next states; None: torch's own.
    """

    centre: Tensor
    scale: Tensor
    spread: Tensor

    def __init__(
        self,
        settings: DynamicsGap,
        observation: int,
        action: int,
        *,
        seeds: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        pair = observation + action
        self.of_pair = BatchedMLP(seeds, (pair, *settings.hidden, 2), generator=generator)
        self.of_step = BatchedMLP(
            seeds, (pair + observation, *settings.hidden, 2), generator=generator
        )
        self.register_buffer("centre", torch.zeros(pair + observation))
        self.register_buffer("scale", torch.ones(pair + observation))
        # of the noise, in standardised units; not in checkpoints, as `fit_inputs` finds it again
        self.register_buffer("spread", torch.ones(pair + observation), persistent=False)

    def fit_inputs(self, batch: Batch) -> None:
        """Standardise the inputs by the rows of a dataset, and take the unit of the noise.

        Args:
            batch: all rows, (n, ...).
        """
        rows = torch.cat([batch.observation, batch.action, batch.next_observation], -1).double()
        std, mean = torch.std_mean(rows, 0, correction=0)
        self.centre.copy_(mean)
        self.scale.copy_(torch.where(std > 1e-6 * mean.abs() + 1e-12, std, 1.0))
        change = (batch.next_observation.double() - batch.observation).std(0, correction=0)
        of_action = self.scale[len(change) : -len(change)]
        self.spread.copy_(torch.cat([change, of_action, change]) / self.scale)

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam for both."""
        return torch.optim.Adam(self.parameters(), self.settings.rate, fused=True)

    def _inputs(self, batch: Batch) -> Tensor:
        """Standardised (s, a, s'), (seeds, batch, 2 observation + action)."""
        rows = torch.cat([batch.observation, batch.action, batch.next_observation], -1)
        return (rows - self.centre) / self.scale

    def _pair_logits(self, inputs: Tensor) -> Tensor:
        width = self.of_pair.sizes[0]
        logits: Tensor = self.of_pair(inputs[..., :width])
        return _LOGITS * torch.tanh(logits)

    def _step_logits(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.of_step(inputs)
        return _LOGITS * torch.tanh(logits)

    @torch.no_grad()
    def log_ratio(self, inputs: Tensor) -> Tensor:
        """log P_real / P_simulated of standardised rows (seeds, batch, width), (seeds, batch)."""
        logits = self._step_logits(inputs)
        return logits[..., 0] - logits[..., 1]

    def weights(self, batch: Batch) -> Tensor:
        """Factors (seeds, batch) of the squared errors: their mean over the batch is that over the
        real rows plus the weighted one over the simulated rows.
        """
        simulated = (batch.step >= 0).to(batch.reward.dtype)
        ratio = self.log_ratio(self._inputs(batch)).exp().clamp(*RATIO)
        counts = simulated.sum(-1, keepdim=True)
        size = simulated.shape[-1]
        real_factor = size / (size - counts).clamp_min(1)
        return torch.where(simulated > 0, ratio * size / counts.clamp_min(1), real_factor)

    @torch.no_grad()
    def gap(self, batch: Batch) -> Tensor:
        """u, (seeds, batch)."""
        inputs = self._inputs(batch)
        size = batch.observation.shape[-1]
        noise = torch.randn(
            (NEIGHBOURS, *batch.observation.shape),
            generator=self.generator,
            device=inputs.device,
            dtype=inputs.dtype,
        )
        near = inputs[..., -size:] + self.settings.noise * self.spread[-size:] * noise
        pairs = inputs[..., :-size].expand(NEIGHBOURS, *inputs.shape[:-1], -1)
        rows = torch.cat([pairs, near], -1).movedim(0, 1).flatten(1, 2)
        ratio = self.log_ratio(rows).view(len(inputs), NEIGHBOURS, -1)
        return (-ratio).mean(1).clamp(*GAP)

    def critic_term(self, batch: Batch, values: Tensor) -> Tensor:
        """The value regularisation, summed over critics, (seeds,).

        Args:
            batch: transitions.
            values: (seeds, critics, batch).
        """
        simulated = (batch.step >= 0).unsqueeze(1)
        gap = self.gap(batch).unsqueeze(1)
        omega = gap / torch.where(simulated, gap, 0.0).sum(-1, keepdim=True)
        low = torch.logsumexp(torch.where(simulated, values + omega.log(), -torch.inf), -1)
        real = (~simulated).to(values.dtype)
        high = (values * real).sum(-1) / real.sum(-1).clamp_min(1)
        difference = (low - high).clamp(-_DIFFERENCE, _DIFFERENCE)
        return self.settings.weight * difference.sum(1)

    def learn(
        self,
        agent: ReachAware,
        batch: Batch,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Step the discriminators on the rows of the batch.

        Args:
            agent: is not used.
            batch: real and simulated transitions (seeds, batch, ...).
            optimizer: that of `optimizer()`.
            generator: of the noise on the inputs.

        Returns:
            "simulator_weight", the mean of w over simulated rows, and "discriminator_loss", each
            (seeds,).
        """
        simulated = (batch.step >= 0).to(batch.reward.dtype)
        inputs = self._inputs(batch)
        ratio = self.log_ratio(inputs).exp().clamp(*RATIO)
        noise = torch.randn(
            inputs.shape, generator=generator, device=inputs.device, dtype=inputs.dtype
        )
        noisy = inputs + self.settings.noise * self.spread * noise
        of_pair = self._pair_logits(noisy)
        of_step = self._step_logits(noisy) + of_pair
        kinds = simulated.long()
        losses = sum(
            functional.cross_entropy(logits.flatten(0, 1), kinds.flatten(), reduction="none")
            for logits in (of_pair, of_step)
        )
        per_row = torch.as_tensor(losses).view_as(simulated)
        counts = simulated.sum(-1, keepdim=True)
        size = simulated.shape[-1]
        share = torch.where(simulated > 0, 1 / counts, 1 / (size - counts))  # mean over each kind
        loss = (per_row * share).sum(-1)
        optimizer.zero_grad()
        torch.autograd.backward(loss.sum(), inputs=list(self.parameters()))
        optimizer.step()
        weight = (ratio * simulated).sum(-1) / counts[:, 0].clamp_min(1)
        return {"simulator_weight": weight, "discriminator_loss": loss.detach()}
