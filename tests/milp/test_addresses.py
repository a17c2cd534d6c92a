"""Modules of a user's own that fail: one line that names file and line, whatever they raise."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldplan.milp.addresses import import_address, own_errors
from worldplan.milp.errors import ConfigError, SolverFailed

MODULES = {
    "unfinished": "def rule(:\n",
    "leaving": "raise SystemExit(0)\n",
    "raising": "import math\n\nmath.sqrt(-2)\n",
    "careless": "table = {}\nrule = table['rule']\n",
    "needing": "\nimport no_such_library\n",
    "helped": "from raising_helper import rule\n",
    "raising_helper": "\n\n\nrule = 1 / 0\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of broken modules that Python finds."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("unfinished", "SyntaxError: invalid syntax (unfinished.py, line 1)"),
        ("leaving", "SystemExit: 0 ({folder}/leaving.py, line 1): mend it"),
        ("raising", "math domain error ({folder}/raising.py, line 3): give module:attribute"),
        ("careless", "KeyError: 'rule' ({folder}/careless.py, line 2): mend it"),
        ("needing", "No module named 'no_such_library' ({folder}/needing.py, line 2)"),
        ("helped", "ZeroDivisionError: division by zero ({folder}/raising_helper.py, line 4)"),
        ("absent", "No module named 'absent' (PYTHONPATH=. adds the current folder): give"),
        ("absent.part", "No module named 'absent' (PYTHONPATH=. adds the current folder): give"),
    ],
)
def test_a_module_that_fails(folder: Path, module: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        import_address(f"{module}:rule", "rule")
    message = str(caught.value)
    assert message.startswith(f"rule '{module}:rule': ")
    assert words.format(folder=folder) in message


def test_an_object_is_returned() -> None:
    assert import_address(f"{__name__}:MODULES", "table") is MODULES


def test_errors_of_a_block() -> None:
    with (
        pytest.raises(
            ConfigError, match=r"^rule 'own': ValueError: no .*test_addresses.*: mend it$"
        ) as caught,
        own_errors("rule 'own'", "mend it"),
    ):
        raise ValueError("no")
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(SolverFailed, match="^as it is$"), own_errors("rule 'own'", "mend it"):
        raise SolverFailed("as it is")
    with pytest.raises(KeyboardInterrupt), own_errors("rule 'own'", "mend it"):
        raise KeyboardInterrupt
