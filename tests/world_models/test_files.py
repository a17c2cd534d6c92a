"""Files are written whole or not at all; a full disk is simulated by the system's limit on the size
of a file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worldplan.world_models.storage import replace_file

CODE = """
import resource, sys
from pathlib import Path
import numpy as np
import torch
from worldplan.world_models.storage import replace_file
from worldplan.world_models.training.checkpoints import save_tensors
import worldplan.cli
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
writers = {
    "text": lambda file: replace_file(file, lambda draft: draft.write_text("x" * 100_000)),
    "array": lambda file: replace_file(file, lambda draft: np.savez(draft, a=np.zeros(100_000))),
    "tensors": lambda file: save_tensors({"a": torch.zeros(100_000)}, file),
}
worldplan.cli.run = lambda arguments: writers[arguments[0]](Path(arguments[1]))
sys.exit(worldplan.cli.main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files there")
@pytest.mark.parametrize("writer", ["text", "array", "tensors"])
def test_a_failed_write_names_the_file_and_leaves_it_as_it_was(writer: str, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "kept.npz"
    replace_file(file, lambda draft: draft.write_text("old"))
    done = subprocess.run(
        [sys.executable, "-c", CODE, writer, str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"worldplan: {file}: File too large: check the disk and the permissions\n"
    assert file.read_text() == "old"
    assert os.listdir(file.parent) == ["kept.npz"]


def test_other_files_keep_their_names(tmp_path: Path) -> None:
    """An error about another file, which `write` reads, names that file."""
    with pytest.raises(FileNotFoundError) as caught:
        replace_file(tmp_path / "new", lambda draft: (tmp_path / "missing").read_text())
    assert str(caught.value.filename) == str(tmp_path / "missing")
    (tmp_path / "taken" / "full").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as moved:
        replace_file(tmp_path / "taken", lambda draft: draft.write_text("new"))
    assert moved.value.filename == str(tmp_path / "taken")
