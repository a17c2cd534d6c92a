"""Simulator states [qpos, qvel] under the names that dataset files have for them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from worldplan.world_models.data.transitions import Transitions

_log = logging.getLogger(__name__)


def split_state(data: Transitions) -> dict[str, np.ndarray]:
    """The simulator states under the names of dataset files.

    Returns:
        qpos (n, qpos_size) and qvel (n, s - qpos_size); state (n, s) where the metadata do not
        record qpos_size, or one of the parts is empty; nothing where the data have no states.
    """
    if data.state is None:
        return {}
    size = data.metadata.get("qpos_size")
    if size is None or not 0 < size < data.state.shape[1]:
        return {"state": data.state}
    return {"qpos": data.state[:, :size], "qvel": data.state[:, size:]}


def join_state(infos: Mapping[str, Any]) -> tuple[np.ndarray | None, dict[str, Any]]:
    """The inverse of `split_state`: the states (n, s) or None, and the metadata about them.

    Args:
        infos: qpos and qvel, (n, size) or (n,), and state, (n, s), which a caller leaves out unless
            worldplan wrote it: elsewhere "state" may be anything.
    """
    if "qpos" in infos and "qvel" in infos:
        parts = [_matrix(infos[name]) for name in ("qpos", "qvel")]
        qpos, qvel = parts
        if qpos is not None and qvel is not None and len(qpos) == len(qvel):
            return np.concatenate([qpos, qvel], axis=1), {"qpos_size": int(qpos.shape[1])}
    return infos.get("state"), {}


def warn_ignored(infos: Collection[str], state: np.ndarray | None, *, own: bool) -> None:
    """Warn of columns of a file that are called like a simulator state but are not read as one.

    Args:
        infos: the names of its infos.
        state: what is read as simulator states, (n, s), or None.
        own: whether worldplan wrote the file, so that its infos/state is one.
    """
    if not own and "state" in infos:
        _log.warning("infos/state is ignored: only qpos and qvel count as the simulator's state")
    if state is None and {"qpos", "qvel"} <= set(infos):
        _log.warning("infos/qpos and infos/qvel are ignored: they are not rows of numbers")


def _matrix(value: Any) -> np.ndarray | None:
    """The value as rows of at least one number, (n, size), or None if it is none."""
    if isinstance(value, Mapping):
        return None
    column = np.asarray(value)
    column = column[:, None] if column.ndim == 1 else column
    return column if column.ndim == 2 and column.size and column.dtype.kind in "iuf" else None
