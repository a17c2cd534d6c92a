"""The description of a study, several methods of value learning on one task over several seeds,
read from YAML with dotted overrides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from worldplan.arguments import (
    add_settings,
    command_parser,
    instantiate,
    naming,
    parse_mapping,
    parse_settings,
)
from worldplan.commands.studies.algorithms import algorithm_settings
from worldplan.commands.studies.method_task import (
    METHOD_TASK_KEYS,
    check_method_task,
    finetune_epochs,
    finetuning_of,
)
from worldplan.commands.studies.method_task import DatasetTask as DatasetTask
from worldplan.commands.studies.rows import Selection, StudyRow, crossed_row, take_selection
from worldplan.commands.studies.seeds import with_seed_range
from worldplan.envs.edge_of_reach import Plane
from worldplan.files import plain
from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean
from worldplan.planners.offline.model_free.learner import ModelFreeSettings
from worldplan.planners.offline.options.finetuning import Finetuning
from worldplan.planners.offline.oracle_patch import PATCHES
from worldplan.planners.offline.settings import ReachAwareSettings, with_added
from worldplan.settings_files import file_first

TASK_KEYS = ("patch", "true_share", "shares", "halt_quantile", *METHOD_TASK_KEYS)
MAX_REWARD = "max_reward"  # as a method's target_cap: the value ceiling of the data


@dataclass(frozen=True)
class Study:
    """Everything a study depends on.

    Args:
        methods: by name, what a method changes: settings of value learning, and "patch" (see
            `worldplan.planners.offline.oracle_patch`), "true_share", "shares" or "simulator" of its
            task, "finetune" and "finetuning" for further epochs that act in the environment.
            `target_cap: max_reward` stands for the value ceiling of the data. With "algorithm"
            (bc, td3_bc, rebrac, iql, riql or leq), settings of that method. On the command
            line: names, separated by commas, of the methods to run now.
        name: of the run folder.
        plane: the two-dimensional illustration as the task; give either this or `data`.
        data: a dataset as the task.
        settings: of value learning, common to all methods.
        true_share: share of the true dynamics in rollouts (see `dataset_task`).
        shares: several of them: every method is run at each, or at the "shares" of its own. On the
            command line: those to run now, separated by commas.
        seeds: independent trainings of each method.
        seed: of the first training; the others follow.
        epochs: of each training.
        check_every: epochs between two checks.
        save_every: epochs between two saved states.
        check_episodes: episodes of a check, per seed.
        episodes: episodes of the final evaluation, per seed.
        side_by_side: seeds that one process trains together in one batched network.
        accelerator: of the trainings: "cpu" or "gpu".

    Raises:
        ConfigError: a value is out of its range, or a method does not fit the task.
    """

    methods: dict[str, dict[str, Any]]
    name: str = "study"
    plane: Plane | None = None
    data: DatasetTask | None = None
    settings: ReachAwareSettings = field(default_factory=ReachAwareSettings)
    true_share: float = 0.0
    shares: tuple[float, ...] = ()
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
                f"epochs {self.epochs}: must be a multiple of check_every ({self.check_every}), so "
                "that the last epoch is checked"
            )
        if not self.methods:
            raise ConfigError("methods: give at least one, such as ten_critics: {critics: 10}")
        for method in self.methods:
            # jsonargparse does not check the keys of a run folder's mapping
            if not isinstance(method, str) or not re.fullmatch(r"[\w-][\w.-]*", method):
                raise ConfigError(
                    f"method '{method}': use letters, digits, '-', '_' and '.' only: it becomes a "
                    "folder"
                )
            changes: Any = self.methods[method]
            if not isinstance(changes, dict):
                raise ConfigError(
                    f"method '{method}' is {changes!r:.60}: give what it changes as 'name: value' "
                    "lines, or {}"
                )
            share = changes.get("true_share", 0.0)
            if not _is_share(share):
                raise ConfigError(
                    f"method '{method}': true_share {share!r:.60}: give a share from 0 to 1"
                )
        self._check_shares()
        for method in self.methods:
            self._check(method)
        names = [row.name for row in self.rows()]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ConfigError(
                f"two rows of the study have the name {min(doubled)}: rename one of the methods"
            )

    def _check(self, method: str) -> None:
        """Check a method against the task.

        Raises:
            ConfigError: they do not fit.
        """
        if "algorithm" in self.methods[method]:
            self._check_algorithm(method)
            return
        settings = self.method_settings(method)
        check_method_task(
            method, self.methods[method], self.data is not None, self.epochs, self.check_every
        )
        if self.patch(method) != "none" and self.plane is None:
            raise ConfigError(f"method '{method}': patch needs an oracle, which only the plane has")
        if self.plane is not None and self.caps_by_data(method):
            raise ConfigError(
                f"method '{method}': target_cap {MAX_REWARD} needs a dataset, which the plane has "
                "not: give a number"
            )
        self._check_halting(method, settings)
        if self.plane is not None and (
            settings.real_share > 0 or any(row.share for row in self._rows_of(method))
        ):
            raise ConfigError(
                f"method '{method}': the plane has no dataset and one dynamics: set real_share to "
                "0 and leave out true_share and shares"
            )

    def _check_halting(self, method: str, settings: ReachAwareSettings) -> None:
        """Check the quantile of a method that halts rollouts.

        Raises:
            ConfigError: it is out of range, has no data, or is given beside a threshold.
        """
        quantile = self.halt_quantile(method)
        if quantile is None:
            return
        if not _is_share(quantile) or quantile == 0:
            raise ConfigError(
                f"method '{method}': halt_quantile {quantile!r:.60}: give a share above 0 and at "
                "most 1, such as 0.995"
            )
        if self.data is None or self.data.dynamics is not None:
            raise ConfigError(
                f"method '{method}': halt_quantile is a quantile over a dataset in its ensemble: "
                "give pessimism.halt_above, a number, in its place"
            )
        if settings.pessimism.halt_above is not None:
            raise ConfigError(
                f"method '{method}': halt_quantile and pessimism.halt_above both give the "
                "threshold: leave one of them out"
            )

    def _check_algorithm(self, method: str) -> None:
        """Check a method that names an algorithm.

        Raises:
            ConfigError: the task has no dataset, or a setting is wrong.
        """
        if self.plane is not None:
            raise ConfigError(
                f"method '{method}': algorithm needs a dataset, which the plane has not: leave it "
                "out, or give data in the place of plane"
            )
        if wrong := [key for key in TASK_KEYS if key in self.methods[method]]:
            raise ConfigError(
                f"method '{method}': {', '.join(wrong)}: an algorithm learns from the dataset "
                "alone, or in the learned ensemble: leave it out"
            )
        algorithm = self.algorithm(method)
        assert algorithm is not None and self.data is not None
        if algorithm.NEEDS_MODEL and self.data.ensemble is None:
            raise ConfigError(
                f"method '{method}': the algorithm rolls out in a learned ensemble: set "
                "data.ensemble to a checkpoint of 'worldplan fit --config configs/ensemble/...'"
            )

    def _check_shares(self) -> None:
        """Check the shares that methods are crossed with.

        Raises:
            ConfigError: a share is out of range or repeated, or given in two ways.
        """
        places = {"shares": self.shares} | {
            f"method '{method}': shares": self.methods[method]["shares"]
            for method in self.methods
            if "shares" in self.methods[method]
        }
        for place, shares in places.items():
            if place != "shares" and not self.shares:
                raise ConfigError(
                    f"{place}: the study has no shares: give shares beside its methods too, or "
                    "true_share here"
                )
            if (
                not isinstance(shares, list | tuple)
                or not all(_is_share(share) for share in shares)
                or len({float(share) for share in shares}) < len(shares)
                or (place != "shares" and not shares)
            ):
                raise ConfigError(
                    f"{place} {shares!r:.60}: give different shares from 0 (learned dynamics) to 1 "
                    "(true dynamics), such as [0, 0.5, 1]"
                )
        doubled = [method for method in self.methods if "true_share" in self.methods[method]]
        if self.shares and (self.true_share or doubled):
            place = f"method '{doubled[0]}': " if doubled else ""
            raise ConfigError(f"{place}true_share: the study has shares: leave one of them out")

    def rows(self) -> list[StudyRow]:
        """The rows of the table, in the order in which they are run: every share of a method, then
        the next method.
        """
        return [row for method in self.methods for row in self._rows_of(method)]

    def _rows_of(self, method: str) -> list[StudyRow]:
        changes = self.methods[method]
        if (algorithm := self.algorithm(method)) is not None:
            share = 0.0 if algorithm.NEEDS_MODEL else None
            return [StudyRow(method, share, method)]
        if not self.shares:
            share = float(changes.get("true_share", self.true_share))
            return [StudyRow(method, share, method)]
        return [crossed_row(method, float(share)) for share in changes.get("shares", self.shares)]

    def method_settings(self, method: str) -> ReachAwareSettings:
        """The settings of value learning of one method: the common ones with its changes.

        Raises:
            ConfigError: the method has an unknown or wrong setting.
        """
        changes = {
            key: value for key, value in self.methods[method].items() if key not in TASK_KEYS
        }
        if self.caps_by_data(method):
            del changes["target_cap"]
        return _settings(method, plain(asdict(self.settings)), changes)

    def algorithm(self, method: str) -> ModelFreeSettings | None:
        """The settings of a method that names an algorithm; None for reach-aware value learning.

        Raises:
            ConfigError: the method has an unknown or wrong setting.
        """
        changes = self.methods[method]
        if "algorithm" not in changes:
            return None
        return algorithm_settings(method, changes, self.settings)

    def patch(self, method: str) -> str:
        """The targets of a method that the oracle replaces, a name in `PATCHES`.

        Raises:
            ConfigError: there is no such patch.
        """
        patch = str(self.methods[method].get("patch", "none"))
        if patch not in PATCHES:
            near = did_you_mean(patch, PATCHES)
            raise ConfigError(
                f"method '{method}': patch '{patch}'{near}: choose {', '.join(PATCHES)}"
            )
        return patch

    def halt_quantile(self, method: str) -> float | None:
        """The share of the data that halts no rollout of a method; None where it gives none."""
        quantile: float | None = self.methods[method].get("halt_quantile")
        return quantile

    def task_of(self, method: str) -> DatasetTask:
        """The dataset as the task of one method.

        Raises:
            ConfigError: the study has none.
        """
        if self.data is None:
            raise ConfigError("the plane is no dataset: give data in the place of plane")
        changes = self.methods[method]
        return replace(self.data, simulator=changes.get("simulator", self.data.simulator))

    def finetuning(self, method: str) -> tuple[int, Finetuning | None]:
        """The epochs of a method that act in the environment, and how.

        Raises:
            ConfigError: a number is wrong.
        """
        changes = self.methods[method]
        return finetune_epochs(method, changes), finetuning_of(method, changes)

    def caps_by_data(self, method: str) -> bool:
        """Whether the targets of a method are capped at the value ceiling of the data."""
        return bool(self.methods[method].get("target_cap") == MAX_REWARD)

    def to_dict(self) -> dict[str, Any]:
        """The study as a mapping of plain values, for the run folder."""
        mapping: dict[str, Any] = plain(asdict(self))
        return mapping


def _is_share(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1  # type: ignore[operator]  # a number


def _settings(method: str, common: dict[str, Any], changes: dict[str, Any]) -> ReachAwareSettings:
    """`common` with a method's changes; names and types are checked."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ReachAwareSettings)
    nested = {**common, **changes}
    if isinstance(changes.get("pessimism"), dict):
        nested["pessimism"] = {**common["pessimism"], **changes["pessimism"]}
    with naming(f"method '{method}'"):
        return instantiate(parser, parse_mapping(parser, nested), ReachAwareSettings)


