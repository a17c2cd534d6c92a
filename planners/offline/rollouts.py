"""Short rollouts of a policy in a dynamics model, with optional penalties on uncertain dynamics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel, Prediction, step_unfinished
from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields
from worldplan.nearest import did_you_mean
from worldplan.planners.offline.actor import SquashedActor
from worldplan.planners.offline.replay import Batch, pack
from worldplan.world_models.ensemble.uncertainty import (
    PENALTIES,
    max_pairwise_difference,
    penalty,
)

_LOOKS = 10  # steps between two looks, for which the host waits, whether all rollouts have ended
_MEASURED, _CHUNK = 200_000, 10_000  # rows of a dataset that are measured, at most, and at once


@dataclass(frozen=True)
class Pessimism:
    """How rollouts are penalised where the dynamics model is uncertain; by default not at all.

    Args:
        penalty: a name in `worldplan.world_models.ensemble.uncertainty.PENALTIES`, subtracted from
            the reward (MOPO, Yu et al., 2020), or "none".
        weight: factor of the penalty.
        halt_above: a step whose `max_pairwise_difference` exceeds this terminates its rollout
            (MOReL, Kidambi et al., 2020); None terminates none.
        halt_reward: the reward of a step terminated so.
        cut_quantile: a step whose `cut_measure` exceeds this quantile of those of the dataset is
            the last of its rollout (NEUBAY, Ni et al., 2025). Unlike with `halt_above`, the rollout
            is truncated: the value of the next state counts, and `last_step` of the method
            applies. With it the horizon can be long. None cuts none, 1 where the measure exceeds
            its maximum over the dataset.
        cut_measure: a name in `PENALTIES`.

    Raises:
        ConfigError: there is no such penalty, or a number is out of its range.
    """

    penalty: str = "none"
    weight: float = 1.0
    halt_above: float | None = None
    halt_reward: float = 0.0
    cut_quantile: float | None = None
    cut_measure: str = "max_pairwise_difference"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.penalty != "none" and self.penalty not in PENALTIES:
            near = did_you_mean(str(self.penalty), PENALTIES)
            raise ConfigError(
                f"penalty '{self.penalty}'{near}: choose none, {', '.join(PENALTIES)}"
            )
        if self.cut_measure not in PENALTIES:
            near = did_you_mean(str(self.cut_measure), PENALTIES)
            raise ConfigError(
                f"cut_measure '{self.cut_measure}'{near}: choose {', '.join(PENALTIES)}"
            )
        if self.cut_quantile is not None and not 0 < self.cut_quantile <= 1:
            raise ConfigError(
                f"cut_quantile {self.cut_quantile}: give a share above 0 and at most 1"
            )
        if self.weight < 0:
            raise ConfigError(f"penalty weight {self.weight}: must not be negative")

    @property
    def needs_members(self) -> bool:
        """Whether the predictions of all members of the ensemble are used."""
        return (
            self.penalty != "none" or self.halt_above is not None or self.cut_quantile is not None
        )

    def apply(self, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Reward (batch,) and termination (batch,) after penalties. Exact dynamics have no members:
        every penalty is zero.
        """
        reward, terminated = prediction.reward, prediction.terminated
        if not self.needs_members or prediction.members is None:
            return reward, terminated
        if self.penalty != "none":
            reward = reward - self.weight * _measured(self.penalty, prediction)
        if self.halt_above is not None:
            difference = max_pairwise_difference(prediction.members)
            unknown = difference > self.halt_above
            reward = torch.where(unknown, self.halt_reward, reward)
            terminated = terminated | unknown
        return reward, terminated

    def cuts(self, prediction: Prediction, threshold: Tensor | None) -> Tensor:
        """Which rollouts are cut after this step, (batch,) bool; none by exact dynamics.

        Args:
            prediction: of the step.
            threshold: of `cut_threshold`.
        """
        if threshold is None or prediction.members is None:
            return torch.zeros_like(prediction.terminated)
        return ~(_measured(self.cut_measure, prediction) <= threshold)  # NaN is uncertain


def _measured(name: str, prediction: Prediction) -> Tensor:
    """A measure of uncertainty of a prediction with members, (batch,)."""
    assert prediction.members is not None
    sample = torch.cat([prediction.next_observation, prediction.reward.unsqueeze(-1)], -1)
    return penalty(name)(prediction.members, sample)


