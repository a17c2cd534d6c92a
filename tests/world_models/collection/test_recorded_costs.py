"""Costs that an environment reports (`info["cost"]`) in collected datasets."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from worldplan.cli import main
from worldplan.milp.errors import DatasetError
from worldplan.world_models.collection import rollouts
from worldplan.world_models.collection.collect import collect_transitions
from worldplan.world_models.collection.settings import CollectionSettings
from worldplan.world_models.data.files import load_transitions
from worldplan.world_models.data.transitions import ARRAYS, Transitions

NAME = "WorldplanTestCosts-v0"
STEPS = 60
TYPES = (float, int, bool, np.float32, np.int64, np.bool_, np.array)


class Costs(gym.Env[np.ndarray, np.ndarray]):
    """Reports a cost in a share of its steps: three times the observation, as a number of any type.
    Costs that are not drawn stand in no info.
    """

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    bad: dict[str, Any] = {}  # noqa: RUF012  # in the info of each episode's fifth step

    def __init__(self, share: float = 1.0, kind: int = 0) -> None:
        self.share, self.kind = share, kind

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        self.step_number = 0
        return np.zeros(1, np.float32), {"cost": 99.0}  # no step: not a cost of the data

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.step_number += 1
        info: dict[str, Any] = {}
        place = np.float32(0)
        if random.random() < self.share:  # a global generator, which a resumed run repeats
            value = self.np_random.integers(0, 4) / (1 if self.kind in (1, 2, 4, 5) else 3)
            info["cost"] = TYPES[self.kind](value)
            place = np.float32(info["cost"])
        if self.step_number == 5:
            info |= self.bad
        return np.full(1, place), 0.0, self.np_random.random() < 0.1, False, info


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    gym.register(NAME, Costs, max_episode_steps=20)
    monkeypatch.setattr(rollouts, "PART", 12)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.chdir(tmp_path)
    yield
    del gym.registry[NAME]


def settings(policy: str = "random", **kwargs: Any) -> CollectionSettings:
    training = {"hidden": (4,), "train_steps": 50, "stop_return": -1e9, "evaluate_every": 20}
    return CollectionSettings(
        NAME, policy, steps=STEPS, evaluation_episodes=1, env_kwargs=kwargs, **training
    )


def content(data: Transitions) -> dict[str, Any]:
    columns = {name: getattr(data, name) for name in ARRAYS}
    return {name: None if value is None else value.tobytes() for name, value in columns.items()}


CASES = [("random", share, kind) for share in (1.0, 0.3) for kind in range(len(TYPES))]


@pytest.mark.parametrize(
    ("policy", "share", "kind"), [*CASES, ("medium-replay", 0.3, 0), ("medium", 1.0, 3)]
)
def test_every_step_has_the_cost_that_was_reported(
    policy: str, share: float, kind: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = collect_transitions(settings(policy, share=share, kind=kind), tmp_path / "a")
    assert data.cost is not None and data.cost.max() > 0
    assert data.cost.tobytes() == data.next_observation[:, 0].tobytes()  # 0 where none is reported
    assert (share < 1) == (f"of {len(data)} steps: the others have cost 0" in caplog.text)


def test_an_environment_without_costs_has_no_column(tmp_path: Path) -> None:
    data = collect_transitions(settings(share=0.0), tmp_path / "a")
    assert data.cost is None


class Stop(Exception):
    """Stops a collection."""


@pytest.mark.parametrize("policy", ["random", "medium", "medium-replay"])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_resumed_collection_has_the_same_costs(share: float, policy: str, tmp_path: Path) -> None:
    chosen, calls = settings(policy, share=share), []
    whole = collect_transitions(chosen, tmp_path / "whole", lambda *call: calls.append(call))
    for stop in np.random.default_rng(0).integers(1, len(calls), 4).tolist():
        folder, count = tmp_path / f"stopped{stop}", iter(range(10_000))

        def progress(*_: Any, count: Iterator[int] = count, stop: int = stop) -> None:
            if next(count) == stop:
                raise Stop

        with pytest.raises(Stop):
            collect_transitions(chosen, folder, progress)
        assert content(collect_transitions(chosen, folder)) == content(whole)


@pytest.mark.parametrize("output", ["a.npz", "b.hdf5", "own/space/a-v0"])
def test_the_command_writes_the_costs(output: str) -> None:
    words = ["--policy", "random", "--steps", "60", "--output", output]
    assert main(["data", "collect", NAME, *words, "--env-kwargs", '{"share": 0.5}']) == 0
    data = load_transitions(output)
    assert data.cost is not None and data.cost.max() > 0
    assert data.cost.tobytes() == data.next_observation[:, 0].tobytes()


WRONG = (
    np.nan,
    -np.inf,
    1e39,
    -0.5,
    None,
    "0.5",
    [0.5],
    np.zeros(1),
    {"left": 0.0},
    1j,
    Fraction(1, 2),
)


@pytest.mark.parametrize("value", WRONG, ids=str)
def test_wrong_costs_are_refused_by_name(
    value: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Costs, "bad", {"cost": value})
    words = ["--policy", "random", "--steps", "60", "--output", "a.npz"]
    assert main(["data", "collect", NAME, *words]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"environment '{NAME}': step: info['cost'] is " in line and "at least 0" in line


def test_parts_of_an_older_worldplan(tmp_path: Path) -> None:
    """They resume where there are no costs, and are refused where costs are missing."""
    for share, refused in ((0.0, False), (1.0, True)):
        folder = tmp_path / f"share{share}"
        whole = collect_transitions(settings(share=share), folder)
        parts = sorted((folder / "rollout").iterdir())
        with np.load(parts[0]) as file:
            older = {name: file[name] for name in file if not name.startswith("cost")}
        np.savez_compressed(parts[0], **older)
        if refused:
            with pytest.raises(DatasetError, match="lacks the costs .* --fresh"):
                collect_transitions(settings(share=share), folder)
        else:
            assert content(collect_transitions(settings(share=share), folder)) == content(whole)
