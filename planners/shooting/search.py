"""Sampling-based search over action sequences: MPPI, CEM and iCEM, for many environments at once.

One loop serves all three methods. Each iteration draws sequences around a mean, scores them, and
refits mean and standard deviation to the best ones, the elites. CEM (Rubinstein & Kroese, 2004;
Chua et al., 2018) weights all elites equally. MPPI (Williams et al., 2015) weights them by the
softmax of their scores, as in TD-MPC (Hansen et al., 2022). iCEM (Pinneri et al., 2020) is CEM with
noise that is correlated in time, elites kept from one iteration and one decision to the next, a
population that shrinks, and the mean itself as a candidate of the last iteration.

Scores come from a function, see `Candidates`: `worldplan.planners.shooting.rollouts` makes it from
a dynamics model. Actions are in the units of the environment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from worldplan.milp.errors import ConfigError, Diverged
from worldplan.planners.shooting.settings import ShootingSettings

Candidates = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Action sequences (envs, n, horizon, action) -> sequences (envs, n + p, horizon, action) and their
scores (envs, n + p).

The p sequences that are appended are proposals of the evaluator itself, such as roll-outs of a
policy; they may differ in every iteration, or stay those of the first. n may be 0.
"""

RUNNING_RATE = 0.05  # weight of the newest decision in the running mean of the scale
PERCENTILES = (0.05, 0.95)  # range of scores that the running scale measures


@dataclass(frozen=True, slots=True)
class Plan:
    """The result of a search, for each environment.

    Args:
        mean: (envs, horizon, action), in units of the environment.
        std: (envs, horizon, action), in units of the environment.
        elites: (envs, elites, horizon, action), best first.
        scores: (envs, elites), of the elites; -inf where a score was not finite.
        weights: (envs, elites), of the elites, summing to 1.
        value: (envs,), weighted mean of the elites' scores.
        scale: (envs,), divisor of the scores; an input of the next search.
    """

    mean: Tensor
    std: Tensor
    elites: Tensor
    scores: Tensor
    weights: Tensor
    value: Tensor
    scale: Tensor

    def first_action(
        self, pick: Literal["mean", "best", "draw"], generator: torch.Generator | None = None
    ) -> Tensor:
        """The action to execute.

        Args:
            pick: the first action of the "mean", of the "best" elite, or of an elite drawn by
                weight ("draw").
            generator: of the draw.

        Returns:
            (envs, action).

        Raises:
            ConfigError: "draw" without a generator.
        """
        if pick == "mean":
            return self.mean[:, 0]
        if pick == "best":
            return self.elites[:, 0, 0]
        if generator is None:
            raise ConfigError("drawing an elite needs a torch.Generator: pass generator")
        # the Gumbel-max trick, argmax(weight / exponential noise), never waits for a GPU, unlike
        # torch.multinomial
        noise = -torch.log1p(-_uniform(generator, self.weights))
        chosen = (self.weights / noise.clamp_min(1e-20)).argmax(1)
        return self.elites[torch.arange(len(chosen), device=chosen.device), chosen, 0]

    def shifted(self) -> Plan:
        """The plan one step later: without the first action, the last one repeated."""
        return Plan(
            _shift(self.mean),
            _shift(self.std),
            _shift(self.elites),
            self.scores,
            self.weights,
            self.value,
            self.scale,
        )

    def restarted(self, begun: Tensor, centre: Tensor) -> Plan:
        """The plan with mean and elites replaced in the environments whose episode begins.

        Args:
            begun: (envs,) bool.
            centre: (action,), the new action of every step.
        """
        fresh = begun[:, None, None]
        mean = torch.where(fresh, centre, self.mean)
        return replace(
            self, mean=mean, elites=torch.where(fresh.unsqueeze(1), mean.unsqueeze(1), self.elites)
        )