@torch.no_grad()
def cut_threshold(
    pessimism: Pessimism,
    dynamics: DynamicsModel,
    observation: Tensor,
    action: Tensor,
    state: Tensor | None,
    generator: torch.Generator,
) -> Tensor | None:
    """The `cut_quantile` of the `cut_measure` over the rows of a dataset, a scalar; None where
    rollouts are not cut. Of a large dataset, rows at equal distances are measured.

    Args:
        pessimism: which quantile of which measure.
        dynamics: the model.
        observation: (n, observation).
        action: (n, action).
        state: simulator states, (n, state_size), or None for a model without.
        generator: of the model's draws.

    Raises:
        ConfigError: no measure is finite.
    """
    if pessimism.cut_quantile is None:
        return None
    stride = -(-len(observation) // _MEASURED)
    rows = torch.arange(0, len(observation), stride, device=observation.device)
    parts = []
    for chunk in torch.split(rows, _CHUNK):
        prediction = dynamics.step(
            observation[chunk],
            action[chunk],
            state=None if state is None else state[chunk],
            generator=generator,
            members=True,
        )
        if prediction.members is None:
            return None
        parts.append(_measured(pessimism.cut_measure, prediction))
    measures = torch.cat(parts)
    measures = measures[measures.isfinite()]
    if len(measures) == 0:
        raise ConfigError(
            f"cut_measure {pessimism.cut_measure} is finite in no row of the dataset: train the "
            "ensemble longer, or choose another measure"
        )
    return measures.quantile(pessimism.cut_quantile)


@torch.no_grad()
def roll_out(
    dynamics: DynamicsModel,
    actor: SquashedActor,
    observation: Tensor,
    state: Tensor | None,
    horizon: int,
    pessimism: Pessimism,
    generator: torch.Generator | None = None,
    *,
    threshold: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Roll the stochastic policy out in the dynamics model. A rollout ends at a termination, after
    a step that is too uncertain, and before a step whose prediction is not finite.

    Args:
        dynamics: the model.
        actor: the policy.
        observation: first observations, (seeds, starts, observation).
        state: simulator states, (seeds, starts, state_size), or None for a model without.
        horizon: steps.
        pessimism: penalties on uncertain dynamics.
        generator: of the policy's noise and of the model's draws.
        threshold: of `cut_threshold`; None cuts no rollout.

    Returns:
        Packed rows (seeds, horizon * starts, width) with their step index, which is horizon - 1
        where a rollout is cut, or ends since its next prediction is not finite: the value of the
        state that it ends in is never learned. And which of them belong to a rollout, (seeds,
        horizon * starts) bool.
    """
    seeds, starts = observation.shape[:2]
    alive = torch.ones((seeds, starts), dtype=torch.bool, device=observation.device)
    rows, keep, indices = [], [], list[Tensor]()
    for step in range(horizon):
        action = actor.sample(observation, generator)[0]
        prediction = step_unfinished(
            dynamics,
            observation.flatten(0, 1),
            action.flatten(0, 1),
            state=None if state is None else state.flatten(0, 1),
            alive=alive.flatten(),
            generator=generator,
            members=pessimism.needs_members,
        )
        reward, terminated = (value.view(seeds, starts) for value in pessimism.apply(prediction))
        following = prediction.next_observation.view(seeds, starts, -1)
        finite = following.isfinite().all(-1) & reward.isfinite()
        cut = pessimism.cuts(prediction, threshold).view(seeds, starts)
        if indices:
            indices[-1].masked_fill_(alive & ~finite, horizon - 1)
        indices.append(torch.full_like(reward, step).masked_fill(cut, horizon - 1))
        alive = alive & finite
        ended = terminated.to(reward.dtype)
        rows.append((observation, action, reward, following, ended))
        keep.append(alive)
        alive = alive & ~terminated & ~cut
        if step % _LOOKS == _LOOKS - 1 and not bool(alive.any()):
            break
        # ended rows stay where they are; their later steps are not kept
        observation = torch.where(alive.unsqueeze(-1), following, observation)
        if prediction.state is not None and state is not None:
            state = torch.where(
                alive.unsqueeze(-1), prediction.state.view(seeds, starts, -1), state
            )
    packed = [pack(Batch(*row, index)) for row, index in zip(rows, indices, strict=True)]
    return torch.cat(packed, 1), torch.cat(keep, 1)
