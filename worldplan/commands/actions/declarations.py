"""The declarations file of `worldplan actions learn`: what is known about actions and numbers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from worldplan.arguments import naming, parse_mapping
from worldplan.files import read_config
from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.numeric.noise import Noise
from worldplan.world_models.numeric.precision import Precision

SECTIONS = ("default", "actions", "precision", "noise")  # of a declarations file


def read_declarations(path: Path) -> tuple[dict[str, Declaration], Declaration]:
    """Declarations per action, and the default declaration, from a YAML file.

    The file has the form `default: {...}` and `actions: {name: {...}}`. What it declares about the
    numbers is read by `read_precision` and `read_noise`.

    Args:
        path: the file.

    Raises:
        ConfigError: the file is missing or has a wrong entry, which the message names.
    """
    config = read_config(path)
    if unknown := sorted(str(key) for key in config if key not in SECTIONS):
        near = did_you_mean(unknown[0], SECTIONS)
        raise ConfigError(
            f"{path}: '{unknown[0]}' is unknown{near}: give 'default' and 'actions', and for the "
            f"numbers {' and '.join(map(repr, SECTIONS[2:]))}"
        )
    actions = config.get("actions") or {}
    if not isinstance(actions, dict):
        raise ConfigError(f"{path}: 'actions' must map each action's name to its declaration")
    by_action = {
        str(name).lower(): _declaration(path, str(name), values) for name, values in actions.items()
    }
    return by_action, _declaration(path, "default", config.get("default") or {})


def read_precision(path: Path | None, decimals: int | None = None) -> Precision | None:
    """The declared precision of the numbers; None without one.

    The declarations file may have `precision: 0.01`, the step of all numbers, or a step for each
    function, `precision: {battery: 0.01, share: 1/3}`.

    Args:
        path: the declarations file, if any.
        decimals: decimals of the functions that the file gives no step for.

    Raises:
        ConfigError: a step or the number of decimals is wrong, or both are given for all numbers.
    """
    declared = (read_config(path) if path else {}).get("precision")
    with naming(f"{path}" if declared is not None else ""):
        if declared is not None and not isinstance(declared, dict):
            if decimals is not None:
                raise ConfigError(
                    f"'precision: {declared}' and --decimals {decimals} both set the step of all "
                    "numbers: give one of them, or a step for each function in the file"
                )
            return Precision(declared)
        steps = {str(name): step for name, step in (declared or {}).items()}
        if decimals is not None:
            return Precision.decimals(decimals, steps)
        return Precision(None, steps) if steps else None


def read_noise(path: Path | None, bound: float | None = None) -> Noise | None:
    """The declared bounds of the errors of the numbers; None without one.

    The declarations file may have `noise: 0.05`, the bound of all numbers, or a bound for each
    function, `noise: {battery: 0.05, distance: 0}`.

    Args:
        path: the declarations file, if any.
        bound: of the functions that the file gives no bound for.

    Raises:
        ConfigError: a bound is wrong, or two are given for all numbers.
    """
    declared = (read_config(path) if path else {}).get("noise")
    with naming(f"{path}" if declared is not None else ""):
        if declared is not None and not isinstance(declared, dict):
            if bound is not None:
                raise ConfigError(
                    f"'noise: {declared}' and --noise {bound} both set the bound of all numbers: "
                    "give one of them, or a bound for each function in the file"
                )
            return Noise(declared)
        bounds = {str(name): value for name, value in (declared or {}).items()}
        if bound is not None or bounds:
            value: Any = 0 if bound is None else bound
            return Noise(value, bounds)
        return None


def _declaration(path: Path, name: str, values: Any) -> Declaration:
    """One declaration.

    Raises:
        ConfigError: a setting is unknown or wrong.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: {name}: must hold settings such as 'preconditions: monotone'")
    with naming(f"{path}: {name}"):
        parse_mapping(_declaration_parser(), values)  # names and types; the class checks the rest
        return Declaration.from_dict(values)


@cache
def _declaration_parser() -> Any:
    """A parser that checks the names and types of a declaration's settings."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Declaration)
    return parser
