"""Demonstrations: written as new Minari datasets, read back and described."""

from __future__ import annotations

from pathlib import Path

import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict

from tests.world_models.data.builders import (
    ACTION,
    IMAGE,
    NAME,
    PIXELS,
    STATE,
    Spaces,
    an_episode,
    foreign,
    quiet,
)
from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.demonstrations import load_demonstrations, save_demonstrations
from worldplan.world_models.data.summary import holds_demonstrations, summarise

# --- writing and reading back ---------------------------------------------------------------------


def test_what_is_written_is_read_back() -> None:
    written = [an_episode(6, 0), an_episode(9, 1)]
    infos = [{"contact_force": np.arange(7.0)}, {"contact_force": np.arange(10.0)}]
    assert (
        save_demonstrations(
            written, NAME, Spaces(PIXELS), {"noise": 0.1}, infos=infos, seeds=[2**61, 5]
        )
        == NAME
    )
    for before, after in zip(written, load_demonstrations(NAME, PIXELS, ACTION), strict=True):
        for key, column in before.observation.items():
            np.testing.assert_array_equal(after.observation[key], column)
            assert after.observation[key].dtype == column.dtype
        np.testing.assert_array_equal(after.action, before.action)
        np.testing.assert_array_equal(after.reward, before.reward)
        assert after.success and after.terminated == before.terminated


def test_minari_itself_reads_them() -> None:
    save_demonstrations(
        [an_episode(6), an_episode(9, success=False)],
        NAME,
        Spaces(PIXELS),
        {"noise": 0.1},
        seeds=[2**61, 5],
    )
    dataset = minari.load_dataset(NAME)
    assert (
        dataset.observation_space == PIXELS
        and dataset.action_space == ACTION
        and dataset.total_steps == 15
    )
    good, bad = dataset.iterate_episodes()
    assert (
        good.observations["image"].shape == (7, *IMAGE.shape)
        and good.observations["image"].dtype == np.uint8
    )
    assert len(good.actions) == len(good.rewards) == 6 and good.truncations.tolist() == [
        False
    ] * 5 + [True]
    assert good.infos["success"].tolist() == [False] * 6 + [True] and not bad.infos["success"].any()
    assert [entry["seed"] for entry in dataset.storage.get_episode_metadata([0, 1])] == [2**61, 5]
    assert dataset.storage.metadata["worldplan"] == {"kind": "demonstrations", "noise": 0.1}


def test_pictures_are_compressed_without_loss(tmp_path: Path) -> None:
    """Minari would turn pictures (height, width, 3) into JPEG."""
    space = Dict(image=Box(0, 255, (64, 64, 3), np.uint8), proprioception=STATE)
    episode = an_episode(40, image=(64, 64, 3))
    patches = np.random.default_rng(0).integers(0, 256, (41, 8, 8, 3), dtype=np.uint8)
    episode.observation["image"][:] = patches.repeat(8, 1).repeat(8, 2)
    save_demonstrations([episode], NAME, Spaces(space), {})
    np.testing.assert_array_equal(
        load_demonstrations(NAME, space, ACTION)[0].observation["image"],
        episode.observation["image"],
    )
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert size < 0.5 * episode.observation["image"].nbytes


def test_an_id_that_is_taken_and_episodes_of_another_environment() -> None:
    save_demonstrations([an_episode()], NAME, Spaces(PIXELS), {})
    with pytest.raises(DatasetError, match="own/pixels-v0 exists already"):
        save_demonstrations([an_episode()], NAME, Spaces(PIXELS), {})
    for space, action, message in [
        (
            Dict(image=IMAGE),
            ACTION,
            r"episode 0 has observations \['image', 'proprioception'\], "
            r"the environment \['image'\]",
        ),
        (
            Dict(image=Box(0, 1, IMAGE.shape), proprioception=STATE),
            ACTION,
            r"image of uint8 \(2, 3, 8, 8\), the environment of float \(2, 3, 8, 8\)",
        ),
        (PIXELS, Box(-1, 1, (3,)), r"actions of float \(2,\), the environment of float \(3,\)"),
    ]:
        with pytest.raises(DatasetError, match=message):
            save_demonstrations([an_episode()], "own/other-v0", Spaces(space, action), {})
    with pytest.raises(DatasetError, match="no demonstrations to write"):
        save_demonstrations([], "own/other-v0", Spaces(PIXELS), {})


def test_writing_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """The second episode's infos are too short; the first one is on the disk by then."""
    infos = [{"force": np.zeros(7)}, {"force": np.zeros(6)}]
    with pytest.raises(DatasetError, match="infos force of an episode of 6 steps: give 7 rows"):
        save_demonstrations([an_episode(), an_episode()], NAME, Spaces(PIXELS), {}, infos=infos)
    assert not (tmp_path / "minari" / NAME).exists()
    save_demonstrations([an_episode()], NAME, Spaces(PIXELS), {})


# --- describing -----------------------------------------------------------------------------------


@quiet
def test_summary_of_nested_observations() -> None:
    stored = Dict(camera=Dict(rgb=IMAGE), state=STATE)
    states = [np.full((5, 3), 2.0, np.float32), np.full((5, 3), -1.0, np.float32)]
    images = [np.full((5, *IMAGE.shape), 7, np.uint8), np.full((5, *IMAGE.shape), 9, np.uint8)]
    rows = tuple(
        {"observations": {"camera": {"rgb": image}, "state": state}}
        for image, state in zip(images, states, strict=True)
    )
    rows[1]["rewards"] = np.zeros(4)
    foreign(stored, rows=rows)
    assert holds_demonstrations(NAME)
    found = summarise(NAME)
    assert (
        found.success.tolist() == [True, False]
        and found.returns.tolist() == [4, 0]
        and found.lengths.tolist() == [4, 4]
    )
    assert (
        found.columns["observation/camera/rgb"].dtype == "uint8"
        and found.columns["observation/camera/rgb"].shape == IMAGE.shape
    )
    assert [
        (found.columns[name].low, found.columns[name].high)
        for name in ("observation/camera/rgb", "observation/state")
    ] == [(7, 9), (-1, 2)]
