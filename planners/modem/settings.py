"""Settings of MoDem-V2, and of the methods compared with it, which are other values of the same
settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields
from worldplan.planners.shooting.settings import ShootingSettings
from worldplan.world_models.latent.settings import LatentSettings

HANDOVERS = ("steps", "success", "uncertainty")
TERMINALS = ("own", "other", "max_other")


@dataclass(frozen=True)
class LinearSchedule:
    """A number that changes linearly with the environment steps: `first` up to step `begin`, `last`
    from step `end` on.
    """

    first: float
    last: float
    begin: int = 0
    end: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("begin", "end"):
            checks.whole_number(getattr(self, name), name, least=0)

    def __call__(self, step: int) -> float:
        """The number after `step` environment steps."""
        if step >= self.end:
            return self.last
        return self.first + (self.last - self.first) * max(step - self.begin, 0) / max(
            self.end - self.begin, 1
        )


@dataclass(frozen=True)
class PlanningSettings:
    """Planning in latent space.

    Args:
        search: candidates, elites, refinement. Its `proposals` is the share of candidates that are
            roll-outs of the actors: 1 is exploration centring; at 0.05, as in TD-MPC, the others
            are drawn around the warm-started plan.
        horizon_growth: environment steps over which the horizon grows from 1 to that of `search`;
            0: the full horizon from the start.
        pessimism: k; the score of a candidate is mean - k std over the critics' returns.
        terminal: actor of the last state in a critic's return: "own", its own; "other", one other,
            so that no critic evaluates its own actor; "max_other", the one of all others with the
            highest value (as published).
        noise: standard deviation of the noise on the actors' actions, clamped at 3 deviations.
        correlation: of the exploration noise from one step to the next, in training; 0 is white
            noise, as published.
    """

    search: ShootingSettings = field(
        default_factory=lambda: ShootingSettings(
            samples=96,
            elites=16,
            iterations=1,
            horizon=3,
            temperature=0.5,
            min_std=0.1,
            proposals=1.0,
            pick="mean",
        )
    )
    horizon_growth: int = 0
    pessimism: float = 2.0
    terminal: str = "other"
    noise: float = 0.1
    correlation: float = 0.8

    def __post_init__(self) -> None:
        check_fields(self, "planning.")
        checks.choice(self.terminal, "planning.terminal", TERMINALS)
        for name in ("horizon_growth", "pessimism", "noise"):
            checks.number(getattr(self, name), f"planning.{name}", least=0)
        checks.number(self.correlation, "planning.correlation", least=0, most=1)


@dataclass(frozen=True)
class HandoverSettings:
    """How acting passes from the cloned policy to the planner; see `Handover`.

    Args:
        kind: "steps": the planner's share grows from 0 to 1 between steps `begin` and `end` (as
            published). "success": the share grows by `stride` after each check in which the planner
            alone succeeds at least as often as the clone did, and falls by it otherwise.
            "uncertainty": the planner acts where its critics agree, that is, where the std of its
            plan's return is below `limit` times the running range of values, which starts at 0.
        begin: environment step at which the share of kind "steps" starts to grow.
        end: environment step from which it is 1.
        segment: steps for which the same policy acts; 1, a draw in every step, as published.
        stride: change of the share of kind "success" per check.
        limit: of kind "uncertainty".
        clone_samples: noisy actions of the clone, of which its critics pick the best; 1 is the
            clone's mean action.
    """

    kind: str = "steps"
    begin: int = 0
    end: int = 10_000
    segment: int = 10
    stride: float = 0.1
    limit: float = 0.1
    clone_samples: int = 1

    def __post_init__(self) -> None:
        check_fields(self, "handover.")
        checks.choice(self.kind, "handover.kind", HANDOVERS)
        for name, least in (
            ("begin", 0),
            ("end", self.begin),
            ("segment", 1),
            ("clone_samples", 1),
        ):
            checks.whole_number(getattr(self, name), f"handover.{name}", least=least)
        checks.number(self.stride, "handover.stride", least=0, most=1)
        checks.number(self.limit, "handover.limit", least=0)


@dataclass(frozen=True)
class ModemSettings:
    """Learning, acting and their order: cloning, seeding, then interaction.

    Args:
        latent: the networks.
        planning: acting by the planner.
        handover: from the clone to the planner.
        segment: steps of the segments that updates learn from.
        discount: gamma, of rewards.
        temporal: rho, weight of a later step of a segment over that of the step before.
        batch: segments per update.
        consistency: weight of the latents' loss.
        reward: weight of the rewards' loss.
        value: weight of the values' loss.
        clone_rate: Adam's learning rate in behaviour cloning, falling linearly to 0, since the last
            weights are kept.
        learning_rate: Adam's learning rate at the first environment step after the seeding.
        last_rate: Adam's learning rate at the last environment step, reached linearly.
        encoder_rate: learning rate of the encoder relative to that of the rest; 0 freezes the
            encoder after behaviour cloning, and every observation is encoded once.
        clip: largest norm of a gradient.
        target_rate: of the slow copies' updates.
        target_every: updates between two of the slow copies.
        imitation: weight of the actors' squared distance to the actions of demonstrations and of
            the agent's own successes; 0 as published.
        percentile_scale: divide the actors' objective by the running range of values (TD-MPC2).
        shift: largest shift of images, pixels.
        copies: randomly shifted copies of every image that a frozen encoder encodes, once; every
            draw picks one.
        clone_updates: updates of behaviour cloning; with 0, demonstrations are only experience, and
            encoder_rate must not be 0.
        clone_batch: steps per update of behaviour cloning.
        seed_steps: environment steps of the clone (of random actions without a clone) before the
            first update of the world model.
        seed_updates: updates right after the seeding; if there is a clone, they change neither the
            encoder nor the actors.
        updates_per_step: updates per environment step from then on.
        demonstration_share: share of a batch drawn from demonstrations.
        steps: environment steps in total, those of the seeding included; 0 ends after behaviour
            cloning.
        environments: played side by side.
        capacity: slots of the replay: one per step, and one more per episode.
    Raises:
        ConfigError: a number out of range, or settings that contradict each other.
    """

    latent: LatentSettings = field(default_factory=LatentSettings)
    planning: PlanningSettings = field(default_factory=PlanningSettings)
    handover: HandoverSettings = field(default_factory=HandoverSettings)
    segment: int = 3
    discount: float = 0.95
    temporal: float = 0.5
    batch: int = 128
    consistency: float = 2.0
    reward: float = 0.5
    value: float = 0.1
    clone_rate: float = 1e-3
    learning_rate: float = 1e-3
    last_rate: float = 1e-4
    encoder_rate: float = 0.0
    clip: float = 10.0
    target_rate: float = 0.05
    target_every: int = 1
    imitation: float = 10.0
    percentile_scale: bool = True
    shift: int = 3
    copies: int = 4
    clone_updates: int = 2000
    clone_batch: int = 256
    seed_steps: int = 2000
    seed_updates: int = 1000
    updates_per_step: float = 0.5
    demonstration_share: LinearSchedule = field(
        default_factory=lambda: LinearSchedule(0.75, 0.25, 0, 10_000)
    )
    steps: int = 20_000
    environments: int = 4
    capacity: int = 100_000

    def __post_init__(self) -> None:
        check_fields(self)
        self._require_ranges()
        self._require_consistency()

    def _require_ranges(self) -> None:
        """Check every number by itself.

        Raises:
            ConfigError: a number out of range.
        """
        planning, handover, share = self.planning, self.handover, self.demonstration_share
        at_least_one = {
            "segment": self.segment,
            "batch": self.batch,
            "copies": self.copies,
            "target_every": self.target_every,
            "environments": self.environments,
            "seed_steps": self.seed_steps,
            "clone_batch": self.clone_batch,
            "handover.segment": handover.segment,
            "handover.clone_samples": handover.clone_samples,
        }
        at_least_zero = {
            "steps": self.steps,
            "clone_updates": self.clone_updates,
            "seed_updates": self.seed_updates,
            "updates_per_step": self.updates_per_step,
            "shift": self.shift,
            "imitation": self.imitation,
            "consistency": self.consistency,
            "reward": self.reward,
            "value": self.value,
            "clone_rate": self.clone_rate,
            "learning_rate": self.learning_rate,
            "last_rate": self.last_rate,
            "encoder_rate": self.encoder_rate,
            "planning.noise": planning.noise,
            "planning.pessimism": planning.pessimism,
            "planning.horizon_growth": planning.horizon_growth,
            "handover.begin": handover.begin,
            "handover.limit": handover.limit,
            "handover.end - handover.begin": handover.end - handover.begin,
        }
        shares = {
            "temporal": self.temporal,
            "target_rate": self.target_rate,
            "planning.correlation": planning.correlation,
            "handover.stride": handover.stride,
            "demonstration_share.first": share.first,
            "demonstration_share.last": share.last,
        }
        _require_between(at_least_one, 1, math.inf)
        _require_between(at_least_zero, 0, math.inf)
        _require_between(shares, 0, 1)
        _require_between({"clip": self.clip}, 1e-9, math.inf)
        _require_between({"capacity": self.capacity}, self.segment + 2, math.inf)
        if not 0 <= self.discount < 1:
            raise ConfigError(f"discount {self.discount}: at least 0 and below 1")

    def _require_consistency(self) -> None:
        """Check the names, and settings against each other.

        Raises:
            ConfigError: an unknown name, or settings that contradict each other.
        """
        planning, handover = self.planning, self.handover
        if handover.kind not in HANDOVERS or planning.terminal not in TERMINALS:
            raise ConfigError(
                f"handover.kind is one of {', '.join(HANDOVERS)}; "
                f"planning.terminal one of {', '.join(TERMINALS)}"
            )
        if handover.kind == "uncertainty" and not self.percentile_scale:
            raise ConfigError(
                "handover.kind uncertainty measures disagreement in units of percentile_scale: set "
                "percentile_scale to true"
            )
        if not self.clone_updates and not self.encoder_rate:
            raise ConfigError(
                "clone_updates and encoder_rate are both 0, so that nothing would train the "
                "encoder: set encoder_rate above 0"
            )


def _require_between(numbers: Mapping[str, float], low: float, high: float) -> None:
    """Raise ConfigError unless all numbers are finite and between two bounds, both included.

    Raises:
        ConfigError: a number out of range, by its name.
    """
    for name, value in numbers.items():
        if not low <= value <= high or value == math.inf:
            allowed = f"at least {low}" if high == math.inf else f"{low} to {high}"
            raise ConfigError(f"{name} is {value}: give {allowed}")
