"""Lists as people write them on a command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldplan.cli import main
from worldplan.commands.bandits.scenario import Scenario
from worldplan.commands.studies.study import Study, parse_study, study_parser
from worldplan.lists import items, whole_numbers, with_lists
from worldplan.milp.errors import ConfigError
from worldplan.world_models.arms.programme import Programme

STUDY = "worldplan/configs/ravl/edge_of_reach.yaml"


@pytest.mark.parametrize("text", ["0,1,2", "0, 1, 2", "[0,1,2]", "[0, 1, 2]", "0..2", "0..1,2"])
def test_numbers(text: str) -> None:
    assert whole_numbers(text) == [0, 1, 2]
    assert Scenario(programme=Programme(domain="capacity"), seeds=text).seed_list() == [0, 1, 2]
    words = with_lists(["--hidden", text, "--other", "0,1"], {"hidden": tuple[int, ...]})
    assert words == ["--hidden", text if "[" in text else "[0, 1, 2]", "--other", "0,1"]


@pytest.mark.parametrize("text", ["1,x", "1..", "..2", "1-3", "1:3", "0..99999999999", "0..20000"])
def test_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal|more than"):
        whole_numbers(text)


def test_items() -> None:
    assert items("fluid, whittle") == items("[fluid, 'whittle']") == ["fluid", "whittle"]
    assert items("") == items("[]") == [] and items("a,,b") == ["a", "", "b"]


def _study(*words: str) -> Study:
    return parse_study(study_parser(), [STUDY, *words])[0]


@pytest.mark.parametrize("text", ["3..5", "3,4,5", "[3, 4, 5]"])
def test_seeds_of_a_study(text: str) -> None:
    study = _study("--seeds", text)
    assert (study.seed, study.seeds) == (3, 3) and study == _study(f"--seeds={text}")
    assert _study("--seeds", "4").seeds == 4


@pytest.mark.parametrize("text", ["0,2", "3..1", "0..x", "[]"])
def test_seeds_that_a_study_does_not_take(text: str) -> None:
    with pytest.raises(ConfigError, match="give their number, such as 5, or a range"):
        _study("--seeds", text)


@pytest.mark.parametrize("text", ["8,4", "[8, 4]", "[8,4]"])
def test_layers(text: str) -> None:
    assert _study("--settings.hidden", text).settings.hidden == (8, 4)
    assert _study(f"--settings.hidden={text}", "--settings.hidden", "3").settings.hidden == (3,)


def test_selections_of_a_study(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("base,scaled", "[base, scaled]"):
        assert parse_study(study_parser(), [STUDY, "--methods", text])[1].methods == (
            "base",
            "scaled",
        )
    assert main(["run", STUDY, "--methods", "base,,scaled"]) == 2
    assert "missing between the commas" in capsys.readouterr().err


def test_layers_of_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "--config", "configs/ensemble/mujoco-small.yaml", "--print_config"]
    option = "--model.init_args.settings.hidden"
    assert main([*words, option, "8,4"]) == 0
    first = capsys.readouterr().out
    assert main([*words, option, "[8, 4]"]) == 0
    assert first == capsys.readouterr().out and "- 8\n" in first
