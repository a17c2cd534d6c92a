"""Whatever the writers accept, the readers accept and give back equal."""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from tests.world_models.data.builders import Spaces, same
from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.demonstrations import save_demonstrations
from worldplan.world_models.data.episodes import Episode, load_episode, save_episode
from worldplan.world_models.data.files import load_transitions, save_transitions
from worldplan.world_models.data.summary import summarise
from worldplan.world_models.data.transitions import Transitions

NUMBERS = st.floats(-1e299, 1e299)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "env_id": st.sampled_from(["Hopper-v5", "Pendulum-v1", "Own-v0", "", "my.module:Own-v3"])
        | st.text(max_size=20),
        "policy": st.text(max_size=300),
        "algorithm": st.text(max_size=20),
        "ref_min_score": NUMBERS,
        "ref_max_score": NUMBERS,
        "qpos_size": st.integers(0, 4),
        "action_low": st.lists(NUMBERS, max_size=4) | NUMBERS,
        "action_high": st.lists(NUMBERS, max_size=4) | NUMBERS,
        "mujoco_version": st.text(max_size=5),
        "dataset_id": st.text(max_size=5),
        "kind": st.sampled_from(["", "demonstrations"]),
    },
)


@st.composite
def datasets(draw: st.DrawFn) -> Transitions:
    """Episodes of 1 to 4 rows; a process may go on after a cut, with or without a jump."""
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    sizes = draw(st.tuples(st.integers(1, 3), st.integers(1, 2)))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    count, ends = sum(lengths), np.cumsum(lengths) - 1
    scale = 10.0 ** draw(st.integers(-30, 30))
    shift = min(1e9 * scale, 1e38)  # above 3e38 float32 is infinite
    offset = draw(st.sampled_from([0.0, 0.0, 0.0, shift]))  # float32 loses the changes
    path = offset + scale * generator.normal(size=(count + 1, sizes[0]))
    path = path if offset else path.astype(np.float32)
    following = path[1:].copy()
    goes_on = draw(st.lists(st.booleans(), min_size=len(ends), max_size=len(ends)))
    for end, same_process in zip(ends, goes_on, strict=True):
        if not same_process:  # the next episode begins elsewhere
            following[end] = offset + scale * generator.normal(size=sizes[0])
    marks = draw(st.lists(st.sampled_from("tcb"), min_size=len(ends), max_size=len(ends)))
    terminated, truncated = np.zeros(count, bool), np.zeros(count, bool)
    terminated[ends] = [mark in "tb" for mark in marks]
    truncated[ends] = [mark in "cb" for mark in marks]
    states = draw(st.integers(0, 4))
    metadata = draw(st.dictionaries(st.text(max_size=8), VALUES, max_size=3) | KNOWN)
    if states and "qpos_size" in metadata:
        metadata["qpos_size"] = min(states, metadata["qpos_size"])
    numbers = generator.permutation(len(lengths)) * 7 - 3
    return Transitions(
        observation=path[:-1],
        action=generator.uniform(-1, 1, (count, sizes[1])),
        reward=scale * generator.normal(size=count),
        next_observation=following,
        terminated=terminated,
        truncated=truncated,
        episode=np.repeat(numbers, lengths),
        state=generator.normal(size=(count, states)) if states else None,
        cost=generator.uniform(size=count) if draw(st.booleans()) else None,
        metadata=metadata,
    )


def numbered_from_0(data: Transitions) -> Transitions:
    columns = {name: getattr(data, name) for name in data.__dataclass_fields__}
    episodes = np.repeat(np.arange(len(data.starts)), data.lengths())
    return Transitions(**columns | {"episode": episodes})


@pytest.mark.parametrize(
    "target", ["a.npz", "a.NPZ", "b.hdf5", "b.H5", "worldplan/x-v0", "minari:own/long/x-y_z-v12"]
)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=datasets())
def test_every_format_gives_back_what_was_accepted(target: str, data: Transitions) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = str(Path(folder) / "minari")
        name = target if "/" in target else str(Path(folder) / target)
        save_transitions(data, name)
        back = load_transitions(name)
        same(numbered_from_0(back), numbered_from_0(data))
        assert back.metadata == data.metadata


def test_large_numbers_are_among_the_drawn() -> None:
    find(datasets(), lambda data: data.observation.dtype == np.float64)


KEYS = st.text("ab/.\\é 0%:\0", min_size=1, max_size=4)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(keys=st.lists(KEYS, min_size=1, max_size=3, unique=True), steps=st.integers(1, 3))
def test_observations_of_any_name_are_read_again_or_refused(keys: list[str], steps: int) -> None:
    rows = np.arange(2.0 * steps + 2, dtype=np.float32).reshape(-1, 2)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        try:
            episode = Episode(dict.fromkeys(keys, rows), np.zeros((steps, 2)), np.zeros(steps))
        except DatasetError as error:
            text = str(error)
        else:
            text = ""
            save_episode(episode, Path(folder) / "a.npz")
            assert set(load_episode(Path(folder) / "a.npz").observation) == set(keys)
        assert ("no text as its name" in text) == any("\0" in key for key in keys)
        if text:
            return
        env = Spaces(Dict(dict.fromkeys(keys, Box(-np.inf, np.inf, (2,), np.float32))))
        odd = any("/" in key or key in (".", "..") for key in keys)
        with pytest.raises(DatasetError, match="cannot be stored") if odd else nullcontext():
            save_demonstrations([episode], "own/named-v0", env, {})
            assert summarise("own/named-v0").lengths.tolist() == [steps]
