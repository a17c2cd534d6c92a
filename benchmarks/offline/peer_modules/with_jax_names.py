"""Runs a script with the names that jax has removed since it was written: SCRIPT ARGUMENTS..."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import jax

jax.tree_map = jax.tree_util.tree_map  # removed in 0.4.34


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
