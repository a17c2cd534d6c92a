"""Sampling-based search over action sequences: MPPI, CEM and iCEM, for many environments at once.

One loop serves all three: draw sequences around a mean, have them scored, keep the best ("elites"),
move mean and spread to them. CEM (Rubinstein & Kroese, 2004; Chua et al., 2018) counts all elites
alike, MPPI (Williams et al., 2015) by the softmax of their scores, as in TD-MPC (Hansen et al.,
2022); iCEM (Pinneri et al., 2020) is CEM with noise that is correlated in time, elites kept from
one iteration and one decision to the next, a shrinking population and the mean itself as a
candidate of the last iteration.

Who scores the sequences is not known here: see `worldplan.planners.shooting.rollouts` for dynamics
models. Actions are in the units of the environment; spreads in the settings are in units of half
the range of each action, so that 1 reaches from the centre to the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from worldplan.milp.errors import ConfigError, Diverged

Candidates = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Action sequences (envs, n, horizon, action) -> all sequences (envs, n + p, horizon, action) and their scores (envs, n + p).

The evaluator may append p proposals of its own, such as a policy's roll-outs, made and scored in the same pass; in a later iteration of the same
search, new ones or those of the first. n may be 0.
"""

METHODS = ("mppi", "cem", "icem")
SCALES = ("elites", "running", "none")
PICKS = ("mean", "best", "draw")
RUNNING_RATE = 0.05  # of the running scale, per decision
PERCENTILES = (0.05, 0.95)


