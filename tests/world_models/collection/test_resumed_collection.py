"""A collection that is stopped anywhere and resumed equals an uninterrupted one, bit for bit."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from worldplan.milp.errors import ConfigError
from worldplan.world_models.collection import rollouts
from worldplan.world_models.collection.collect import collect_transitions
from worldplan.world_models.collection.demonstrations import (
    DemonstrationSettings,
    collect_demonstrations,
)
from worldplan.world_models.collection.settings import CollectionSettings
from worldplan.world_models.data.transitions import ARRAYS, Transitions

HIDDEN = "HiddenState-v0"


class HiddenState(gym.Env[np.ndarray, np.ndarray]):
    """A walk whose drift is not observed, survives resets, and draws from everywhere: its own
    generator, Python's and NumPy's global ones, and one that reset does not seed.
    """

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self) -> None:
        self.drift, self.unseeded = 0.0, np.random.default_rng(5)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        self.place = self.np_random.normal(size=2)
        return self.place.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.drift += 0.1 * self.unseeded.normal() + 0.1 * random.random()
        self.place += 0.1 * (self.drift + action + np.random.normal(size=2))  # noqa: NPY002
        over = bool(self.np_random.random() < 0.07)
        return self.place.copy(), float(self.drift), over, False, {}


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    gym.register(HIDDEN, HiddenState, max_episode_steps=30)
    yield
    del gym.registry[HIDDEN]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts, "PART", 12)
    monkeypatch.setattr(rollouts, "LONGEST", 50)


def tiny(env_id: str, policy: str) -> CollectionSettings:
    return CollectionSettings(
        env_id,
        policy,
        steps=60,
        hidden=(4,),
        train_steps=50,
        stop_return=-1e9,
        evaluate_every=20,
        evaluation_episodes=1,
    )


class Stop(Exception):
    """Ends the process, for all that a collection can tell."""


def collect(settings: CollectionSettings, folder: Path, stops: tuple[int, ...] = ()) -> Transitions:
    """Collect, stopped after so many steps in each call, and resumed until it is complete."""
    for steps in stops:
        left = steps

        def count(stage: str, done: int, total: int) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise Stop

        scramble()
        try:
            return collect_transitions(settings, folder, count)
        except Stop:
            pass
    scramble()
    return collect_transitions(settings, folder)


def scramble() -> None:
    """What another process has in its global generators."""
    random.seed()
    np.random.seed()  # noqa: NPY002


def assert_same(one: Transitions, other: Transitions) -> None:
    for name in ARRAYS:
        left, right = getattr(one, name), getattr(other, name)
        if left is None:
            assert right is None
        else:
            assert left.dtype == right.dtype and left.tobytes() == right.tobytes(), name
    assert json.dumps(one.metadata) == json.dumps(other.metadata)


ENVIRONMENTS = ("Pendulum-v1", "InvertedDoublePendulum-v5", "Hopper-v5", HIDDEN)
CASES = [
    *[(env_id, policy) for env_id in ENVIRONMENTS for policy in ("random", "expert")],
    ("Hopper-v5", "medium"),
    (HIDDEN, "medium-replay"),
    ("InvertedDoublePendulum-v5", "medium-replay"),
]


@pytest.mark.parametrize(("env_id", "policy"), CASES)
def test_stopped_anywhere_equals_uninterrupted(env_id: str, policy: str, tmp_path: Path) -> None:
    settings = tiny(env_id, policy)
    if policy.startswith("medium"):  # with a mark that this training reaches, maybe at its end
        expert = replace(settings, policy="expert", stop_return=None, steps=1)
        evaluations = collect(expert, tmp_path / "expert").metadata["evaluations"]
        settings = replace(settings, stop_return=max(mean for _, mean in evaluations))
    whole = collect(settings, tmp_path / "whole")
    draw = np.random.default_rng(CASES.index((env_id, policy)))
    for trial in range(2):
        stops = tuple(draw.integers(1, 60, size=3).tolist())
        assert_same(whole, collect(settings, tmp_path / str(trial), stops))


def test_longer_collections_continue(tmp_path: Path) -> None:
    longer = replace(tiny("Hopper-v5", "expert"), steps=90, train_steps=70)
    shorter = replace(longer, steps=30, train_steps=50)
    collect(shorter, tmp_path / "a")
    assert_same(collect(longer, tmp_path / "whole"), collect(longer, tmp_path / "a", (5,)))
    with pytest.raises(ConfigError, match="train_steps was 70 and is 50"):
        collect(shorter, tmp_path / "a")
    rows = replace(tiny(HIDDEN, "random"), steps=200)
    whole = collect(rows, tmp_path / "rows")
    for steps in (1, 13, 77, 200):
        part = collect(replace(rows, steps=steps), tmp_path / "b")
        np.testing.assert_array_equal(part.observation, whole.observation[:steps])


def test_episodes_without_end_are_cut(tmp_path: Path) -> None:
    settings = replace(tiny("Pendulum-v1", "random"), steps=130)
    data = collect(settings, tmp_path, (60, 60))
    assert np.flatnonzero(data.truncated).tolist() == [49, 99, 129]


def test_demonstrations_stopped_anywhere_equal_uninterrupted(tmp_path: Path) -> None:
    settings = DemonstrationSettings("PlanarPush", 4, noise=0.3, seed=2)
    whole = collect_demonstrations(settings)
    assert whole.metadata["tries"] > 4  # some fail
    for stop in range(1, 5):

        def count(done: int, total: int, stop: int = stop) -> None:
            if done == stop:
                raise Stop

        folder = tmp_path / str(stop)
        with pytest.raises(Stop):
            collect_demonstrations(settings, count, folder=folder)
        resumed = collect_demonstrations(settings, folder=folder)
        assert json.dumps(resumed.metadata) == json.dumps(whole.metadata)
        assert (resumed.seeds, resumed.infos) == (whole.seeds, whole.infos)
        for one, other in zip(resumed.episodes, whole.episodes, strict=True):
            for name in ("observation", "action", "reward"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    with pytest.raises(ConfigError, match=r"noise was 0\.3 and is 0\.5.*--folder, or --fresh"):
        collect_demonstrations(replace(settings, noise=0.5), folder=folder)
    collect_demonstrations(replace(settings, noise=0.5), folder=folder, fresh=True)
    assert list(tmp_path.glob("4-before-*/try-00000.npz"))


def test_other_settings_are_named_and_fresh_keeps_the_old(tmp_path: Path) -> None:
    settings = tiny("Pendulum-v1", "random")
    folder = tmp_path / "a"
    collect(settings, folder)
    with pytest.raises(ConfigError, match="seed was 0 and is 3: choose another --folder, or --f"):
        collect(replace(settings, seed=3), folder)
    note = folder / "settings.json"
    noted = json.loads(note.read_text())
    noted["versions"]["gymnasium"] = "0.1"
    note.write_text(json.dumps(noted))
    with pytest.raises(ConfigError, match=r"gymnasium was 0\.1 and is"):
        collect(settings, folder)
    note.write_text(json.dumps({"env_id": "Pendulum-v1", "seed": 0}))
    with pytest.raises(ConfigError, match="begun by an older worldplan"):
        collect(settings, folder)
    data = collect_transitions(replace(settings, seed=3), folder, fresh=True)
    again = collect_transitions(replace(settings, seed=3), folder, fresh=True)
    assert_same(data, again)
    kept = sorted(tmp_path.glob("a-before-*"))
    assert len(kept) == 2 and all((old / "rollout" / "part-00000.npz").is_file() for old in kept)