@torch.no_grad()
def search_plan(
    evaluate: Candidates,
    settings: ShootingSettings,
    mean: Tensor,
    std: Tensor | None,
    low: Tensor,
    high: Tensor,
    generator: torch.Generator,
    *,
    elites: Tensor | None = None,
    scale: Tensor | None = None,
) -> Plan:
    """Search for the action sequences of highest score.

    Args:
        evaluate: scores sequences, see `Candidates`. A score that is not finite counts as -inf.
        settings: method and numbers.
        mean: (envs, horizon, action), the initial mean.
        std: (envs, horizon, action), the initial standard deviation in units of the environment;
            None: `settings.max_std`.
        low: (action,), finite lower bounds of the actions.
        high: (action,), finite upper bounds of the actions.
        generator: of all random numbers; on any device.
        elites: (envs, k, horizon, action), elites of the previous decision, shifted by a step; the
            first `settings.kept` are candidates again.
        scale: (envs,), `Plan.scale` of the previous decision, for `settings.scale` "running"; NaN
            where there was none.

    Raises:
        ConfigError: shapes do not fit.
        Diverged: in some environment no candidate has a finite score.
    """
    half = (high - low) / 2
    if mean.ndim != 3 or mean.shape[1:] != (settings.horizon, len(half)):
        raise ConfigError(
            f"mean has shape {tuple(mean.shape)}, expected (envs, {settings.horizon}, "
            f"{len(half)}): (envs, horizon, action)"
        )
    least, most = settings.min_std * half, settings.max_std * half
    std = most.expand_as(mean) if std is None else std
    kept = (
        mean.new_empty((len(mean), 0, *mean.shape[1:]))
        if elites is None
        else elites[:, : settings.kept]
    )
    for iteration in range(settings.iterations):
        drawn = _draw(settings, iteration, mean, std, generator)
        extra = (
            [kept, mean.unsqueeze(1)]
            if settings.improved and iteration == settings.iterations - 1
            else [kept]
        )
        sequences, scores = evaluate(torch.cat([drawn, *extra], 1).clamp(low, high))
        if sequences.shape[:2] != scores.shape or scores.shape[1] < settings.elites:
            raise ConfigError(
                f"the evaluator returned {tuple(sequences.shape)} sequences with "
                f"{tuple(scores.shape)} scores: expected (envs, candidates, horizon, action) and "
                "(envs, candidates), at least as many candidates as elites "
                f"({settings.elites})"
            )
        scores = torch.where(scores.isfinite(), scores, -torch.inf)
        best, index = scores.topk(settings.elites, 1)
        kept_scale = _scale(settings, scores, best)
        if settings.scale == "running" and scale is not None:
            kept_scale = torch.where(scale.isnan(), kept_scale, scale)
        weights = _weights(settings, best, kept_scale)
        chosen = sequences.take_along_dim(index[..., None, None], 1)
        # a proposal with a score of -inf may itself hold NaN, which a weight of 0 would not remove
        chosen = torch.where(weights[..., None, None] > 0, chosen, mean.unsqueeze(1))
        mean, std = _refit(settings, mean, std, chosen, weights, least, most)
        kept = chosen[:, : settings.kept]
    if settings.scale == "running" and scale is not None:
        newest = _scale(settings, scores, best)
        kept_scale = torch.where(scale.isnan(), newest, torch.lerp(scale, newest, RUNNING_RATE))
    value = (weights * best.masked_fill(weights == 0, 0)).sum(1)
    _require_finite_score(best)
    return Plan(mean, std, chosen, best, weights, value, kept_scale)


