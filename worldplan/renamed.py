"""Class paths and environment ids that configurations, run folders and checkpoints may hold from
before all modules moved into the package `worldplan`. A file that holds one is refused with the new
name, since Python would only report that there is no module of the old name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from worldplan.milp.errors import ConfigError

# Old text -> new text. A text that ends in a slash is the beginning of an environment id.
RENAMED = {
    "planners.modem_training.for_task": "worldplan.planners.modem.training.for_task",
    "planners.modem_training.ModemModule": "worldplan.planners.modem.training.ModemModule",
    "planners.reach_aware_training.for_dataset": "worldplan.planners.offline.training.for_dataset",
    "planners.reach_aware_training.for_plane": "worldplan.planners.offline.edge_of_reach.for_plane",
    "planners.reach_aware_training.ReachAwareModule": (
        "worldplan.planners.offline.training.ReachAwareModule"
    ),
    "planners.sequoia_training.for_programme": (
        "worldplan.planners.bandits.sequoia.training.for_programme"
    ),
    "planners.sequoia_training.SequoiaModule": (
        "worldplan.planners.bandits.sequoia.training.SequoiaModule"
    ),
    "world_models.ensemble_training.EnsembleModule": (
        "worldplan.world_models.ensemble.training.EnsembleModule"
    ),
    "world_models.ensemble_training.for_dataset": (
        "worldplan.world_models.ensemble.training.for_dataset"
    ),
    "envs.adroit:worldplan/": "worldplan.envs.adroit:worldplan/",
    "envs.crafting:worldplan/": "worldplan.envs.crafting:worldplan/",
    "envs.manipulation:worldplan/": "worldplan.envs.manipulation:worldplan/",
    "envs.metaworld:worldplan/": "worldplan.envs.isolated.metaworld:worldplan/",
    "envs.swing_up:worldplan/": "worldplan.envs.swing_up:worldplan/",
}
# Callbacks that configurations named; every training has a Journal now.
REMOVED = (
    "planners.sequoia_fit.SaveLast",
    "planners.training_journal.Journal",
    "world_models.ensemble_training.KeepEnsemble",
)
# an old text that is no part of a longer dotted path; an id with the name after its slash
_IDS = "|".join(re.escape(old) for old in RENAMED if old.endswith("/"))
_PATHS = "|".join(re.escape(old) for old in (*RENAMED, *REMOVED) if not old.endswith("/"))
_OLD = re.compile(rf"(?<![\w.])(?:(?P<start>{_IDS})[\w-]*|(?P<path>{_PATHS})(?!\w))")


def refuse_renamed(value: Any, source: object, remedy: str = "write the new name") -> None:
    """Raise ConfigError, with the new names, if an old name stands in a text of `value`.

    Args:
        value: settings out of mappings, sequences and scalars, or the words of a command line.
        source: where they come from, for the message: a file or "command line".
        remedy: what to do about it, for the message.

    Raises:
        ConfigError: an old name was found.
    """
    changes = []
    for key, text in _texts(value):
        for match in _OLD.finditer(text):
            old = match["start"] or match["path"]
            place = f" in {key}" if key else ""
            if old in REMOVED:
                changes.append(f"leave out the callback '{old}'{place}, which comes by itself")
            else:
                new = match[0].replace(old, RENAMED[old])
                changes.append(f"'{match[0]}'{place} is now '{new}'")
    if changes:
        raise ConfigError(f"{source}: from an older worldplan: {', '.join(changes)}: {remedy}")


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, text) of every text in nested mappings and sequences."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping | list | tuple):
        entries = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, entry in entries:
            yield from _texts(entry, f"{key}.{name}" if key else str(name))
