"""The replay: the sum tree against NumPy, segments against the episodes they come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.modem.replay import EpisodeReplay, SumTree, join
from worldplan.world_models.data.episodes import Episode, load_episode, save_episode

SPACE = gym.spaces.Dict(
    {
        "image": gym.spaces.Box(0, 255, (1, 3, 4, 4), np.uint8),
        "proprioception": gym.spaces.Box(-np.inf, np.inf, (2,), np.float32),
    }
)


def episode_of(number: int, steps: int, *, terminated: bool = False) -> Episode:
    """An episode whose observations, actions and rewards identify episode and step."""
    time = np.arange(steps + 1, dtype=np.float32)
    vector = np.stack([np.full(steps + 1, number, np.float32), time], 1)
    image = np.broadcast_to(
        (10 * number + time).astype(np.uint8)[:, None, None, None, None], (steps + 1, 1, 3, 4, 4)
    )
    return Episode(
        {"image": image, "proprioception": vector}, vector[:-1] / 100, time[:-1], terminated
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=70), st.integers(0, 2**31))
def test_the_tree_holds_the_sums(priorities: list[float], seed: int) -> None:
    """In any order of writing, the root is the total; only positive priorities are drawn."""
    tree = SumTree(len(priorities))
    order = torch.randperm(len(priorities), generator=torch.Generator().manual_seed(seed))
    tree.set(order, torch.tensor(priorities, dtype=torch.float64)[order])
    assert float(tree.total) == pytest.approx(sum(priorities), rel=1e-12)
    if sum(priorities) > 0:
        drawn = tree.draw(200, torch.Generator().manual_seed(seed))
        assert (tree.priorities[drawn] > 0).all()


def test_the_tree_draws_in_proportion() -> None:
    """A chi-square test over 20,000 draws."""
    priorities = torch.tensor([0.0, 1.0, 2.0, 0.0, 5.0, 0.5, 0.0])
    tree = SumTree(7)
    tree.set(torch.arange(7), priorities)
    generator = torch.Generator().manual_seed(0)
    counts = sum(
        torch.bincount(tree.draw(100, generator), minlength=7) for _ in range(200)
    ).double()  # type: ignore[union-attr]
    expected = 20_000 * priorities.double() / priorities.sum()
    alive = priorities > 0
    assert counts[~alive].sum() == 0
    assert stats.chisquare(counts[alive].numpy(), expected[alive].numpy()).pvalue > 1e-4


@pytest.mark.parametrize("lengths", [[6, 9, 5], [6, 9, 5, 12, 7, 8, 11]])
def test_segments_lie_within_one_episode(lengths: list[int]) -> None:
    """Also after the oldest episodes have been overwritten, up to the middle of an episode, and
    across the end of the ring.
    """
    replay = EpisodeReplay(SPACE, 2, 31, 4)
    for number, steps in enumerate(lengths):
        replay.add(episode_of(number, steps, terminated=number % 2 == 1))
    segment = replay.draw(500, torch.Generator().manual_seed(0))
    vector, image = segment.observation["proprioception"], segment.observation["image"]
    assert image.dtype == torch.uint8
    assert (vector[..., 0] == vector[:1, :, 0]).all()
    assert (vector[1:, :, 1] - vector[:-1, :, 1] == 1).all()
    assert (image[:, :, 0, 0, 0, 0].float() == 10 * vector[..., 0] + vector[..., 1]).all()
    assert (segment.reward == vector[:-1, :, 1]).all()
    torch.testing.assert_close(segment.action, vector[:-1] / 100)
    last = torch.tensor(lengths)[vector[0, :, 0].long()] - 1
    ended = (vector[:-1, :, 1] == last) & (vector[:-1, :, 0] % 2 == 1)
    assert (segment.terminated == ended).all()
    assert len(lengths) - 1 in vector[0, :, 0]


def test_several_latents_of_every_observation_are_kept() -> None:
    """A draw takes a random copy of the observation's latents, for earlier and later episodes."""
    replay, changes = EpisodeReplay(SPACE, 2, 31, 4), torch.Generator().manual_seed(0)
    replay.add(episode_of(0, 6))

    def encode(observation: dict[str, torch.Tensor]) -> torch.Tensor:
        code = observation["proprioception"]
        return torch.cat([code, torch.rand(len(code), 1, generator=changes)], 1)

    replay.encode_with(encode, 3, copies=2)
    replay.add(episode_of(1, 9))
    assert not replay.observations
    code = replay.draw(2000, torch.Generator().manual_seed(0)).observation
    assert (code[1:, :, 1] - code[:-1, :, 1] == 1).all()
    copies: dict[tuple[int, int], set[float]] = {}
    for number, step, change in code.flatten(0, 1).tolist():
        copies.setdefault((int(number), int(step)), set()).add(change)
    assert len(copies) == 7 + 10
    assert all(len(changes) == 2 for changes in copies.values())
    assert len(set.union(*copies.values())) == 2 * len(copies)


def test_every_segment_can_be_drawn_and_no_other() -> None:
    replay = EpisodeReplay(SPACE, 2, 40, 3)
    replay.add(episode_of(0, 3))
    replay.add(episode_of(1, 7))
    drawn = replay.draw(400, torch.Generator().manual_seed(1)).observation["proprioception"][0]
    assert {tuple(row) for row in drawn.tolist()} == {
        (0.0, 0.0),
        *((1.0, float(step)) for step in range(5)),
    }


