"""Where `worldplan data collect` stands with its dataset: missing, finished, or shorter than asked
for; and what is kept where a command stops.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.drafts import Place
from worldplan.world_models.data.files import file_of, load_transitions, set_aside

_log = logging.getLogger(__name__)
_REMEDY = "choose another --output, or --fresh (the old dataset is renamed)"


def is_finished(
    output: str,
    place: Place,
    settings: Mapping[str, Any],
    *,
    longer: str,
    fresh: bool,
) -> bool:
    """Whether `output` is the dataset of these settings. If not, it may be written: either there is
    none, or it holds the first part of what the settings ask for.

    Args:
        output: file or Minari id of the dataset.
        place: of `output`, for this process only.
        settings: all that the dataset depends on.
        longer: name of the setting that may be larger than that of a dataset to be continued.
        fresh: rename a dataset that is there.

    Raises:
        DatasetError: the dataset there is damaged, or does not record its settings.
        ConfigError: the dataset there has other settings, which are named.
    """
    if not place.path.exists():
        return False
    if fresh:
        _log.warning("%s: renamed to %s", output, set_aside(output))
        return False
    stored = _stored_settings(output)
    changed = [name for name in settings if stored.get(name) != settings[name]]
    if changed == [longer] and (stored.get(longer) or 0) < settings[longer]:
        _log.warning("%s: %s was %s and is %s", output, longer, stored[longer], settings[longer])
        return False
    if changed:
        changes = "; ".join(
            f"{name} was {stored.get(name)} and is {settings[name]}" for name in changed
        )
        raise ConfigError(f"{output}: collected with other settings: {changes}: {_REMEDY}")
    return True


def _stored_settings(output: str) -> dict[str, Any]:
    """The settings that the dataset records.

    Raises:
        DatasetError: it is damaged, or records none.
    """
    try:
        settings = _metadata(output).get("settings")
    except DatasetError as error:
        raise DatasetError(f"{error}; {_REMEDY}") from error
    if not isinstance(settings, dict):
        raise DatasetError(
            f"{output} exists already, and does not record how it was collected: {_REMEDY}"
        )
    return settings


def _metadata(output: str) -> Mapping[str, Any]:
    """The metadata of a file or a Minari dataset.

    Raises:
        DatasetError: it is damaged.
    """
    if file_of(output) is not None:
        return load_transitions(output).metadata
    from worldplan.world_models.data.minari_files import metadata_of, open_minari

    with open_minari(output.removeprefix("minari:")) as (dataset, raw):
        return metadata_of(dataset, raw)


@contextmanager
def saying_what_is_kept(text: str) -> Iterator[None]:
    """A context in which an interruption ends the command with this text.

    Raises:
        KeyboardInterrupt: with the text.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted: {text}") from None


def resumable(folder: Path) -> AbstractContextManager[None]:
    """`saying_what_is_kept` for a collection with intermediate results in `folder`."""
    return saying_what_is_kept(
        f"finished parts are kept in {folder}: repeat the command to resume (without --fresh)"
    )
