"""A study: several methods of value learning on one task over several seeds; read from YAML with
dotted overrides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from worldplan.arguments import file_first, naming
from worldplan.envs.edge_of_reach import Plane
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.agent import ReachAwareSettings
from worldplan.planners.offline.oracle_patch import PATCHES
from worldplan.runs import plain

TASK_KEYS = ("patch", "true_share")


@dataclass(frozen=True)
class DatasetTask:
    """Where the data of a study come from; the arguments are those of
    `worldplan.planners.offline.task.dataset_task`.
    """

    dataset: str
    environment: str | None = None
    ensemble: str | None = None
    termination: str | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Study:
    """Everything a study depends on.

    Args:
        methods: by name: the settings in which a method differs from `settings`, and of its task
            ("patch", "true_share").
        name: of the run folder.
        plane: the two-dimensional illustration as the task, or
        data: a dataset as the task.
        settings: of value learning, common to all methods.
        true_share: of the true dynamics in rollouts (see `dataset_task`).
        seeds: independent trainings of each method.
        seed: of the first one.
        epochs: of training.
        check_every: epochs between two checks.
        save_every: epochs between two saved states.
        check_episodes: per check and seed.
        episodes: per seed, for the final figures.
        side_by_side: seeds that one process trains together in one batched network.
        accelerator: of the trainings: "cpu" or "gpu".
    """

    methods: dict[str, dict[str, Any]]
    name: str = "study"
    plane: Plane | None = None
    data: DatasetTask | None = None
    settings: ReachAwareSettings = field(default_factory=ReachAwareSettings)
    true_share: float = 0.0
    seeds: int = 5
    seed: int = 0
    epochs: int = 100
    check_every: int = 10
    save_every: int = 10
    check_episodes: int = 20
    episodes: int = 50
    side_by_side: int = 5
    accelerator: str = "cpu"

    def __post_init__(self) -> None:
        if (self.plane is None) == (self.data is None):
            raise ConfigError("a study needs one task: give either plane or data")
        for name in (
            "seeds",
            "epochs",
            "check_every",
            "save_every",
            "check_episodes",
            "episodes",
            "side_by_side",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}: must be at least 1")
        if self.epochs % self.check_every:
            raise ConfigError(
                f"epochs {self.epochs}: must be a multiple of check_every ({self.check_every}), so that the last epoch is checked"
            )
        if not self.methods:
            raise ConfigError(
                "methods: give at least one, such as base: {critics: 2, diversity: 0}"
            )
        for method in self.methods:
            if not re.fullmatch(r"[\w-][\w.-]*", method):
                raise ConfigError(
                    f"method '{method}': use letters, digits, '-', '_' and '.' only: it becomes a folder"
                )
            self._check(method)

    def _check(self, method: str) -> None:
        settings = self.method_settings(method)
        if self.patch(method) != "none" and self.plane is None:
            raise ConfigError(f"method '{method}': patch needs an oracle, which only the plane has")
        if self.plane is not None and (settings.real_share > 0 or self.share(method) > 0):
            raise ConfigError(
                f"method '{method}': the plane has no dataset and one dynamics: set real_share to 0 and leave out true_share"
            )

    def method_settings(self, method: str) -> ReachAwareSettings:
        """The settings of one method. Raises ConfigError."""
        return _settings(
            method,
            plain(asdict(self.settings)),
            {k: v for k, v in self.methods[method].items() if k not in TASK_KEYS},
        )

    def patch(self, method: str) -> str:
        """Which targets the oracle replaces. Raises ConfigError."""
        patch = str(self.methods[method].get("patch", "none"))
        if patch not in PATCHES:
            raise ConfigError(f"method '{method}': patch '{patch}': choose {', '.join(PATCHES)}")
        return patch

    def share(self, method: str) -> float:
        """Share of the true dynamics in the method's rollouts."""
        return float(self.methods[method].get("true_share", self.true_share))

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping, for the run folder."""
        return plain(asdict(self))


def _settings(method: str, common: dict[str, Any], changes: dict[str, Any]) -> ReachAwareSettings:
    """`common` with a method's changes, checked name by name."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ReachAwareSettings)
    nested = {**common, **changes}
    if isinstance(changes.get("pessimism"), dict):
        nested["pessimism"] = {**common["pessimism"], **changes["pessimism"]}
    with naming(f"method '{method}'"):
        made = parser.instantiate(parser.parse_object(nested))
        return ReachAwareSettings(
            **{name: made[name] for name in ReachAwareSettings.__dataclass_fields__}
        )


def study_parser() -> Any:
    """Parser of `worldplan run`: the file comes first, `--a.b value` overrides it."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog="worldplan run",
        description="Train every method of a study over its seeds, and write table, plots and report.",
        exit_on_error=False,
    )
    parser.add_argument(
        "--config", action="config", help="study file (the first argument is taken as this)"
    )
    parser.add_class_arguments(Study)
    return parser


def parse_study(parser: Any, argv: Sequence[str]) -> tuple[Study, Any]:
    """The study and the command's other options. Raises ConfigError in one line that names the
    file.
    """
    arguments, file = file_first(argv)
    with naming(file.name and str(file)):
        options = parser.parse_args(arguments)
        made = parser.instantiate(options)
        return Study(**{name: made[name] for name in Study.__dataclass_fields__}), options


def study_from_dict(config: dict[str, Any], source: Path) -> Study:
    """Back from `Study.to_dict`, read from the file `source`."""
    parser = study_parser()
    with naming(str(source)):
        made = parser.instantiate(
            parser.parse_object(
                {k: v for k, v in config.items() if k in Study.__dataclass_fields__}
            )
        )
        return Study(**{name: made[name] for name in Study.__dataclass_fields__})