def test_only_steps_of_successes_are_imitated() -> None:
    replay = EpisodeReplay(SPACE, 2, 24, 3)
    replay.add(episode_of(0, 3))
    assert len(replay.draw_successful(5)[1]) == 0
    replay.add(replace(episode_of(1, 7), success=True))
    replay.add(episode_of(2, 5))
    steps, action = replay.draw_successful(400, torch.Generator().manual_seed(1))
    assert {tuple(row) for row in steps["proprioception"].tolist()} == {
        (1.0, float(t)) for t in range(7)
    }
    torch.testing.assert_close(action, steps["proprioception"] / 100)
    replay.add(episode_of(3, 9))  # fills the ring up to the first slot of the success
    replay.add(episode_of(4, 3))  # overwrites its first four slots
    left = {
        tuple(row)
        for row in replay.draw_successful(400, torch.Generator().manual_seed(1))[0][
            "proprioception"
        ].tolist()
    }
    assert left == {(1.0, float(t)) for t in range(4, 7)}


def test_priorities_change_what_is_drawn_and_are_corrected_for() -> None:
    replay = EpisodeReplay(SPACE, 2, 40, 3, alpha=1.0, beta=1.0)
    replay.add(episode_of(0, 12))
    replay.prioritise(torch.arange(10), torch.tensor([9.0] + [1.0] * 9))
    segment = replay.draw(4000, torch.Generator().manual_seed(0))
    share = float((segment.index == 0).double().mean())
    assert share == pytest.approx(0.5, abs=0.02)
    first, other = segment.weight[segment.index == 0], segment.weight[segment.index != 0]
    torch.testing.assert_close(first, torch.full_like(first, 1 / 9))
    torch.testing.assert_close(other, torch.ones_like(other))


def test_a_new_episode_comes_in_at_the_highest_priority() -> None:
    replay = EpisodeReplay(SPACE, 2, 40, 3, alpha=1.0)
    replay.add(episode_of(0, 5))
    replay.prioritise(torch.tensor([1]), torch.tensor([50.0]))
    replay.add(episode_of(1, 5))
    assert replay.tree.priorities[6:9].tolist() == [50.0] * 3


def test_the_state_is_restored() -> None:
    """After adding the same episodes again, draws are the same."""

    def filled() -> EpisodeReplay:
        replay = EpisodeReplay(SPACE, 2, 31, 4)
        for number, steps in enumerate([9, 8, 12]):
            replay.add(episode_of(number, steps))
        return replay

    first, second = filled(), filled()
    first.prioritise(torch.arange(4), torch.rand(4, generator=torch.Generator().manual_seed(3)))
    second.load_state_dict(first.state_dict())
    ours, theirs = (replay.draw(64, torch.Generator().manual_seed(5)) for replay in (first, second))
    assert torch.equal(ours.index, theirs.index)
    assert torch.equal(ours.weight, theirs.weight)


def test_batches_join() -> None:
    replay = EpisodeReplay(SPACE, 2, 40, 3)
    replay.add(episode_of(0, 12))
    generator = torch.Generator().manual_seed(0)
    first, second = replay.draw(3, generator), replay.draw(5, generator)
    both = join(first, second)
    assert both.observation["image"].shape[:2] == (4, 8)
    assert torch.equal(both.index, torch.cat([first.index, second.index]))
    assert torch.equal(both.action[:, 3:], second.action)


def test_episodes_that_do_not_fit_are_refused() -> None:
    replay = EpisodeReplay(SPACE, 2, 40, 3)
    with pytest.raises(DatasetError, match="2 steps"):
        replay.add(episode_of(0, 2))
    good = episode_of(0, 5)
    with pytest.raises(DatasetError, match="observations"):
        replay.add(Episode(np.zeros((6, 2), np.float32), good.action, good.reward))
    with pytest.raises(DatasetError, match="actions have 3"):
        replay.add(Episode(good.observation, np.zeros((5, 3), np.float32), good.reward))
    with pytest.raises(ConfigError, match="Discrete"):
        EpisodeReplay(gym.spaces.Discrete(3), 2, 40, 3)


def test_episodes_are_checked_and_survive_the_disk(tmp_path: Path) -> None:
    episode = episode_of(3, 6, terminated=True)
    save_episode(episode, tmp_path / "a" / "0.npz")
    loaded = load_episode(tmp_path / "a" / "0.npz")
    assert isinstance(loaded.observation, dict)
    assert isinstance(episode.observation, dict)
    assert loaded.terminated
    assert not loaded.success
    for name, column in episode.observation.items():
        assert loaded.observation[name].dtype == column.dtype
        np.testing.assert_array_equal(loaded.observation[name], column)
    with pytest.raises(DatasetError, match="7 are needed"):
        Episode(np.zeros((6, 2)), np.zeros((6, 1)), np.zeros(6))
    with pytest.raises(DatasetError, match="first at step 2"):
        Episode(np.zeros((4, 2)), np.zeros((3, 1)), np.array([0, 0, np.nan]))
    (tmp_path / "a" / "0.npz").write_bytes(b"PK damaged")
    with pytest.raises(DatasetError, match="damaged"):
        load_episode(tmp_path / "a" / "0.npz")
