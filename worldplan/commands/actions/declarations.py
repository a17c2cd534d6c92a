"""The declarations file of `worldplan actions learn`: what is known about actions and numbers."""

from __future__ import annotations

from contextlib import AbstractContextManager
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

NUMBERS = ("precision", "noise")
SECTIONS = ("default", "actions", *NUMBERS)  # of a declarations file


def read_declarations(path: Path) -> tuple[dict[str, Declaration], Declaration]:
    """Declarations per action, and the default declaration, from a YAML file.

    Args:
        path: the file, see `DeclarationFile`; it declares nothing about the numbers.

    Raises:
        ConfigError: the file is missing or has a wrong entry, which the message names.
    """
    file = DeclarationFile(path)
    if file.precision() is not None or file.noise() is not None:
        raise ConfigError(
            f"{path}: {' and '.join(map(repr, NUMBERS))} are for logs, which worldplan actions "
            "learn reads: leave them out here"
        )
    return file.declarations()


class DeclarationFile:
    """A YAML file with what is known about actions and numbers; it is read once.

    It has the form `default: {...}` and `actions: {name: {...}}`. `precision: 0.01` is the step of
    all numbers, `precision: {battery: 0.01, share: 1/3}` the step of each function. In the same two
    forms, `noise` is the largest error of the numbers.

    Args:
        path: the file; None: nothing is known.

    Raises:
        ConfigError: the file is missing or has an unknown entry, which the message names.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._config = {} if path is None else read_config(path)
        if unknown := sorted(str(key) for key in self._config if key not in SECTIONS):
            near = did_you_mean(unknown[0], SECTIONS)
            raise ConfigError(
                f"{path}: '{unknown[0]}' is unknown{near}: give 'default' and 'actions', and for "
                f"the numbers {' and '.join(map(repr, NUMBERS))}"
            )

    def declarations(self) -> tuple[dict[str, Declaration], Declaration]:
        """Declarations per action, and the default declaration.

        Raises:
            ConfigError: an entry is wrong; the message names it.
        """
        actions = self._config.get("actions") or {}
        if not isinstance(actions, dict):
            raise ConfigError(
                f"{self.path}: 'actions' must map each action's name to its declaration"
            )
        by_action = {
            str(name).lower(): self._declaration(str(name), values)
            for name, values in actions.items()
        }
        return by_action, self._declaration("default", self._config.get("default") or {})

    def precision(self, decimals: int | None = None) -> Precision | None:
        """The declared precision of the numbers; None without one.

        Args:
            decimals: decimals of the functions that the file gives no step for.

        Raises:
            ConfigError: a step or the number of decimals is wrong, or both are given for all
                numbers.
        """
        with self._naming("precision"):
            option = None if decimals is None else f"--decimals {decimals}"
            step, steps = self._numbers("precision", option, "step")
            if decimals is not None:
                return Precision.decimals(decimals, steps)
            return None if step is None and not steps else Precision(step, steps)

    def noise(self, bound: float | None = None) -> Noise | None:
        """The declared bounds of the errors of the numbers; None without one.

        Args:
            bound: of the functions that the file gives no bound for.

        Raises:
            ConfigError: a bound is wrong, or two are given for all numbers.
        """
        with self._naming("noise"):
            option = None if bound is None else f"--noise {bound}"
            declared, bounds = self._numbers("noise", option, "bound")
            of_all: Any = declared if bound is None else bound
            if of_all is None and not bounds:
                return None
            return Noise(0 if of_all is None else of_all, bounds)

    def _naming(self, section: str) -> AbstractContextManager[None]:
        """Errors name the file if it has this section."""
        return naming("" if self._config.get(section) is None else str(self.path))

    def _numbers(self, section: str, option: str | None, what: str) -> tuple[Any, dict[str, Any]]:
        """What a section declares for all functions, and for each by name.

        Args:
            section: its name.
            option: the option that declares the same for all functions, as it was given.
            what: is declared, for the message.

        Raises:
            ConfigError: both the section and the option declare it for all functions.
        """
        declared = self._config.get(section)
        if declared is None or isinstance(declared, dict):
            return None, {str(name): value for name, value in (declared or {}).items()}
        if option is not None:
            raise ConfigError(
                f"'{section}: {declared}' and {option} both set the {what} of all numbers: give "
                f"one of them, or a {what} for each function in the file"
            )
        return declared, {}

    def _declaration(self, name: str, values: Any) -> Declaration:
        """One declaration.

        Raises:
            ConfigError: a setting is unknown or wrong.
        """
        if not isinstance(values, dict):
            raise ConfigError(
                f"{self.path}: {name}: must hold settings such as 'preconditions: monotone'"
            )
        with naming(f"{self.path}: {name}"):
            parse_mapping(_declaration_parser(), values)  # names and types; the class: the rest
            return Declaration.from_dict(values)


@cache
def _declaration_parser() -> Any:
    """A parser that checks the names and types of a declaration's settings."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Declaration)
    return parser
