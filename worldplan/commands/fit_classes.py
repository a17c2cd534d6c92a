"""Misspelt classes among the settings of `worldplan fit` beside the module's: callbacks, loggers,
optimizers and the like, by their class paths or by their names alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from worldplan.commands.fit_words import CONFIG, options_of
from worldplan.files import read_config
from worldplan.nearest import did_you_mean

_HOMES = {
    "trainer.callbacks": "lightning.pytorch.callbacks",
    "trainer.logger": "lightning.pytorch.loggers",
    "trainer.profiler": "lightning.pytorch.profilers",
    "trainer.strategy": "lightning.pytorch.strategies",
    "optimizer": "torch.optim",
    "lr_scheduler": "torch.optim.lr_scheduler",
}
"""The settings that are classes, and the module whose classes they take by name alone."""

_WORDS = {"trainer.logger": ("true", "false")}  # that the setting takes as well
_TEXTS = ("trainer.profiler", "trainer.strategy")  # a text there is another name, see fit_trainer


def class_paths(argv: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(where it stands, the setting, its class) of each class beside the module's.

    Args:
        argv: the subcommand and its options.
    """
    for name, value in options_of(argv):
        if name in CONFIG:
            settings = read_config(value)
            for setting in _HOMES:
                for path in _paths_in(_entry(settings, setting)):
                    yield f"{value}: ", setting, path
            continue
        setting = name.removeprefix("--").rstrip("+").removesuffix(".class_path")
        if setting in _HOMES and value:
            for path in _paths_in(_loaded(value)):
                yield "", setting, path


def unknown_short_name(setting: str, name: str) -> str:
    """What is wrong with the name of a class without its module; "" where the class exists.

    Args:
        setting: one of `_HOMES`.
        name: as it was written.
    """
    home = importlib.import_module(_HOMES[setting])
    known = [entry for entry in dir(home) if isinstance(getattr(home, entry), type)]
    if name in (*known, *_WORDS.get(setting, ())) or setting in _TEXTS:
        return ""
    near = did_you_mean(name, (*known, *_WORDS.get(setting, ())))
    return (
        f"{setting}: there is no class '{name}'{near}: give one of {_HOMES[setting]}, or the class "
        "path of your own, such as my_module.MyClass"
    )


def _entry(settings: Any, setting: str) -> Any:
    """The value of a dotted setting; None where there is none."""
    for key in setting.split("."):
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return settings


def _loaded(text: str) -> Any:
    """The value of an option, which may be a mapping or a list."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _paths_in(value: Any) -> Iterator[str]:
    """The class paths in the value of a setting: a text, a mapping with class_path, or several."""
    if isinstance(value, list):
        for entry in value:
            yield from _paths_in(entry)
    elif isinstance(value, Mapping):
        yield from _paths_in(value.get("class_path"))
    elif isinstance(value, str) and not value.endswith((".yaml", ".yml", ".json")):
        yield value
