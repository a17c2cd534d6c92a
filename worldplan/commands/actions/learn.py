"""`worldplan actions learn`: trajectories in, an exact model or a PDDL domain out, with the outcome
for each action.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from worldplan.arguments import naming
from worldplan.commands.actions.declarations import DeclarationFile
from worldplan.files import refuse_input_as_output, write_text
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.output.console import plain_console
from worldplan.output.progress import progress_bar
from worldplan.world_models.action_model.files import save_model
from worldplan.world_models.action_model.hypothesis_classes import SeenPoints, fluent_text
from worldplan.world_models.action_model.learner import ActionModelLearner, LearningReport
from worldplan.world_models.action_model.precision_advice import (
    PrecisionAdvice,
    advise_precision,
)
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.bounded import BoundedModel
from worldplan.world_models.numeric.domain import NumericAction, NumericModel
from worldplan.world_models.numeric.logs import read_file
from worldplan.world_models.numeric.noise import Noise
from worldplan.world_models.numeric.sources.log_files import trajectory_files
from worldplan.world_models.pddl.reading import read_vocabulary
from worldplan.world_models.pddl.writing import FACET_BUDGET, domain_text


def learn_command(options: Namespace) -> int:
    """Learn, write the model, and print the outcome for each action. Returns 0.

    Args:
        options: the parsed command line.

    Raises:
        ConfigError: an option or a declaration is wrong.
        DatasetError: a file is missing or malformed, or no action could be learned.
    """
    declared = DeclarationFile(options.declare)
    noise = declared.noise(options.noise)
    _check_output(options, noise)
    logs = trajectory_files(options.trajectories)
    refuse_input_as_output(options.output, options.domain, options.declare, *logs)
    vocabulary = read_vocabulary(options.domain)
    declarations, default = declared.declarations()
    for name in declarations:
        if name not in vocabulary.actions:
            raise ConfigError(
                f"{options.declare}: '{name}' is not an action of {options.domain}; it has "
                f"{', '.join(vocabulary.actions)}"
            )
    precision = declared.precision(options.decimals)
    with naming(str(options.declare or "")):
        learner = ActionModelLearner(
            vocabulary, declarations, default, precision=precision, noise=noise
        )
    count = _observe(learner, logs)
    learned, model, advice = _model_of(learner)
    entries = {name: _entry(model, name, advice) for name in vocabulary.actions}
    if not model.actions:
        reasons = "; ".join(
            f"{name}: {'; '.join(filter(None, (entry['excluded'], entry.get('rounding'))))}"
            for name, entry in entries.items()
        )
        raise DatasetError(f"no action could be learned from {count} trajectories: {reasons}")
    report: LearningReport = model.detail["report"]
    if isinstance(learned, BoundedModel):
        _add_errors(learned, entries)
    if options.output.suffix == ".json":
        save_model(learned, options.output)
    else:
        _export(model, options.output, options.budget or FACET_BUDGET, entries)
    if options.json:
        print(
            json.dumps(
                {
                    "model": str(options.output),
                    "trajectories": count,
                    "actions": entries,
                    "rounding": _rounding(learner),
                    "suggested_decimals": advice.decimals if advice else None,
                },
                indent=2,
            )
        )
    else:
        _print(options.output, count, entries)
        if learner.precision is not None:
            plain_console().print(learner.rounding.text(), soft_wrap=True)
        if advice and advice.decimals is not None:
            plain_console().print(advice.summary(), soft_wrap=True)
    if unseen := [name for name in vocabulary.actions if not report.observations[name]]:
        print(
            f"worldplan: warning: never observed, so not in the model: {', '.join(unseen)}",
            file=sys.stderr,
        )
    return 0


def _check_output(options: Namespace, noise: Noise | None) -> None:
    """Check the kind of output and what belongs to it.

    Raises:
        ConfigError: they do not fit.
    """
    if options.output.suffix not in (".json", ".pddl"):
        raise ConfigError(
            f"-o {options.output}: end it in .json (the exact model) or .pddl (a domain for other "
            "planners)"
        )
    if options.budget is not None and (options.output.suffix != ".pddl" or options.budget < 1):
        raise ConfigError(
            f"--budget {options.budget}: a number of half-spaces from 1, for a .pddl output only"
        )
    if noise is not None and options.output.suffix != ".json":
        raise ConfigError(
            f"-o {options.output}: a model with noise bounds is no PDDL domain: end it in .json"
        )


def _model_of(
    learner: ActionModelLearner,
) -> tuple[NumericModel | BoundedModel, NumericModel, PrecisionAdvice | None]:
    """The learned model, its actions, and what a declared precision would mend."""
    if learner.noise is None:
        model = learner.model()
        return model, model, advise_precision(learner)
    bounded = learner.bounded_model()
    return bounded, bounded.model, None


def _observe(learner: ActionModelLearner, files: Sequence[Path]) -> int:
    """Read all files under a progress bar and add them; returns the number of trajectories."""
    count = 0
    with progress_bar() as bar:
        task = bar.add_task("", total=len(files))
        for file in files:
            bar.update(task, description=f"learning from {file.name}")
            trajectories = read_file(file, learner.vocabulary)
            learner.observe_all(trajectories)
            count += len(trajectories)
            bar.advance(task)
    return count


def _add_errors(bounded: BoundedModel, entries: Mapping[str, dict[str, Any]]) -> None:
    """Add to the outcome of each action the certified errors of its effects."""
    for name, errors in bounded.errors.items():
        parameters = bounded.vocabulary.actions[name]
        entries[name]["errors"] = {
            fluent_text(fluent, parameters): [float(low), float(high)]
            for fluent, (low, high) in errors.items()
        }


def _rounding(learner: ActionModelLearner) -> dict[str, Any] | None:
    """What the declared precision changed, as plain values."""
    rounding = learner.rounding
    return (
        None
        if learner.precision is None
        else {
            "numbers": rounding.numbers,
            "changed": rounding.changed,
            "largest": float(rounding.largest),
            "fluent": " ".join(rounding.fluent),
        }
    )


def _entry(model: NumericModel, name: str, advice: PrecisionAdvice | None) -> dict[str, Any]:
    """The outcome for an action, as plain values."""
    report: LearningReport = model.detail["report"]
    entry: dict[str, Any] = {
        "learned": name in model.actions,
        "observations": report.observations[name],
        "skipped": report.skipped.get(name, 0),
        "points": _points(model.actions[name]) if name in model.actions else 0,
    }
    for kind in ("excluded", "refuted"):
        if reason := getattr(report, kind).get(name):
            entry[kind] = reason
    if advice and (text := advice.texts().get(name)):
        entry["rounding"] = text
    return entry


def _points(action: NumericAction) -> int:
    """The number of points that span the largest region of an action."""
    return max(
        (
            len(region.shape.points)
            for region in action.regions
            if isinstance(region.shape, (Polyhedron, SeenPoints))
        ),
        default=0,
    )


def _export(
    model: NumericModel, path: Path, budget: int, entries: Mapping[str, dict[str, Any]]
) -> None:
    """Write the model as a domain, and add to `entries` how exact each action is."""
    domain = domain_text(model, facet_budget=budget)
    write_text(path, domain.text)
    for name, action in model.actions.items():
        entries[name] |= {
            "exact": name not in domain.narrowed,
            "half_spaces": _half_spaces(action, budget),
        }


def _half_spaces(action: NumericAction, budget: int) -> int:
    """Number of equations and inequalities of an action's regions."""
    total = 0
    for region in action.regions:
        if isinstance(region.shape, Polyhedron):
            half_spaces = region.shape.half_spaces(budget)
            total += len(half_spaces.equalities) + len(half_spaces.inequalities)
    return total


