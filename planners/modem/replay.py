"""Replay of whole episodes, from which segments of a few steps are drawn by priority; images stay
uint8, on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.modem.sum_tree import SumTree
from worldplan.world_models.data.episodes import Episode, columns_of, observation_of

_CHUNK = 256  # observations that are encoded at once


@dataclass(frozen=True)
class Segment:
    """A batch of `horizon` successive steps.

    Args:
        observation: (horizon + 1, batch, ...) tensor, or a dict of such tensors.
        action: (horizon, batch, action).
        reward: (horizon, batch).
        terminated: (horizon, batch), 0 or 1; only a last step can be terminal.
        weight: (batch,), importance weights, at most 1.
        index: (batch,), where the segments start in the replay.
    """

    observation: Any
    action: Tensor
    reward: Tensor
    terminated: Tensor
    weight: Tensor
    index: Tensor


class EpisodeReplay:
    """The last `capacity` steps, one slot more per episode for its last observation; the oldest are
    overwritten first.

    Args:
        observation_space: a Box, or a Dict of Boxes; bytes are stored as bytes, everything else as
            float32.
        action_size: length of an action.
        capacity: slots.
        horizon: steps of a segment.
        alpha, beta: exponents of the priorities and of the importance weights (Schaul et al.,
            2016).
    """

    def __init__(
        self,
        observation_space: gym.Space,
        action_size: int,
        capacity: int,
        horizon: int,
        *,
        alpha: float = 0.6,
        beta: float = 0.4,
        device: torch.device | str = "cpu",
    ) -> None:
        self.capacity, self.horizon, self.alpha, self.beta, self.device = (
            capacity,
            horizon,
            alpha,
            beta,
            torch.device(device),
        )
        self.spaces = _spaces(observation_space)
        self.observations: dict[
            str, Tensor
        ] = {}  # made by the first episode: of what is encoded as it comes, none are kept
        self.action = torch.zeros(capacity, action_size, device=self.device)
        self.reward = torch.zeros(capacity, device=self.device)
        self.terminated = torch.zeros(capacity, device=self.device)
        self.to_imitate = torch.zeros(capacity, dtype=torch.bool, device=self.device)
        self.tree = SumTree(capacity, self.device)
        self.next = self.filled = 0
        self.highest = 1.0
        self.latents: Tensor | None = None
        self._encode_observation: Callable[[Any], Tensor] | None = None

    @torch.no_grad()
    def add(self, episode: Episode) -> None:
        """Append an episode; its segments get the highest priority so far. Raises DatasetError when
        it does not fit this replay.
        """
        steps, slots = len(episode), len(episode) + 1
        if not self.horizon <= steps < self.capacity:
            raise DatasetError(
                f"an episode of {steps} steps: segments have {self.horizon}, and the replay {self.capacity} slots"
            )
        place = (self.next + torch.arange(slots, device=self.device)) % self.capacity
        columns = columns_of(episode.observation)
        if set(columns) != set(self.spaces):
            raise DatasetError(
                f"an episode with observations {sorted(columns)}: the environment has {sorted(self.spaces)}"
            )
        for name, space in self.spaces.items():
            if columns[name].shape[1:] != space.shape:
                raise DatasetError(
                    f"an episode's observations {name} have shape {columns[name].shape[1:]}, the environment's {space.shape}"
                )
        if episode.action.shape[1] != self.action.shape[1]:
            raise DatasetError(
                f"an episode's actions have {episode.action.shape[1]} numbers, the environment's {self.action.shape[1]}"
            )
        self._keep(
            place,
            {
                name: torch.tensor(columns[name], dtype=_kind(space), device=self.device)
                for name, space in self.spaces.items()
            },
        )
        self.action[place[:-1]] = torch.as_tensor(episode.action).to(self.action)
        self.reward[place[:-1]] = torch.as_tensor(episode.reward).to(self.reward)
        self.to_imitate[place[:-1]], self.to_imitate[place[-1]] = episode.success, False
        self.terminated[place] = 0.0
        self.terminated[place[-2]] = float(episode.terminated)
        starts = torch.arange(slots, device=self.device) <= steps - self.horizon
        self.tree.set(place, torch.where(starts, self.highest**self.alpha, 0.0))
        self.next, self.filled = (
            (self.next + slots) % self.capacity,
            min(self.filled + slots, self.capacity),
        )

    def _keep(self, place: Tensor, observations: dict[str, Tensor]) -> None:
        if self._encode_observation is not None:
            self._encode(place, observations)
            return
        if not self.observations:
            self.observations = {
                name: column.new_empty((self.capacity, *column.shape[1:]))
                for name, column in observations.items()
            }
        for name, column in observations.items():
            self.observations[name][place] = column

    @torch.no_grad()
    def encode_with(self, encode: Callable[[Any], Tensor], size: int, copies: int = 1) -> None:
        """From now on, draws are of what `encode` makes of the observations, (n, ...) -> (n, size);
        the observations are forgotten.

        Each is encoded `copies` times when it comes, of which every draw takes one: where `encode`
        begins with a random change, draws differ.
        """
        self._encode_observation = encode
        self.latents = torch.empty(self.capacity, copies, size, device=self.device)
        if self.filled:
            self._encode(
                torch.arange(self.filled, device=self.device),
                {name: store[: self.filled] for name, store in self.observations.items()},
            )
        self.observations = {}

    def _encode(self, place: Tensor, observations: dict[str, Tensor]) -> None:
        assert self.latents is not None
        assert self._encode_observation is not None
        for rows in torch.arange(len(place), device=self.device).split(_CHUNK):
            observation = observation_of(
                {name: column[rows] for name, column in observations.items()}
            )
            for copy in range(self.latents.shape[1]):
                self.latents[place[rows], copy] = self._encode_observation(observation)

    @torch.no_grad()
    def draw(self, batch: int, generator: torch.Generator | None = None) -> Segment:
        """`batch` segments, each with probability proportional to its priority; after
        `encode_with`, of latents.
        """
        index = self.tree.draw(batch, generator)
        slots = (
            index + torch.arange(self.horizon + 1, device=self.device).unsqueeze(1)
        ) % self.capacity
        filled = (self.tree.priorities > 0).sum()
        weight = (filled * self.tree.priorities[index] / self.tree.total).clamp_min(
            1e-12
        ) ** -self.beta
        observation = self._seen(slots, generator)
        steps = slots[:-1]
        weight = (weight / weight.max()).float()
        return Segment(
            observation,
            self.action[steps],
            self.reward[steps],
            self.terminated[steps],
            weight,
            index,
        )

    @torch.no_grad()
    def draw_successful(
        self, batch: int, generator: torch.Generator | None = None
    ) -> tuple[Any, Tensor]:
        """Observations (batch, ...), after `encode_with` latents, and actions (batch, action) of
        single steps, uniform over successful episodes.

        There may be none: then batches of length 0.
        """
        steps = self.to_imitate.nonzero()[:, 0]
        index = torch.randint(
            max(len(steps), 1),
            (batch if len(steps) else 0,),
            generator=generator,
            device=self.device,
        )
        slots = steps[index]
        return self._seen(slots, generator), self.action[slots]

    def _seen(self, slots: Tensor, generator: torch.Generator | None) -> Any:
        if self.latents is not None:
            copies = self.latents.shape[1]
            copy = (
                torch.randint(copies, slots.shape, generator=generator, device=self.device)
                if copies > 1
                else 0
            )
            return self.latents[slots, copy]
        return observation_of({name: store[slots] for name, store in self.observations.items()})

    @torch.no_grad()
    def prioritise(self, index: Tensor, error: Tensor) -> None:
        """Set the priority of segments to their error (n,), as it was when they were learned from."""
        error = error.detach().to(torch.float64).clamp_min(1e-6)
        self.highest = max(self.highest, float(error.max()))
        self.tree.set(index, error**self.alpha)

    def state_dict(self) -> dict[str, Any]:
        """Priorities; the episodes themselves are kept by whoever added them."""
        return {"priorities": self.tree.priorities.cpu().clone(), "highest": self.highest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """After the same episodes have been added in the same order."""
        everything = torch.arange(self.capacity, device=self.device)
        self.tree.set(everything, state["priorities"].to(self.device))
        self.highest = float(state["highest"])


def join(first: Segment, second: Segment) -> Segment:
    """Two batches as one."""
    left, right = columns_of(first.observation), columns_of(second.observation)
    observation = observation_of({name: torch.cat([left[name], right[name]], 1) for name in left})
    return Segment(
        observation,
        torch.cat([first.action, second.action], 1),
        torch.cat([first.reward, second.reward], 1),
        torch.cat([first.terminated, second.terminated], 1),
        torch.cat([first.weight, second.weight]),
        torch.cat([first.index, second.index]),
    )


def _spaces(space: gym.Space) -> dict[str, gym.spaces.Box]:
    found = dict(space.spaces) if isinstance(space, gym.spaces.Dict) else {"": space}
    for name, part in found.items():
        if not isinstance(part, gym.spaces.Box):
            raise ConfigError(
                f"observation {name or space} is {type(part).__name__}: only Box spaces, or a Dict of them, can be learned from"
            )
    return found  # type: ignore[return-value]


def _kind(space: gym.spaces.Box) -> torch.dtype:
    return torch.uint8 if space.dtype == np.uint8 else torch.float32
