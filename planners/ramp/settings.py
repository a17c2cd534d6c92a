"""Every number of a RAMP run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from worldplan.milp.errors import ConfigError
from worldplan.world_models.action_model.hypothesis_classes import Declaration

CHOICES = {
    "schedule": ("eager", "published"),
    "plan_data": ("imitation", "on_policy"),
    "masks": ("none", "failed", "model"),
}


@dataclass(frozen=True)
class RampSettings:
    """How RAMP acts, learns and plans; `paper()` has what was published (arXiv 2502.13006 and its
    public code).

    Args:
        net: hidden layer widths of policy and value network (tanh).
        learning_rate, gamma, gae_lambda, ent_coef, vf_coef, max_grad_norm, clip_range, epochs: of
            PPO.
        rollout: policy steps between two updates; the published runs take the episode limit.
        declarations: what is known about single actions' numbers, by action.
        default: the declaration of all other actions; NSAM by default.
        method: of `numeric_search.search`.
        time_limit: seconds per search.
        memory_limit_mb: of the whole process while it searches.
        similar: objects kept of each set of interchangeable ones when planning; all of them are
            tried where no plan is found.
        schedule: "eager": plan before every episode when there is news, and on the way while the
            map is unsolved; "published": plan and policy episodes take turns, no plan before the
            first success anywhere, observed trajectories are shortened.
        optimism: where no safe plan is (shorter), try plans of the boldest guess that fits all that
            was seen (eager only).
        shortest_possible: a plan of so few steps is not improved on.
        plan_data: "imitation": planned steps never count as the policy's; the best trajectory of
            each map is imitated; "on_policy": they are used as if the policy had drawn them
            (published).
        imitation_weight: of the cross-entropy.
        imitation_epochs: passes over the imitated steps per update.
        masks: "none"; "failed": an action that changed nothing is masked in that very state;
            "model": it is masked wherever it looks the same to the action, and a declared monotone
            action also with fewer resources.
        curiosity: probability that a policy step is drawn from the least tried views instead (PPO's
            ratio is taken to the mixture).
        patience: steps without any new view after which a policy episode of an unsettled map is
            abandoned; 0: never.
        train_when_settled: whether the steps of a map on which no shorter plan is believed in go on
            training the policy.
    """

    net: tuple[int, ...] = (64, 64)
    learning_rate: float = 3e-4
    gamma: float = 0.999
    gae_lambda: float = 0.95
    ent_coef: float = 0.01
    vf_coef: float = 0.65
    max_grad_norm: float = 1.0
    clip_range: float = 0.2
    epochs: int = 10
    rollout: int = 1500
    declarations: Mapping[str, Declaration] = field(default_factory=dict)
    default: Declaration = Declaration()
    method: str = "auto"
    time_limit: float = 10.0
    memory_limit_mb: int = 4096
    similar: int = 4
    schedule: Literal["eager", "published"] = "eager"
    optimism: bool = True
    shortest_possible: int = 0
    plan_data: Literal["imitation", "on_policy"] = "imitation"
    imitation_weight: float = 1.0
    imitation_epochs: int = 20
    masks: Literal["none", "failed", "model"] = "model"
    curiosity: float = 0.8
    patience: int = 20
    train_when_settled: bool = False

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name}: '{getattr(self, name)}' is unknown: use {', '.join(known)}"
                )
        for name, least in (
            ("rollout", 2),
            ("epochs", 1),
            ("similar", 1),
            ("imitation_epochs", 0),
            ("patience", 0),
            ("shortest_possible", 0),
        ):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"{name}: {getattr(self, name)} is too small: give at least {least}"
                )
        if not 0 <= self.curiosity <= 1:
            raise ConfigError(f"curiosity: {self.curiosity} is a probability: give 0 to 1")
        if self.time_limit <= 0 or self.learning_rate <= 0:
            raise ConfigError("time_limit and learning_rate must be above 0")
        if self.schedule == "published" and self.optimism:
            raise ConfigError(
                "optimism: the published schedule executes validated plans only: set it to False"
            )

    @staticmethod
    def paper(**changes: Any) -> RampSettings:
        """The published method: NSAM, alternating episodes, planned steps in the PPO buffer, masks
        of failed actions, 300 s per plan.

        What differs: our search stands for Metric-FF and exact arithmetic for tolerances, and where
        a trajectory is shortened, all that follows from the published rules is done. 5 steps are
        the published bound for the pogo stick; the sword has 2.
        """
        published = {
            "schedule": "published",
            "plan_data": "on_policy",
            "masks": "failed",
            "optimism": False,
            "curiosity": 0.0,
            "patience": 0,
            "shortest_possible": 5,
            "time_limit": 300.0,
            "train_when_settled": True,
        }
        return RampSettings(**{**published, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> RampSettings:
        """From plain lists and mappings, as a YAML or JSON file gives them. Raises ConfigError."""
        values = dict(values)
        unknown = set(values) - {one.name for one in fields(RampSettings)}
        if unknown:
            raise ConfigError(
                f"RAMP settings {', '.join(sorted(unknown))} are unknown; known are {', '.join(one.name for one in fields(RampSettings))}"
            )
        if "net" in values:
            values["net"] = tuple(values["net"])
        if "default" in values:
            values["default"] = Declaration.from_dict(values["default"])
        if "declarations" in values:
            values["declarations"] = {
                name: Declaration.from_dict(one) for name, one in values["declarations"].items()
            }
        return RampSettings(**values)