@dataclass(frozen=True)
class ShootingSettings:
    """How the search works.

    Args:
        method: "mppi", "cem" or "icem".
        samples: candidates per environment in the first iteration, proposals included; kept elites
            come on top.
        elites: how many of the best candidates count.
        iterations: rounds of drawing and scoring per decision.
        horizon: steps of a sequence.
        temperature: of MPPI's weights, exp(score / (temperature * scale)): low trusts the best,
            high counts all elites alike.
        scale: what scores are divided by before: "elites", the range of the elites' scores;
            "running", a running mean over decisions of the 5 % to 95 % range of all candidates'
            scores (where the elites' own differences may be noise, as with a sparse reward);
            "none".
        min_std, max_std: bounds of the spread, in half ranges of the action; a search without a
            given spread begins at max_std.
        momentum: share of the old mean in the new one.
        proposals: share of `samples` that the evaluator proposes itself (0 to 1).
        pick: first action: "mean" of the elites, the "best" elite's, or an elite's drawn by weight
            ("draw"); None: best for iCEM, else mean.
        finest: the candidates' noise is scaled by factors from 1 down to this, so that one search
            looks far and near at once; 1 for none.
        noise_exponent: the noise has the power spectrum 1 / f ** noise_exponent over the sequence;
            None: 2 for iCEM, else 0 (white).
        keep: share of the elites that are candidates again in the next iteration and decision;
            None: 0.3 for iCEM, else 0.
        shrink: the population is divided by this after every iteration, down to twice the elites;
            None: 1.25 for iCEM, else 1.

    Raises ConfigError for a number out of range and an unknown name.
    """

    method: Literal["mppi", "cem", "icem"] = "mppi"
    samples: int = 512
    elites: int = 64
    iterations: int = 6
    horizon: int = 5
    temperature: float = 0.2
    scale: Literal["elites", "running", "none"] = "elites"
    min_std: float = 0.05
    max_std: float = 2.0
    momentum: float = 0.0
    proposals: float = 0.0
    pick: Literal["mean", "best", "draw"] | None = None
    finest: float = 1.0
    noise_exponent: float | None = None
    keep: float | None = None
    shrink: float | None = None

    def __post_init__(self) -> None:
        for name, known in (("method", METHODS), ("scale", SCALES), ("pick", (*PICKS, None))):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name}: '{getattr(self, name)}' is unknown: use {', '.join(str(choice) for choice in known)}"
                )
        for name in ("samples", "elites", "iterations", "horizon"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is too small: give at least 1")
        if self.elites > self.samples:
            raise ConfigError(
                f"elites: {self.elites} of {self.samples} samples cannot be the best: give elites <= samples"
            )
        if not self.temperature > 0:
            raise ConfigError(f"temperature: {self.temperature} must be positive")
        if not 0 < self.min_std <= self.max_std:
            raise ConfigError(
                f"min_std {self.min_std} and max_std {self.max_std}: both must be positive, the first not above the second"
            )
        for name, value in (
            ("momentum", self.momentum),
            ("proposals", self.proposals),
            ("keep", self.kept_share),
        ):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name}: {value} is a share: give 0 to 1")
        self._check_noise()

    def _check_noise(self) -> None:
        if not 0 < self.finest <= 1:
            raise ConfigError(f"finest: {self.finest} must be above 0 and at most 1")
        if not self.colour >= 0:
            raise ConfigError(f"noise_exponent: {self.noise_exponent} must not be negative")
        if not self.shrinking >= 1:
            raise ConfigError(f"shrink: {self.shrink} must be at least 1")

    @property
    def improved(self) -> bool:
        """Whether the defaults are those of iCEM."""
        return self.method == "icem"

    @property
    def colour(self) -> float:
        """Exponent of the noise's spectrum."""
        return (
            (2.0 if self.improved else 0.0) if self.noise_exponent is None else self.noise_exponent
        )

    @property
    def kept_share(self) -> float:
        """Share of the elites that are tried again."""
        return (0.3 if self.improved else 0.0) if self.keep is None else self.keep

    @property
    def shrinking(self) -> float:
        """What the population is divided by after every iteration."""
        return (1.25 if self.improved else 1.0) if self.shrink is None else self.shrink

    @property
    def picking(self) -> Literal["mean", "best", "draw"]:
        """Where the first action comes from."""
        return ("best" if self.improved else "mean") if self.pick is None else self.pick

    @property
    def proposal_count(self) -> int:
        """How many candidates are the evaluator's own in every iteration."""
        return round(self.samples * self.proposals)

    @property
    def kept(self) -> int:
        """How many elites are tried again."""
        return math.ceil(self.elites * self.kept_share)

    def drawn(self, iteration: int) -> int:
        """How many sequences iteration 0, 1, ... draws."""
        population = max(
            round(self.samples / self.shrinking**iteration), min(2 * self.elites, self.samples)
        )
        return max(population - self.proposal_count, 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search found, for each environment.

    Args:
        mean, std: (envs, horizon, action), in units of the environment.
        elites: (envs, elites, horizon, action), best first.
        scores: (envs, elites); -inf for a candidate whose score is not a number.
        weights: (envs, elites), summing to 1.
        value: (envs,), weighted mean of the elites' scores.
        scale: (envs,), what scores were divided by; pass it on to the next search.
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
        """(envs, action): the first action of the mean, of the best elite, or of one elite drawn by
        weight.

        Drawing never waits for a GPU: the largest of weight / exponential noise wins, which is the
        Gumbel trick.
        """
        if pick == "mean":
            return self.mean[:, 0]
        if pick == "best":
            return self.elites[:, 0, 0]
        if generator is None:
            raise ConfigError("drawing an elite needs a torch.Generator: pass generator")
        noise = -torch.log1p(-_uniform(generator, self.weights))
        chosen = (self.weights / noise.clamp_min(1e-20)).argmax(1)
        return self.elites[torch.arange(len(chosen), device=chosen.device), chosen, 0]

    def shifted(self) -> Plan:
        """The plan one step later: the first action is done, the last one held for one more step."""
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
        """The plan with nothing to start from where `begun` (envs,) bool: `centre` (action,) in
        every step.
        """
        fresh = begun[:, None, None]
        mean = torch.where(fresh, centre, self.mean)
        return replace(
            self, mean=mean, elites=torch.where(fresh.unsqueeze(1), mean.unsqueeze(1), self.elites)
        )


@torch.no_grad()
def search(
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
    """The best action sequences that sampling around `mean` finds.

    Args:
        evaluate: scores sequences, see `Candidates`. A score that is not a finite number never
            wins.
        settings: the method and its numbers.
        mean: (envs, horizon, action), where to begin.
        std: (envs, horizon, action) in units of the environment; None begins at `settings.max_std`.
        low, high: (action,), finite bounds of the actions.
        generator: of all draws; on any device.
        elites: (envs, k, horizon, action), the previous decision's, shifted; the first
            `settings.kept` are tried again.
        scale: (envs,), the previous decision's `Plan.scale`, for `settings.scale` "running".

    Raises ConfigError for shapes that do not fit, Diverged where all candidates of an environment
    have no finite score.
    """
    half = (high - low) / 2
    if mean.ndim != 3 or mean.shape[1:] != (settings.horizon, len(half)):
        raise ConfigError(
            f"mean has shape {tuple(mean.shape)}, expected (envs, {settings.horizon}, {len(half)}): (envs, horizon, action)"
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
                f"the evaluator returned {tuple(sequences.shape)} sequences with {tuple(scores.shape)} scores: expected (envs, candidates, "
                f"horizon, action) and (envs, candidates), at least as many candidates as elites ({settings.elites})"
            )
        scores = torch.where(scores.isfinite(), scores, -torch.inf)
        best, index = scores.topk(settings.elites, 1)
        kept_scale = (
            scale
            if settings.scale == "running" and scale is not None
            else _scale(settings, scores, best)
        )
        weights = _weights(settings, best, kept_scale)
        chosen = sequences.take_along_dim(index[..., None, None], 1)
        chosen = torch.where(
            weights[..., None, None] > 0, chosen, mean.unsqueeze(1)
        )  # a proposal may itself be no number
        mean, std = _refit(settings, mean, std, chosen, weights, least, most)
        kept = chosen[:, : settings.kept]
    if settings.scale == "running" and scale is not None:
        kept_scale = torch.lerp(scale, _scale(settings, scores, best), RUNNING_RATE)
    value = (weights * best.masked_fill(weights == 0, 0)).sum(1)
    _check_alive(best)
    return Plan(mean, std, chosen, best, weights, value, kept_scale)


def _draw(
    settings: ShootingSettings,
    iteration: int,
    mean: Tensor,
    std: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Sequences (envs, n, horizon, action) around the mean, not yet cut to the bounds."""
    noise = _normal(
        generator, mean.new_empty((len(mean), settings.drawn(iteration), *mean.shape[1:]))
    )
    noise = coloured(noise, settings.colour)
    if settings.finest < 1:  # evenly in the logarithm
        factor = torch.linspace(
            0, math.log(settings.finest), noise.shape[1], device=noise.device, dtype=noise.dtype
        ).exp()
        noise = noise * factor[:, None, None]
    return mean.unsqueeze(1) + std.unsqueeze(1) * noise


def coloured(noise: Tensor, exponent: float) -> Tensor:
    """White noise (..., horizon, action) of unit variance filtered to the power spectrum 1 / f **
    exponent, still of unit variance.

    The mean over the sequence (f = 0) gets the power of the lowest frequency that fits into it
    (Timmer & Koenig, 1995).
    """
    steps = noise.shape[-2]
    if exponent == 0 or steps == 1:
        return noise
    amplitude = torch.fft.fftfreq(steps, device=noise.device, dtype=noise.dtype).abs().clamp_min(
        1 / steps
    ) ** (-exponent / 2)
    amplitude = (amplitude / amplitude.square().mean().sqrt())[: steps // 2 + 1, None]
    return torch.fft.irfft(torch.fft.rfft(noise, dim=-2) * amplitude, n=steps, dim=-2)


def _scale(settings: ShootingSettings, scores: Tensor, best: Tensor) -> Tensor:
    """(envs,): what score differences are measured in; scores (envs, candidates), best (envs,
    elites) in falling order.
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
    return spread.clamp_min(0) + 1e-6 * top.abs() + 1e-9  # differences below rounding are none


def _weights(settings: ShootingSettings, best: Tensor, scale: Tensor) -> Tensor:
    """(envs, elites), summing to 1; nothing for a score that is not finite."""
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
    """Mean and spread of the weighted elites; those of before for an environment without a living
    candidate.
    """
    share = weights[..., None, None]
    centre = (share * elites).sum(1)
    spread = (share * (elites - centre.unsqueeze(1)).square()).sum(1).sqrt().clamp(least, most)
    alive = weights.sum(1)[:, None, None] > 0
    return torch.where(alive, torch.lerp(centre, mean, settings.momentum), mean), torch.where(
        alive, spread, std
    )


def _check_alive(best: Tensor) -> None:
    """The one place where the host waits for the device."""
    dead = (best[:, 0] == -torch.inf).nonzero()[:, 0].tolist()
    if dead:
        raise Diverged(
            f"no candidate of environment {', '.join(map(str, dead))} has a finite score: the model or the value function leaves the finite "
            "numbers from this observation; look at the observation, shorten the horizon or train again"
        )


def _shift(sequence: Tensor) -> Tensor:
    """(..., horizon, action) -> the same from its second step on, the last step twice."""
    return torch.cat([sequence[..., 1:, :], sequence[..., -1:, :]], -2)


def _normal(generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(
        like.shape, generator=generator, device=generator.device, dtype=like.dtype
    ).to(like.device)


def _uniform(generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.rand(
        like.shape, generator=generator, device=generator.device, dtype=like.dtype
    ).to(like.device)
