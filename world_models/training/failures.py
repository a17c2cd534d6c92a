"""What Lightning raises for a setting or a checkpoint, as errors that a user can mend."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException

from worldplan.milp.errors import CheckpointError, ConfigError, WorldplanError, one_line

_LONGEST = 300  # characters of Lightning's text
_RESTORING = ("restore", "_restore", "resume")  # how its functions that read a checkpoint begin


@contextmanager
def named_failures(checkpoint: object = None) -> Iterator[None]:
    """Report what Lightning refuses in the block under `with` in one line.

    Errors of a module's own code stay as they are: only what Lightning itself raises, and what it
    meets while it restores a checkpoint, is a setting or a file of the user.

    Args:
        checkpoint: the file that the block resumes from.

    Raises:
        CheckpointError: the checkpoint does not fit the module.
        ConfigError: a setting of the trainer is wrong, or does not fit the module.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (WorldplanError, OSError)):
            raise
        frames = list(traceback.walk_tb(error.__traceback__))
        if checkpoint is not None and any(_restores(frame.f_code) for frame, _ in frames):
            raise CheckpointError(
                f"{checkpoint}: does not fit this module ({_line(error)}): "
                "choose the checkpoint of the same module, or begin anew in another folder"
            ) from error
        raised_in = str(frames[-1][0].f_globals.get("__name__"))
        if isinstance(error, MisconfigurationException) or raised_in.startswith("lightning."):
            raise ConfigError(f"the trainer refuses its settings: {_line(error)}") from error
        raise


def _restores(code: object) -> bool:
    file, name = getattr(code, "co_filename", ""), getattr(code, "co_name", "")
    return file.endswith("checkpoint_connector.py") and name.startswith(_RESTORING)


def _line(error: Exception) -> str:
    """The text of an error as one line; without advice to load a file that may run code."""
    hidden = "weights_only" in str(error)
    return type(error).__name__ if hidden else one_line(error, _LONGEST)
