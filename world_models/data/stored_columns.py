"""What all dataset files share: how the simulator's state is stored, and what reading a damaged
file raises.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from worldplan.world_models.data.transitions import Transitions

# what numpy, h5py and json raise for files that are cut off, damaged or of another kind
READ_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def split_state(data: Transitions) -> dict[str, np.ndarray]:
    """{"qpos", "qvel"} of every row, or {"state"} where the metadata do not say how long qpos is;
    empty without states.
    """
    if data.state is None:
        return {}
    size = data.metadata.get("qpos_size")
    return (
        {"state": data.state}
        if size is None
        else {"qpos": data.state[:, :size], "qvel": data.state[:, size:]}
    )


def join_state(infos: Mapping[str, np.ndarray]) -> tuple[np.ndarray | None, dict[str, Any]]:
    """The inverse of `split_state`: the state (rows, s) or None, and the metadata about it."""
    if "qpos" in infos and "qvel" in infos:
        return np.concatenate([infos["qpos"], infos["qvel"]], axis=1), {
            "qpos_size": int(infos["qpos"].shape[1])
        }
    return infos.get("state"), {}
