"""Files that `worldplan report` and `worldplan compare` may write: none of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worldplan.files import refuse_input_as_output
from worldplan.milp.errors import ConfigError
from worldplan.runs import CONFIG, REPORT


def refuse_a_runs_file(output: Path, runs: Sequence[Path]) -> None:
    """Check that a file neither replaces one of a run, nor passes for one that a run writes. Pages
    that an earlier call wrote into a run folder may be replaced.

    Args:
        output: the file to write.
        runs: the run folders.

    Raises:
        ConfigError: it would.
        IsADirectoryError: it is a folder.
    """
    files = [file for run in runs for file in run.rglob("*") if file.suffix != ".html"]
    refuse_input_as_output(output, *files)
    inside = next((place for place in output.resolve().parents if (place / CONFIG).is_file()), None)
    if inside is not None and (output.suffix != ".html" or output.name == REPORT):
        raise ConfigError(
            f"--output {output}: lies in the run folder {inside}, where this name belongs to the "
            "run: choose another name that ends with .html, or another folder"
        )
