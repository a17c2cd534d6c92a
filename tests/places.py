"""Folders that tests read from."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
SHARED_DATA = (
    ROOT.parent / "shared" / "data"
)  # beside the repository on some machines; tests skip without it
TRAJECTORIES = SHARED_DATA / "numeric_trajectories"
