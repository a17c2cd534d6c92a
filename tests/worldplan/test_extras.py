"""A part that is not installed is named with the extra that brings it, and the core needs none."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.places import ROOT
from worldplan.extras import EXTRAS, attach, install_command, what_is_missing

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WITHOUT_EXTRAS = """
import sys
from worldplan.extras import EXTRAS

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in set(EXTRAS) - {"PIL"}:  # matplotlib has pillow
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
from worldplan.cli import main
sys.exit(main(sys.argv[1:]))
"""
LOG = "configs/bandits/example_log/today.csv"


def bare(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command, in `folder`, in a process in which no extra is installed."""
    command = [sys.executable, "-c", WITHOUT_EXTRAS, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def distributions(lines: list[str]) -> set[str]:
    names = (re.match(r"[\w.-]+", line) for line in lines)
    return {name[0].lower().replace("_", "-") for name in names if name}


def test_the_table_of_extras_is_that_of_the_project() -> None:
    known = packages_distributions()
    for module, extra in EXTRAS.items():
        lines = list(PROJECT["optional-dependencies"][extra])
        if "worldplan[sequoia]" in lines:
            lines += PROJECT["optional-dependencies"]["sequoia"]
        for distribution in known.get(module, []):
            name = distribution.lower().replace("_", "-")
            if name != "pyarrow":  # part of minari[arrow]
                assert name in distributions(lines), (module, extra)
                assert name not in distributions(PROJECT["dependencies"])


@pytest.mark.parametrize(
    "words",
    [
        ("bandits", "decide", "configs/bandits/from_logs.yaml", "--state", LOG),
        ("bandits", "bound", "configs/bandits/from_logs.yaml"),
        ("actions", "learn", "--help"),
        ("--help",),
    ],
)
def test_the_core_needs_no_extra(tmp_path: Path, words: tuple[str, ...]) -> None:
    answer = bare(tmp_path, *words)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("fit", "--config", "configs/ensemble/mujoco-small.yaml"), "rl"),
        (("run", "study.yaml"), "rl"),
        (("tune", "study.yaml"), "rl"),
        (("data", "describe", "x"), "rl"),
        (("bandits", "run", "configs/bandits/capacity.yaml"), "sequoia"),
    ],
)
def test_a_command_names_the_extra_that_it_needs(
    tmp_path: Path, words: tuple[str, ...], extra: str
) -> None:
    answer = bare(tmp_path, *words)
    assert answer.returncode == 2
    assert f"pip install 'worldplan[{extra}]'" in answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("worldplan: MissingExtra: ")
    assert not (tmp_path / "runs").exists()


def test_a_package_names_the_extra_that_a_class_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    face = ROOT / "worldplan" / "planners" / "offline" / "__init__.py"
    get, _, names = attach("worldplan.planners.offline", str(face))
    assert "ReachAware" in names

    def fail(name: str) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(ModuleNotFoundError, match=r"ReachAware needs torch.*worldplan\[rl\]"):
        get("ReachAware")


def test_other_failures_are_not_explained_away() -> None:
    assert install_command("numpy") is None
    assert what_is_missing(ModuleNotFoundError("x", name="my_rules"), "fit") is None
    assert what_is_missing(ImportError("broken", name="torch"), "fit") is None
    assert install_command("torch.nn", "bandits run") == "pip install 'worldplan[sequoia]'"