def study_parser() -> Any:
    """The parser of `worldplan run`: a study file first, then `--a.b value` to override it."""
    parser = command_parser(
        "run", "Train every method of a study over its seeds, and write table, plots and report."
    )
    add_settings(parser, Study, "study")
    return parser


def parse_study(parser: Any, argv: Sequence[str]) -> tuple[Study, Selection, Any]:
    """The study, the part of it to run now, and the other options of a command line.

    Raises:
        ConfigError: something is wrong with it; one line that names the file.
    """
    selection, rest = take_selection(argv)
    arguments, file = file_first(parser, with_seed_range(rest), "study")
    with naming(file.name and str(file)):
        options = parse_settings(parser, arguments, Study)
        return instantiate(parser, options, Study), selection, options


def study_from_dict(config: dict[str, Any], source: Path) -> Study:
    """The study of a run, the inverse of `Study.to_dict`.

    Args:
        config: the mapping; keys that are no fields of a study are ignored.
        source: the file it was read from, for messages.

    Raises:
        ConfigError: the mapping is not that of a study.
    """
    parser = study_parser()
    fields = {key: value for key, value in config.items() if key in Study.__dataclass_fields__}
    if isinstance(recorded := fields.get("settings"), dict):
        fields["settings"] = with_added(recorded)
    with naming(str(source)):
        return instantiate(parser, parse_mapping(parser, fields), Study)
