"""Versions of what a run was made with, found without importing any of it."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "worldplan",
    "torch",
    "lightning",
    "numpy",
    "scipy",
    "pandas",
    "gymnasium",
    "mujoco",
    "minari",
    "stable-baselines3",
    "pyomo",
    "highspy",
    "gurobipy",
    "networkx",
    "joblib",
    "ray",
)


def versions() -> dict[str, str]:
    """Versions of Python, the machine, the packages that matter, and the source commit."""
    names = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    names |= package_versions()
    commit = _git_commit()
    return names | ({"commit": commit} if commit else {})


def package_versions() -> dict[str, str]:
    """Versions of the packages that matter, as far as they are installed."""
    names = {}
    for package in PACKAGES:
        try:
            names[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return names


def _git_commit() -> str | None:
    """The commit of the source tree, if any, with "+changes" where files differ from it."""
    source = Path(__file__).resolve().parent.parent
    if not (source / ".git").exists():
        return None
    command = [
        "git",
        "-C",
        str(source),
        "describe",
        "--always",
        "--abbrev=40",
        "--exclude=*",
        "--dirty=+changes",
    ]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
