"""The description of a tuning: a study of one method, a search space over its settings, and how
trials are scored.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from worldplan.arguments import (
    add_settings,
    command_parser,
    instantiate,
    naming,
    parse_settings,
)
from worldplan.commands.studies.seeds import with_seed_range
from worldplan.commands.studies.study import Study
from worldplan.commands.tuning.space import Choice, Parameter, nested, read_space
from worldplan.files import plain
from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean
from worldplan.planners.offline.estimation.fitted_q import FittedQSettings
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.settings_files import file_first

SCORES = {
    "environment": "mean return of the policies in the environment",
    "fqe": "fitted Q evaluation: discounted value at the data's first states, without time limit",
    "model": "mean return of the policies in a held-out ensemble, over the task's time limit",
}
SAMPLERS = ("tpe", "random")
PRUNERS = ("none", "median", "hyperband")
_TRIED = 24  # combinations of the other settings with which a value is tried


@dataclass(frozen=True)
class Tuning(Study):
    """Everything a tuning depends on: what a study does, and

    Args:
        methods: one method, from whose settings the search departs; {} by default.
        name: of the run folder, and of the trials in a shared storage.
        search: from setting to its values: a list, or {low, high} with log or step.
        trials: in total; those before an interruption count.
        score: what is maximised: "environment", "fqe" or "model".
        sampler: "tpe" (Bayesian optimisation) or "random".
        pruner: "none"; "median" or "hyperband" end trials early whose checks are bad.
        storage: of the trials: None for a journal file in the run folder; the path of a journal
            file; or a URL: sqlite:///FILE, postgresql://.., mysql://.., redis://.. .
        score_data: dataset of the scores "fqe" and "model"; None: that of the training.
        score_ensemble: checkpoint of the ensemble of the score "model".
        fitted_q: settings of the score "fqe".

    Raises:
        ConfigError: a value is out of its range, a searched value does not fit, or the task does
            not allow the score.
    """

    methods: dict[str, dict[str, Any]] = field(default_factory=lambda: {"base": {}})
    name: str = "tuning"
    search: dict[str, Any] = field(default_factory=dict)
    trials: int = 20
    score: str = "environment"
    sampler: str = "tpe"
    pruner: str = "none"
    storage: str | None = None
    score_data: str | None = None
    score_ensemble: str | None = None
    fitted_q: FittedQSettings = field(default_factory=FittedQSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.methods) != 1:
            raise ConfigError(
                f"a tuning departs from one method, this study has {', '.join(self.methods)}: "
                "leave the others out"
            )
        for name, allowed in (("score", SCORES), ("sampler", SAMPLERS), ("pruner", PRUNERS)):
            if getattr(self, name) not in allowed:
                value = getattr(self, name)
                near = did_you_mean(str(value), allowed)
                raise ConfigError(f"{name} '{value}'{near}: choose {', '.join(allowed)}")
        if self.shares:
            raise ConfigError("shares: a tuning has one share: leave shares out, set true_share")
        if self.trials < 1:
            raise ConfigError(f"trials {self.trials}: must be at least 1")
        if self.storage is not None and not self.storage.strip():
            raise ConfigError("storage is empty: give a path or URL, or leave it out")
        self._check_score()
        _check_values(self)

    def _check_score(self) -> None:
        """Check that the task allows the score.

        Raises:
            ConfigError: it does not.
        """
        if self.score != "environment" and self.data is None:
            raise ConfigError(
                f"score '{self.score}' needs a dataset, and the plane has none: choose environment"
            )
        if self.score == "model" and self.score_ensemble is None:
            raise ConfigError(
                "score 'model' needs an ensemble of other data than the training's: train one with "
                "'worldplan fit --config configs/ensemble/..', and set score_ensemble to its "
                "ensemble.ckpt"
            )
        unused = {
            "score_data": self.score == "environment" and self.score_data,
            "score_ensemble": self.score != "model" and self.score_ensemble,
        }
        for name, given in unused.items():
            if given:
                raise ConfigError(f"{name}: the score '{self.score}' does not use it: leave it out")

    @property
    def space(self) -> list[Parameter]:
        """The parameters of the search.

        Raises:
            ConfigError: see `read_space`.
        """
        algorithm = self.algorithm(self.method)
        return read_space(self.search, ReachAwareSettings if algorithm is None else type(algorithm))

    @property
    def method(self) -> str:
        """The name of the method from which the search departs."""
        return next(iter(self.methods))

    def task_studies(self) -> list[Study]:
        """A study for every task that trials may have: one for each ensemble that is searched."""
        named = [p for p in self.space if p.name in ("true_share", "data.ensemble")]
        values = itertools.product(*(parameter.ends() for parameter in named))
        chosen = [dict(zip((p.name for p in named), row, strict=True)) for row in values]
        return [study for fixed in chosen if (study := _fitting(self, fixed)) is not None]

    def trial_study(self, changes: Mapping[str, Any]) -> Study:
        """The study of one trial: the method with `changes`, all seeds side by side.

        Args:
            changes: dotted settings and their values.

        Raises:
            ConfigError: they do not fit each other.
        """
        method = dict(self.methods[self.method])
        study: dict[str, Any] = {
            entry.name: getattr(self, entry.name) for entry in fields(Study) if entry.init
        }
        for name, value in nested(changes).items():
            if name == "epochs":
                study["epochs"] = value
            elif name == "data":
                if self.data is None:
                    raise ConfigError("search: the plane has no data: leave data.ensemble out")
                study["data"] = replace(self.data, **value)
            elif isinstance(value, dict):
                common = plain(asdict(self.settings)).get(name) or {}
                method[name] = {**common, **(method.get(name) or {}), **value}
            else:
                method[name] = value
        return Study(**study | {"methods": {self.method: method}, "side_by_side": self.seeds})


def _check_values(tuning: Tuning) -> None:
    """Check that every searched value fits, together with some values of the other settings.

    Raises:
        ConfigError: a value fits with none of them.
    """
    for parameter in tuning.space:
        for value in parameter.ends():
            if _fitting(tuning, {parameter.name: value}) is not None:
                continue
            first = {p.name: p.ends()[0] for p in tuning.space} | {parameter.name: value}
            try:
                tuning.trial_study(first)
            except ConfigError as error:
                text = str(error).removeprefix(f"method '{tuning.method}': ")
                raise ConfigError(
                    f"search.{parameter.name}: {value!r:.60} does not fit: {text}"
                ) from error


def _fitting(tuning: Tuning, fixed: Mapping[str, Any]) -> Study | None:
    """A study with the `fixed` settings, and values of all others that fit them: the first, the
    last or random ones; None where none of these fit.
    """
    generator = random.Random(0)
    space = tuning.space
    tried = [{p.name: p.ends()[place] for p in space} for place in (0, -1)]
    tried += [{p.name: generator.choice(p.ends()) for p in space} for _ in range(_TRIED)]
    for combination in tried:
        try:
            return tuning.trial_study({**combination, **fixed})
        except ConfigError:
            continue
    return None


def tuning_parser() -> Any:
    """The parser of `worldplan tune`: a tuning file first, then `--a.b value` to override it."""
    parser = command_parser(
        "tune",
        "Search the settings of a method of value learning: table, plots, report, best.yaml.",
    )
    add_settings(parser, Tuning, "tuning")
    return parser


def parse_tuning(parser: Any, argv: Sequence[str]) -> tuple[Tuning, Any]:
    """The tuning and the other options of a command line.

    Raises:
        ConfigError: something is wrong with it; one line that names the file.
    """
    arguments, file = file_first(parser, with_seed_range(argv), "tuning")
    with naming(file.name and str(file)):
        options = parse_settings(parser, arguments, Tuning)
        return instantiate(parser, options, Tuning), options


def value_of(parameter: Parameter, stored: Any) -> Any:
    """The value of a setting from what a storage holds of it, the label of a choice."""
    if isinstance(parameter, Choice):
        return parameter.options[parameter.labels().index(stored)]
    return stored
