"""Objects by name, by address and by entry point; mistakes are one clear error."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

import pytest

from worldplan.milp.errors import ConfigError
from worldplan.milp.registry import Registry

Rule = Callable[[int], int]
GROUP = "worldplan.rules"


def double(number: int) -> int:
    return 2 * number


def triple(number: int) -> int:
    return 3 * number


@pytest.fixture
def rules() -> Registry[Rule]:
    """A registry that holds `double`."""
    registry: Registry[Rule] = Registry("rule", GROUP)
    registry.register("double", double)
    return registry


def announce(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Installed packages announce these names and addresses."""

    def entry_points(*, group: str) -> list[metadata.EntryPoint]:
        if group != GROUP:
            return []
        return [metadata.EntryPoint(name, value, group) for name, value in values.items()]

    monkeypatch.setattr(metadata, "entry_points", entry_points)


def test_register_and_get(rules: Registry[Rule]) -> None:
    assert rules.get("double") is double
    assert rules.register("triple")(triple) is triple  # as a decorator
    assert rules.get("triple") is triple
    assert list(rules) == ["double", "triple"]
    assert "triple" in rules
    assert "halve" not in rules


def test_a_duplicate_is_refused(rules: Registry[Rule]) -> None:
    rules.register("double", double)  # a module that is imported twice
    with pytest.raises(ConfigError, match="rule 'double' is registered already"):
        rules.register("double", triple)
    assert rules.get("double") is double


@pytest.mark.parametrize("name", ["", "module:rule", "two words", "a.b"])
def test_a_name_that_is_no_word_is_refused(rules: Registry[Rule], name: str) -> None:
    with pytest.raises(ConfigError, match="use letters, digits, '-' and '_'"):
        rules.register(name, triple)
    assert list(rules) == ["double"]


def test_an_address_is_imported(rules: Registry[Rule]) -> None:
    assert rules.get(f"{__name__}:triple") is triple
    assert list(rules) == ["double"]


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("no_such_module:rule", "No module named 'no_such_module'"),
        (f"{__name__}:quadruple", "has no attribute 'quadruple'"),
        (":rule", "Empty module name"),
        (f"{__name__}:", "has no attribute ''"),
    ],
)
def test_a_bad_address_is_one_clear_error(rules: Registry[Rule], address: str, cause: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rules.get(address)
    message = str(caught.value)
    assert message.startswith(f"rule '{address}': ")
    assert cause in message
    assert message.endswith("give module:attribute of something importable")


def test_an_unknown_name_lists_the_names(
    rules: Registry[Rule], monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(monkeypatch, treble=f"{__name__}:triple")
    with pytest.raises(ConfigError, match="rule 'halve': choose double, treble, or give your own"):
        rules.get("halve")


def test_an_installed_package_announces_its_own(
    rules: Registry[Rule], monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(monkeypatch, treble=f"{__name__}:triple", double=f"{__name__}:triple")
    assert rules.get("treble") is triple
    assert rules.get("double") is double  # a registered name comes first
    assert list(rules) == ["double", "treble"]
    assert "treble" in rules


def test_a_broken_entry_point_is_one_clear_error(
    rules: Registry[Rule], monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(monkeypatch, treble="no_such_module:triple")
    with pytest.raises(ConfigError, match="rule 'no_such_module:triple': No module named"):
        rules.get("treble")