def _print(path: Path, count: int, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """The table of outcomes."""
    exported = path.suffix == ".pddl"
    table = Table(title=f"{count} trajectories")
    for column in (
        "action",
        "observations",
        "points",
        *(["half-spaces", "region"] if exported else []),
        "note",
    ):
        table.add_column(
            column,
            justify="right" if column in ("observations", "points", "half-spaces") else "left",
        )
    for name, entry in entries.items():
        cells = [name, str(entry["observations"]), str(entry["points"]) if entry["learned"] else ""]
        if exported:
            cells += (
                [str(entry["half_spaces"]), "exact" if entry["exact"] else "inner approximation"]
                if entry["learned"]
                else ["", ""]
            )
        table.add_row(*cells, _note(entry))
    console = plain_console()
    console.print(table)
    console.print(
        (
            f"{sum(entry['learned'] for entry in entries.values())} of {len(entries)} actions "
            f"learned, written to {path}"
        ),
        soft_wrap=True,
    )


def _note(entry: Mapping[str, Any]) -> str:
    """What a user should know about an action."""
    notes = [f"not learned: {entry['excluded']}"] if "excluded" in entry else []
    notes += [f"weaker class used: {entry['refuted']}"] if "refuted" in entry else []
    notes += [
        f"({name}) within {low:+.3g} and {high:+.3g} of the effect"
        for name, (low, high) in entry.get("errors", {}).items()
    ]
    notes += [entry["rounding"]] if "rounding" in entry else []
    notes += [f"{entry['skipped']} transitions without information"] if entry["skipped"] else []
    return "; ".join(notes)
