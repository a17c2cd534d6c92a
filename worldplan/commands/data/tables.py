"""The tables of `worldplan data describe` for datasets of transitions and of demonstrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.files import file_of
from worldplan.world_models.data.precision import offsets
from worldplan.world_models.data.transitions import Spread, Transitions


def describe_tables(data: Transitions, source: str) -> list[Table]:
    """Tables of episodes and returns, of columns, and of the metadata if there are any.

    Args:
        data: the dataset.
        source: its file or id, for the title.
    """
    statistics = data.statistics()
    count = len(statistics.returns)
    episodes = _plain_table(f"{source}: {len(data)} transitions, {count} episodes")
    episodes.add_row("return", _spread(statistics.returns))
    episodes.add_row("length", _spread(statistics.lengths))
    terminated = statistics.terminations
    episodes.add_row("ends", f"{terminated} terminated, {count - terminated} truncated")
    episodes.add_row("reward per step", _spread(data.reward))
    episodes.add_row("normalised score", _normalised_score(data, statistics.returns))
    size = 0 if data.state is None else data.state.shape[1]
    episodes.add_row("simulator state", f"{size} numbers per step" if size else "none")
    lost = [place for place, offset in enumerate(offsets(data) or ()) if offset]
    if lost:
        names = ", ".join(f"observation[{place}]" for place in lost)
        episodes.add_row("precision", f"float64, float32 would lose {names}")
    columns = Table("column", "mean", "std", "lowest", "highest", title="columns")
    _add_columns(columns, "observation", statistics.observation)
    _add_columns(columns, "action", statistics.action)
    return [episodes, columns, *_metadata_table(data.metadata)]


def demonstration_tables(source: str) -> list[Table] | None:
    """Tables of episodes, of columns, and of the metadata if there are any; None for a dataset of
    transitions.

    Args:
        source: a file, or the id of a Minari dataset ("minari:" may stand before it).

    Raises:
        DatasetError: the dataset cannot be downloaded or read.
    """
    if file_of(source) is not None:
        return None
    from worldplan.world_models.data.summary import holds_demonstrations, summarise

    dataset_id = source.removeprefix("minari:")
    if not holds_demonstrations(dataset_id):
        return None
    summary = summarise(dataset_id)
    count, successes = len(summary.lengths), summary.success
    episodes = _plain_table(f"{source}: {count} episodes, {summary.lengths.sum()} steps")
    share = 100 * successes.mean()
    episodes.add_row("success", f"{successes.sum()} of {count} ({share:.1f} %)")
    episodes.add_row("length", _spread(summary.lengths))
    episodes.add_row("return", _spread(summary.returns))
    columns = Table("column", "type", "shape per step", "lowest", "highest", title="columns")
    for name, column in summary.columns.items():
        columns.add_row(
            name, column.dtype, str(column.shape), f"{column.low:.4g}", f"{column.high:.4g}"
        )
    return [episodes, columns, *_metadata_table(summary.metadata)]


def _plain_table(title: str) -> Table:
    return Table(title=title, show_header=False)


def _metadata_table(metadata: Mapping[str, Any]) -> list[Table]:
    """The table of the metadata; no table where there are none."""
    if not metadata:
        return []
    table = _plain_table("metadata")
    for key, value in metadata.items():
        table.add_row(key, _short(value))
    return [table]


def _normalised_score(data: Transitions, returns: np.ndarray) -> str:
    try:
        return _spread(data.normalised_score(returns))
    except DatasetError:
        return "no reference scores"


def _add_columns(table: Table, name: str, spread: Spread) -> None:
    for place, row in enumerate(zip(spread.mean, spread.std, spread.low, spread.high, strict=True)):
        table.add_row(f"{name}[{place}]", *(f"{value:.4g}" for value in row))


def _spread(values: np.ndarray) -> str:
    return (
        f"mean {values.mean():.4g}, std {values.std():.4g}, median {np.median(values):.4g}, "
        f"{values.min():.4g} .. {values.max():.4g}"
    )


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 8:
        return f"{len(value)} entries, the last {value[-1]}"
    return str(value)
