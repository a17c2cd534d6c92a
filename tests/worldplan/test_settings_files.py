"""The settings file of a command line may stand before the options or after them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worldplan.commands.bandits.builders import Desk
from worldplan.cli import main
from worldplan.commands.bandits.scenario import parse_scenario, scenario_parser
from worldplan.milp.errors import ConfigError


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    monkeypatch.chdir(tmp_path)
    made = Desk(tmp_path, capsys)
    made.scenario()
    return made


PARTS = (
    ["small.yaml"],
    ["--episodes", "7"],
    ["--solver=highs", "--fresh"],
    ["--policies", "myopic,fluid"],
    ["--programme.discount", "0.9"],
)


def test_the_file_at_every_place_among_options(desk: Desk) -> None:
    parser = scenario_parser("bandits run", "")
    parser.add_argument("--fresh", action="store_true")
    for first in range(len(PARTS)):
        words = [word for part in (*PARTS[first:], *PARTS[:first]) for word in part]
        settings, base = parse_scenario(parser, words)
        assert base == Path("small.yaml")
        assert settings.name == "small" and settings.programme.horizon == 4
        assert settings.episodes == 7 and settings.fresh
        assert settings.policies == ["myopic", "fluid"]
        assert settings.programme.discount == 0.9 and settings.solver.name == "highs"


REFUSED = {
    "two files": (["small.yaml", "--episodes", "7", "b.yaml"], "small.yaml and b.yaml: give one"),
    "a value too much": (["--episodes", "7", "8", "small.yaml"], "8 and small.yaml: give one"),
    "a file and --config": (["--config", "b.yaml", "small.yaml"], "small.yaml and --config"),
    "no value": (["small.yaml", "--episodes"], "expected one argument"),
    "no such option": (["--episodez", "7", "small.yaml"], "did you mean 'episodes'"),
    "no such file": (["--episodes", "7", "smal.yaml"], "smal.yaml: no such file"),
    "a table": (["--episodes", "7", "log.csv"], "log.csv: a table: give the scenario file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_words_are_refused(desk: Desk, case: str) -> None:
    words, said = REFUSED[case]
    with pytest.raises(ConfigError, match=said):
        parse_scenario(scenario_parser("bandits run", ""), words)


@pytest.mark.parametrize("command", ["run", "decide", "day", "bound", "serve"])
def test_every_command_finds_the_file_behind_an_option(desk: Desk, command: str) -> None:
    """All reach what the file says: a name that no setting has."""
    desk.write("wrong.yaml", "programme: {horizn: 3}\n")
    assert main(["bandits", command, "--programme.discount", "0.9", "wrong.yaml"]) == 2
    said = desk.capsys.readouterr().err
    assert said.count("\n") == 1 and "wrong.yaml" in said and "horizn" in said
