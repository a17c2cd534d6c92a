"""Settings of reach-aware value learning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields
from worldplan.nearest import did_you_mean
from worldplan.planners.offline.options.cost_settings import CostConstraint
from worldplan.planners.offline.options.gap_settings import DynamicsGap
from worldplan.planners.offline.options.guardian import Guardian
from worldplan.planners.offline.rollouts import Pessimism

WEIGHTINGS = ("none", "return", "advantage")
TARGETS = ("shared", "independent")
# settings that were added later, with the value that trains as before: an older checkpoint has none
ADDED: dict[str, Any] = {
    "relative_diversity": False,
    "layer_norm": False,
    "normalise_observations": False,
    "normalise_rewards": False,
    "episode_weighting": "none",
    "episode_temperature": 0.1,
    "pessimism.cut_quantile": None,
    "pessimism.cut_measure": "max_pairwise_difference",
    "costs": None,
    "dynamics_gap": None,
    "guardian": None,
}
LAST_STEPS = ("bootstrap", "reward_only", "hold", "pessimistic")


@dataclass(frozen=True)
class ReachAwareSettings:
    """All settings of the method. The defaults of critics, diversity, layer_norm,
    normalise_observations and normalise_rewards are those that measured best here; all others, and
    those of `paper`, are published for MuJoCo.

    Args:
        critics: N.
        diversity: eta, weight of EDAC's diversity term against the squared errors of the critics.
            These grow with the square of the rewards and the term does not: rewards ten times
            greater need a weight a hundred times greater for the same effect. The published 1 is
            for MuJoCo's rewards of a few units a step.
        relative_diversity: multiply `diversity` by the mean square of the rewards, so that it has
            the same effect in every unit of reward. Those of the dataset, or of the first rollouts
            where there is none. `normalise_rewards` does the same, so both together add nothing.
        lower_bound: pessimistic values are mean - lower_bound * std over the critics; None takes
            their minimum.
        targets: "shared" trains all critics towards one pessimistic target; "independent" each
            towards its own, as in MSG (Ghasemipour et al., 2022), so that only the actor is
            pessimistic and the critics keep their disagreement.
        last_step: how the last step of a rollout is bootstrapped: "bootstrap" like all others,
            "reward_only" (y = r), "hold" (the next value is at most r / (1 - gamma), that of
            receiving r forever), "pessimistic" (the next value is at most mean -
            last_step_pessimism * std over the critics).
        last_step_pessimism: see `last_step`.
        target_cap: upper bound on every target, for example r_max / (1 - gamma); None sets no
            bound.
        hidden: widths of the hidden layers of actor and critics.
        layer_norm: normalise each hidden layer of the critics before its ReLU (Ball et al., 2023),
            which bounds values far from the data.
        normalise_observations: let actor and critics see every column of the observations with
            mean 0 and standard deviation 1 over the dataset (over the start states where there is
            none). The dynamics model sees them as they are.
        normalise_rewards: learn in units of the root mean square of the rewards, of the dataset or
            of the first rollouts: losses are those of rewards divided by it, so `temperature` and
            `diversity` are weighed against such rewards. All other settings, and all values that
            are reported, stay in the environment's units.
        discount: gamma.
        target_rate: step of the target critics towards the critics, per update.
        batch: transitions per update and seed.
        actor_rate: learning rate of the actor.
        critic_rate: learning rate of the critics.
        temperature_rate: learning rate of alpha; 0 keeps it fixed.
        temperature: initial entropy weight alpha.
        target_entropy: entropy of the policy towards which alpha is tuned; None: minus the size of
            an action.
        horizon: k, steps of a model rollout.
        starts: rollouts per epoch and seed.
        retain: epochs of rollouts that the buffer holds.
        updates: gradient updates per epoch.
        real_share: share of a batch that comes from the dataset.
        episode_weighting: how rows of the dataset and start states are drawn: "none" all alike,
            "return" more often from episodes of a high return, "advantage" from those whose return
            is high for their first state (Hong et al., 2023).
        episode_temperature: of the weighting, in units of the range of the returns; at 0.1, a row
            of the best episode is drawn e^10 times as often as one of the worst.
        pessimism: penalties on the dynamics during rollouts (MOPO, MOReL).
        mobile: beta of MOBILE's Bellman-inconsistency penalty on model transitions; 0 is off.
        costs: a budget of costs, for a dataset with a cost column; None: there are no costs.
        dynamics_gap: weights of simulated transitions for an imperfect simulator (H2O); None: all
            count alike.
        guardian: ends model rollouts where the data do not support them (OGSRL); None: they go on.
        compile: let torch.compile fuse the critics; needs a C++ compiler.

    Raises:
        ConfigError: a setting is out of its range.
    """

    critics: int = 2
    diversity: float = 0.0
    relative_diversity: bool = False
    lower_bound: float | None = None
    targets: str = "shared"
    last_step: str = "bootstrap"
    last_step_pessimism: float = 1.0
    target_cap: float | None = None
    hidden: tuple[int, ...] = (256, 256, 256)
    layer_norm: bool = True
    normalise_observations: bool = True
    normalise_rewards: bool = True
    discount: float = 0.99
    target_rate: float = 0.005
    batch: int = 256
    actor_rate: float = 3e-4
    critic_rate: float = 3e-4
    temperature_rate: float = 3e-4
    temperature: float = 1.0
    target_entropy: float | None = None
    horizon: int = 5
    starts: int = 50_000
    retain: int = 5
    updates: int = 1000
    real_share: float = 0.05
    episode_weighting: str = "none"
    episode_temperature: float = 0.1
    pessimism: Pessimism = field(default_factory=Pessimism)
    mobile: float = 0.0
    costs: CostConstraint | None = None
    dynamics_gap: DynamicsGap | None = None
    guardian: Guardian | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("critics", "batch", "horizon", "starts", "retain", "updates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}: must be at least 1")
        for name in ("temperature", "actor_rate", "critic_rate", "episode_temperature"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} {getattr(self, name)}: must be above 0")
        self._check_networks()
        self._check_targets()
        self._check_sampling()

    @staticmethod
    def paper(**changes: Any) -> ReachAwareSettings:
        """The published method: 10 critics with a diversity of 1, without layer normalisation, in
        the units of the data.

        Args:
            changes: settings that replace those of the method.

        Raises:
            ConfigError: a setting is out of its range.
        """
        published = {
            "critics": 10,
            "diversity": 1.0,
            "layer_norm": False,
            "normalise_observations": False,
            "normalise_rewards": False,
        }
        return ReachAwareSettings(**{**published, **changes})

    def _check_networks(self) -> None:
        """Check what concerns actor and critics.

        Raises:
            ConfigError: a setting is out of its range.
        """
        if self.temperature_rate < 0 or not self.hidden or min(self.hidden) < 1:
            raise ConfigError(
                "temperature_rate must not be negative, and hidden needs at least one layer of at "
                "least one unit"
            )
        if self.layer_norm and min(self.hidden) < 3:
            raise ConfigError(
                f"layer_norm with a hidden layer of {min(self.hidden)} units: its outputs would be "
                "constant: give each layer of hidden at least 3 units, or set layer_norm to false"
            )
        if self.diversity < 0 or (self.diversity > 0 and self.critics < 2):
            raise ConfigError(
                f"diversity {self.diversity} with {self.critics} critics: give at least 2 critics "
                "and a weight of 0 or more"
            )

    def _check_targets(self) -> None:
        """Check what concerns the targets of the critics.

        Raises:
            ConfigError: a setting is out of its range.
        """
        if self.last_step not in LAST_STEPS:
            near = did_you_mean(str(self.last_step), LAST_STEPS)
            raise ConfigError(f"last_step '{self.last_step}'{near}: choose {', '.join(LAST_STEPS)}")
        if self.targets not in TARGETS:
            near = did_you_mean(str(self.targets), TARGETS)
            raise ConfigError(f"targets '{self.targets}'{near}: choose {', '.join(TARGETS)}")
        if self.mobile < 0:
            raise ConfigError(f"mobile {self.mobile}: must not be negative")

    def _check_sampling(self) -> None:
        """Check what concerns batches and rates.

        Raises:
            ConfigError: a setting is out of its range.
        """
        if (
            not 0 <= self.real_share <= 1
            or not 0 < self.discount < 1
            or not 0 < self.target_rate <= 1
        ):
            raise ConfigError(
                "real_share must be in [0, 1], discount in (0, 1), target_rate in (0, 1]"
            )
        if self.episode_weighting not in WEIGHTINGS:
            near = did_you_mean(str(self.episode_weighting), WEIGHTINGS)
            raise ConfigError(
                f"episode_weighting '{self.episode_weighting}'{near}: "
                f"choose {', '.join(WEIGHTINGS)}"
            )
        if self.real_share > 0 and round(self.batch * self.real_share) == 0:
            raise ConfigError(
                f"real_share {self.real_share} of a batch of {self.batch} is no row at all: raise "
                "one of them, or set real_share to 0"
            )


def with_added(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in the record of a run, complete: a setting that did not exist yet has the value
    that trains as the run did, whatever the default is today.

    Args:
        recorded: all settings of their time, by name.
    """
    missing = {name: value for name, value in ADDED.items() if "." not in name}
    return {**missing, **recorded}
