"""`worldplan examples`: the shipped scenarios, listed and copied."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.documents.commands import commands
from tests.places import CONFIGS, ROOT
from worldplan.cli import COMMANDS, main
from worldplan.commands.examples import copy_examples, examples, listing
from worldplan.milp.errors import ConfigError
from worldplan.shipped import PACKAGE

CLINIC = "configs/bandits/clinic.yaml"
TODAY = "configs/bandits/example_log/today.csv"


def test_every_shipped_file_says_what_it_is_for_and_what_runs_it() -> None:
    found = {example.name: example for example in examples()}
    assert found.keys() == {str(path.relative_to(ROOT)) for path in CONFIGS.rglob("*.yaml")}
    documented = {command.line for command in commands()}
    for example in found.values():
        assert 15 < len(example.purpose) < 500, example
        name = example.command.removeprefix("worldplan ")
        assert any(name.startswith(f"{each} ") for each in COMMANDS), example
        assert shlex.join(shlex.split(example.command)) in documented, example
        assert example.name in example.command.split(), example


@pytest.mark.parametrize("width", [20, 40, 200])
def test_the_listing_fits_and_keeps_commands_whole(width: int) -> None:
    lines = listing(examples(), width).splitlines()
    for example in examples():
        assert example.name in lines
        assert f"    {example.command}" in lines
    prose = [line for line in lines if line.startswith("    ") and "worldplan" not in line]
    longest = max(len(word) for line in prose for word in line.split())
    assert max(map(len, prose)) <= max(width, longest + 4)
    assert "\n".join(lines).isascii()


def test_a_copy_holds_what_git_keeps_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["examples", "mine"]) == 0
    kept = subprocess.run(
        ["git", "ls-files", "configs"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    copied = [path for path in Path("mine").rglob("*") if path.is_file()]
    assert {str(path.relative_to("mine")) for path in copied} == set(kept)
    for path in copied:
        assert path.read_bytes() == (ROOT / path.relative_to("mine")).read_bytes()
    assert f"{len(kept)} files copied to mine/configs" in capsys.readouterr().out
    monkeypatch.chdir("mine")
    assert main(["bandits", "decide", CLINIC, "--state", TODAY]) == 0
    assert "comes with worldplan" not in capsys.readouterr().err


def test_what_is_there_stays_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / CLINIC).parent.mkdir(parents=True)
    (tmp_path / CLINIC).write_text("name: mine")
    (tmp_path / "configs/bandits/path.yaml").symlink_to("nowhere")
    assert main(["examples", str(tmp_path)]) == 0
    assert (tmp_path / CLINIC).read_text() == "name: mine"
    assert (tmp_path / "configs/bandits/path.yaml").is_symlink()
    printed = capsys.readouterr()
    assert f"already there, and left as they are: 2 ({CLINIC}, configs/bandits/path.yaml)" in (
        printed.err
    )
    copied, _ = copy_examples(tmp_path)
    assert copied == []


@pytest.mark.parametrize("taken", ["", "configs", "configs/bandits", "configs/bandits/clinic"])
def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path, taken: str) -> None:
    folder = tmp_path / "examples"
    place = folder / taken
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("")
    with pytest.raises(ConfigError, match=f"{place}: is a file .*choose another"):
        copy_examples(folder)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [place]


def test_worldplans_own_folder_and_a_files_name_are_refused() -> None:
    for folder in (PACKAGE, PACKAGE / "configs" / "bandits"):
        with pytest.raises(ConfigError, match="own files"):
            copy_examples(folder)
    with pytest.raises(ConfigError, match="not a file"):
        copy_examples(Path("mine.yaml"))


@pytest.mark.slow
def test_a_wheel_in_a_fresh_environment(tmp_path: Path) -> None:
    """What a stranger does: install, copy the examples, run the first command of the page. The
    core's packages are those of this environment, made visible by a .pth file.
    """
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    install = [python, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", wheel]
    subprocess.run(install, check=True)
    packages = next(place.glob("lib/python*/site-packages"))
    others = tmp_path / "packages"
    others.mkdir()
    for entry in Path(pytest.__file__).parents[1].iterdir():
        if "worldplan" not in entry.name and entry.suffix != ".pth":
            (others / entry.name).symlink_to(entry)
    (packages / "others.pth").write_text(f"{others}\n")
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}

    def worldplan(*words: str, folder: Path = tmp_path) -> str:
        answer = subprocess.run(
            [place / "bin" / "worldplan", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    assert CLINIC in worldplan("examples")
    worldplan("examples", "mine")
    printed = worldplan("bandits", "decide", CLINIC, "--state", TODAY, folder=tmp_path / "mine")
    assert "proven bound" in printed
    code = "import worldplan; print(worldplan.__file__)"
    place_of = subprocess.run(
        [python, "-c", code],
        cwd=tmp_path,
        env=environment,
        text=True,
        capture_output=True,
        check=True,
    )
    assert str(packages) in place_of.stdout, "the wheel, not this checkout"
