"""The settings of a RAMP run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields
from worldplan.nearest import did_you_mean
from worldplan.world_models.action_model.hypothesis_classes import Declaration

CHOICES = {
    "schedule": ("eager", "published"),
    "plan_data": ("imitation", "on_policy"),
    "masks": ("none", "failed", "model"),
    "explorer": ("curious", "informative"),
}

EXPLORERS: Mapping[str, Mapping[str, Any]] = {  # `RampSettings.exploring`
    "policy": {"optimism": False, "curiosity": 0.0, "patience": 0},
    "optimistic": {},
    "informative": {"optimism": False, "explorer": "informative"},
    "combined": {"explorer": "informative"},
}


RANGES: tuple[tuple[str, float, float | None], ...] = (  # least and most
    ("gamma", 0, 1),
    ("gae_lambda", 0, 1),
    ("ent_coef", 0, None),
    ("vf_coef", 0, None),
    ("max_grad_norm", 1e-9, None),
    ("clip_range", 1e-9, None),
    ("imitation_weight", 0, None),
    ("memory_limit_mb", 1, None),
)


@dataclass(frozen=True)
class RampSettings:
    """How RAMP acts, learns and plans. `paper()` gives the published method (arXiv 2502.13006 and
    its public code).

    Args:
        net: hidden layer widths of the policy network and of the value network (tanh).
        learning_rate: of PPO and of imitation (Adam).
        gamma: discount factor.
        gae_lambda: of generalised advantage estimation.
        ent_coef: weight of the entropy bonus in the PPO loss.
        vf_coef: weight of the value loss in the PPO loss.
        max_grad_norm: gradients are clipped to this norm.
        clip_range: of PPO's probability ratio.
        epochs: passes over the steps per PPO update.
        rollout: policy steps between two updates; in the published runs, the episode limit.
        declarations: hypothesis classes of single actions, by name.
        default: the declaration of all other actions; NSAM by default.
        method: of `worldplan.planners.numeric.search.search.search_plan`.
        time_limit: seconds per search.
        memory_limit_mb: memory of the whole process during a search.
        similar: number of objects kept of each set of interchangeable ones when planning. If that
            gives no plan and the goal was never reached on the map, all objects are used.
        schedule: "eager": search before every episode if something changed, and during episodes
            while the goal was not reached on the map. "published": plan and policy episodes
            alternate, with no search before the goal was reached on any map, and observed
            trajectories are shortened.
        optimism: whether plans of the optimistic model are tried where there is no (shorter) safe
            plan; "eager" only.
        shortest_possible: if the best plan has at most this many steps, no shorter one is searched.
        plan_data: "imitation": planned steps do not train PPO, but the best trajectory of each map
            is imitated. "on_policy": planned steps train PPO as if the policy had drawn them
            (published).
        imitation_weight: weight of the cross-entropy.
        imitation_epochs: passes over the demonstrated steps per update.
        masks: "none". "failed": an action that changed nothing is masked in the same state.
            "model": it is masked wherever its view is the same; an action declared monotone also
            where its view has less of a resource.
        curiosity: probability with which a policy step is drawn by `explorer` instead of the
            policy. PPO's ratio refers to the mixture.
        explorer: "curious": the least tried views. "informative": the actions whose outcome tells
            most about a precondition (applicable or not is not known yet), and plans to such.
        patience: a policy episode is abandoned after this many steps without a new view, unless the
            map is settled; 0: never.
        decimals: the numbers of the environment's states are rounded to so many decimals, for
            environments that compute in floating point; None: they are taken as they are.
        train_when_settled: whether the remaining budget of a settled map is used to train the
            policy. With `optimism`, a map is settled if its goal was reached and neither the safe
            nor the optimistic model has a shorter plan.

    Raises:
        ConfigError: an unknown choice, or a number out of range.
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
    decimals: int | None = None
    explorer: Literal["curious", "informative"] = "curious"

    def __post_init__(self) -> None:
        check_fields(self)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                near = did_you_mean(str(getattr(self, name)), choices)
                raise ConfigError(
                    f"{name}: '{getattr(self, name)}' is unknown{near}: use {', '.join(choices)}"
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
        if self.decimals is not None and self.decimals < 0:
            raise ConfigError(f"decimals: {self.decimals} is too small: give at least 0, or None")
        if not 0 <= self.curiosity <= 1:
            raise ConfigError(f"curiosity: {self.curiosity} is a probability: give 0 to 1")
        if self.time_limit <= 0 or self.learning_rate <= 0:
            raise ConfigError("time_limit and learning_rate must be above 0")
        if not self.net or min(self.net) < 1:
            raise ConfigError(f"net: {self.net} needs at least one layer of at least one unit")
        for name, low, high in RANGES:
            checks.number(getattr(self, name), name, least=low, most=high)
        if self.schedule == "published" and self.optimism:
            raise ConfigError(
                "optimism: the published schedule executes validated plans only: set it to False"
            )

    @property
    def plans_exploration(self) -> bool:
        """Whether ways to untried actions are planned."""
        return self.optimism or self.explorer == "informative"

    @staticmethod
    def paper(**changes: Any) -> RampSettings:
        """The published method: NSAM, alternating episodes, planned steps in the PPO buffer, masks
        of failed actions, 300 s per search.

        Three differences remain: worldplan's search replaces Metric-FF, exact arithmetic replaces
        tolerances, and trajectories are shortened by repeated application of the published rules.
        `shortest_possible` is 5, as published for the pogo stick; for the sword it is 2.

        Args:
            changes: settings that replace those of the method.

        Raises:
            ConfigError: an unknown choice, or a number out of range.
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

    @staticmethod
    def exploring(explorer: str, **changes: Any) -> RampSettings:
        """The settings of an explorer.

        Args:
            explorer: "policy": what PPO draws, and safe plans. "optimistic": also plans of the
                optimistic model and the least tried views (the default). "informative": also the
                most informative actions and safe ways to them, no optimistic plans. "combined":
                the last two together.
            changes: settings that replace those of the explorer.

        Raises:
            ConfigError: an unknown explorer or choice, or a number out of range.
        """
        if explorer not in EXPLORERS:
            near = did_you_mean(explorer, EXPLORERS)
            raise ConfigError(
                f"explorer: '{explorer}' is unknown{near}: use {', '.join(EXPLORERS)}"
            )
        return RampSettings(**{**EXPLORERS[explorer], **changes})

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary of plain values."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> RampSettings:
        """Settings from plain lists and mappings, such as those of a YAML or JSON file.

        Raises:
            ConfigError: an unknown name or choice, or a number out of range.
        """
        values = dict(values)
        names = [each.name for each in fields(RampSettings)]
        unknown = set(values) - set(names)
        if unknown:
            raise ConfigError(
                f"RAMP settings {', '.join(sorted(unknown))} are unknown; "
                f"known are {', '.join(names)}"
            )
        if "net" in values:
            values["net"] = tuple(values["net"])
        if "default" in values:
            values["default"] = Declaration.from_dict(values["default"])
        if "declarations" in values:
            values["declarations"] = {
                name: Declaration.from_dict(declaration)
                for name, declaration in values["declarations"].items()
            }
        return RampSettings(**values)