def _draw(
    settings: ShootingSettings,
    iteration: int,
    mean: Tensor,
    std: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Draw sequences (envs, n, horizon, action) around the mean, not yet clipped to the bounds."""
    noise = _normal(
        generator, mean.new_empty((len(mean), settings.drawn(iteration), *mean.shape[1:]))
    )
    noise = coloured(noise, settings.colour)
    if settings.finest < 1:
        factor = torch.linspace(
            0, math.log(settings.finest), noise.shape[1], device=noise.device, dtype=noise.dtype
        ).exp()
        noise = noise * factor[:, None, None]
    return mean.unsqueeze(1) + std.unsqueeze(1) * noise


def coloured(noise: Tensor, exponent: float) -> Tensor:
    """Filter white noise to the power spectrum 1 / f ** exponent over the steps (Timmer & Koenig,
    1995). The mean over the steps (f = 0) gets the power of the lowest frequency above 0.

    Args:
        noise: (..., horizon, action), white, of unit variance.
        exponent: 0 returns the noise itself.

    Returns:
        (..., horizon, action), of unit variance.
    """
    steps = noise.shape[-2]
    if exponent == 0 or steps == 1:
        return noise
    amplitude = torch.fft.fftfreq(steps, device=noise.device, dtype=noise.dtype).abs().clamp_min(
        1 / steps
    ) ** (-exponent / 2)
    amplitude = (amplitude / amplitude.square().mean().sqrt())[: steps // 2 + 1, None]
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(noise, dim=-2) * amplitude, n=steps, dim=-2)
    return filtered


def _scale(settings: ShootingSettings, scores: Tensor, best: Tensor) -> Tensor:
    """Divisor of the scores, (envs,), from scores (envs, candidates) and those of the elites in
    descending order, (envs, elites).
    """
    top = best[:, 0]
    if settings.scale == "none":
        return torch.ones_like(top)
    finite = scores.isfinite()
    lowest = torch.where(finite, scores, torch.inf).amin(1, keepdim=True)
    if settings.scale == "elites":
        spread = top - torch.maximum(best[:, -1], lowest[:, 0])
    else:
        low, high = torch.where(finite, scores, lowest).quantile(
            scores.new_tensor(PERCENTILES), dim=1
        )
        spread = high - low
    # differences below rounding errors must not be magnified
    return spread.clamp_min(0) + 1e-6 * top.abs() + 1e-9


def _weights(settings: ShootingSettings, best: Tensor, scale: Tensor) -> Tensor:
    """Weights of the elites (envs, elites), summing to 1; 0 for a score that is not finite."""
    if settings.method == "mppi":
        return torch.softmax(
            (best - best[:, :1]) / (settings.temperature * scale.unsqueeze(1)), 1
        ).nan_to_num(0)
    alive = best.isfinite().to(best.dtype)
    return alive / alive.sum(1, keepdim=True).clamp_min(1)


def _refit(
    settings: ShootingSettings,
    mean: Tensor,
    std: Tensor,
    elites: Tensor,
    weights: Tensor,
    least: Tensor,
    most: Tensor,
) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation of the elites; unchanged in environments in which all
    weights are 0.
    """
    share = weights[..., None, None]
    centre = (share * elites).sum(1)
    spread = (share * (elites - centre.unsqueeze(1)).square()).sum(1).sqrt().clamp(least, most)
    any_finite = weights.sum(1)[:, None, None] > 0
    new_mean = torch.where(any_finite, torch.lerp(centre, mean, settings.momentum), mean)
    return new_mean, torch.where(any_finite, spread, std)


def _require_finite_score(best: Tensor) -> None:
    """Check the elites' scores (envs, elites). Only here does the host wait for the device.

    Raises:
        Diverged: an environment has none that is finite.
    """
    without = (best[:, 0] == -torch.inf).nonzero()[:, 0].tolist()
    if without:
        raise Diverged(
            f"no candidate of environment {', '.join(map(str, without))} has a finite score: the "
            "model or the value function leaves the finite numbers from this observation; look at "
            "the observation, shorten the horizon or train again"
        )


def _shift(sequence: Tensor) -> Tensor:
    """(..., horizon, action) without its first step, the last step repeated."""
    return torch.cat([sequence[..., 1:, :], sequence[..., -1:, :]], -2)


def _normal(generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(
        like.shape, generator=generator, device=generator.device, dtype=like.dtype
    ).to(like.device)


def _uniform(generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.rand(
        like.shape, generator=generator, device=generator.device, dtype=like.dtype
    ).to(like.device)
