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

from worldplan.envs.boxes import observation_box
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.episodes import Episode, columns_of, observation_of

_CHUNK = 256  # observations that are encoded at once


class SumTree:
    """Draws indices in proportion to their priorities, in batches and logarithmic time, on any
    device (Schaul et al. 2016).

    The priorities are the leaves of a binary tree in which every node holds the sum of those below
    it.

    Args:
        capacity: number of priorities, all 0 at first.
        device: of the tree.
    """

    def __init__(self, capacity: int, device: torch.device | str = "cpu") -> None:
        self.capacity = capacity
        self.depth = max(capacity - 1, 1).bit_length()
        self.size = 1 << self.depth
        # the root is node 1; the children of node i are 2 i and 2 i + 1
        self.nodes = torch.zeros(2 * self.size, dtype=torch.float64, device=device)

    @property
    def total(self) -> Tensor:
        """Sum of all priorities, ()."""
        return self.nodes[1]

    @property
    def priorities(self) -> Tensor:
        """(capacity,), a view."""
        return self.nodes[self.size : self.size + self.capacity]

    def set(self, index: Tensor, priority: Tensor) -> None:
        """Give the entries `index` (n,) new priorities (n,), at least 0."""
        node = index + self.size
        self.nodes[node] = priority.to(self.nodes.dtype)
        for _ in range(self.depth):
            node = node >> 1
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1]

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count,) indices, each with probability priority / total; only defined when the total is
        above 0.

        The draws are stratified: one from each of `count` equal parts of the total.
        """
        uniform = torch.rand(
            count, generator=generator, device=self.nodes.device, dtype=torch.float64
        )
        mass = (torch.arange(count, device=self.nodes.device) + uniform) / count * self.total
        node = torch.ones(count, dtype=torch.long, device=self.nodes.device)
        for _ in range(self.depth):
            left = self.nodes[2 * node]
            # the second condition: rounding must not lead into an empty branch
            right = (mass >= left) & (self.nodes[2 * node + 1] > 0)
            mass = torch.where(right, mass - left, mass)
            node = 2 * node + right.long()
        return node - self.size


@dataclass(frozen=True)
class Segment:
    """A batch of segments of `horizon` successive steps.

    Args:
        observation: (horizon + 1, batch, ...) tensor, or a dict of such tensors; latents (horizon +
            1, batch, latent) once the replay encodes its observations.
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
    """The last `capacity` slots of episodes; the oldest slots are overwritten first.

    An episode takes one slot per step and one more for its last observation.

    Args:
        observation_space: a Box, or a Dict of Boxes; uint8 is stored as uint8, everything else as
            float32.
        action_size: length of an action.
        capacity: slots.
        horizon: steps of a segment.
        alpha: exponent of the priorities (Schaul et al. 2016).
        beta: exponent of the importance weights.
        device: of everything stored.
    Raises:
        ConfigError: an observation space with a part that is no Box.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_size: int,
        capacity: int,
        horizon: int,
        *,
        alpha: float = 0.6,
        beta: float = 0.4,
        device: torch.device | str = "cpu",
    ) -> None:
        checks.whole_number(action_size, "action_size", least=1)
        self.capacity = checks.whole_number(capacity, "capacity", least=1)
        self.horizon = checks.whole_number(horizon, "horizon", least=1)
        self.alpha = checks.number(alpha, "alpha", least=0, most=1)
        self.beta = checks.number(beta, "beta", least=0, most=1)
        self.device = torch.device(device)
        self.spaces = _spaces(observation_space)
        # allocated by the first episode; stays empty if observations are encoded on arrival
        self.observations: dict[str, Tensor] = {}
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
        """Append an episode; its segments get the highest priority so far.

        Raises:
            DatasetError: the episode is shorter than a segment or longer than the replay, or its
                observations or actions differ from the environment's.
        """
        columns = columns_of(episode.observation)
        self._require_fit(episode, columns)
        steps, slots = len(episode), len(episode) + 1
        slot = (self.next + torch.arange(slots, device=self.device)) % self.capacity
        self._store(
            slot,
            {
                name: torch.tensor(columns[name], dtype=_dtype(space), device=self.device)
                for name, space in self.spaces.items()
            },
        )
        self.action[slot[:-1]] = torch.as_tensor(episode.action).to(self.action)
        self.reward[slot[:-1]] = torch.as_tensor(episode.reward).to(self.reward)
        self.to_imitate[slot[:-1]], self.to_imitate[slot[-1]] = episode.success, False
        self.terminated[slot] = 0.0
        self.terminated[slot[-2]] = float(episode.terminated)
        starts = torch.arange(slots, device=self.device) <= steps - self.horizon
        self.tree.set(slot, torch.where(starts, self.highest**self.alpha, 0.0))
        self.next = (self.next + slots) % self.capacity
        self.filled = min(self.filled + slots, self.capacity)

    def _require_fit(self, episode: Episode, columns: dict[str, Any]) -> None:
        if not self.horizon <= len(episode) < self.capacity:
            raise DatasetError(
                f"an episode of {len(episode)} steps: segments have {self.horizon}, and the replay "
                f"{self.capacity} slots"
            )
        if set(columns) != set(self.spaces):
            raise DatasetError(
                f"an episode with observations {sorted(columns)}: the environment has "
                f"{sorted(self.spaces)}"
            )
        for name, space in self.spaces.items():
            if columns[name].shape[1:] != space.shape:
                raise DatasetError(
                    f"an episode's observations {name} have shape {columns[name].shape[1:]}, the "
                    f"environment's {space.shape}"
                )
        if episode.action.shape[1] != self.action.shape[1]:
            raise DatasetError(
                f"an episode's actions have {episode.action.shape[1]} numbers, the environment's "
                f"{self.action.shape[1]}"
            )

    def _store(self, slot: Tensor, observations: dict[str, Tensor]) -> None:
        if self._encode_observation is not None:
            self._encode(slot, observations)
            return
        if not self.observations:
            self.observations = {
                name: column.new_empty((self.capacity, *column.shape[1:]))
                for name, column in observations.items()
            }
        for name, column in observations.items():
            self.observations[name][slot] = column

    @torch.no_grad()
    def encode_with(self, encode: Callable[[Any], Tensor], size: int, copies: int = 1) -> None:
        """Replace all observations, those of later episodes too, by their latents: from now on,
        draws contain latents.

        Args:
            encode: observations (n, ...) -> latents (n, size), possibly with random augmentation.
            size: length of a latent.
            copies: each observation is encoded this often, once. A draw picks a random copy, so
                that draws differ if `encode` is random.
        """
        self._encode_observation = encode
        self.latents = torch.empty(self.capacity, copies, size, device=self.device)
        if self.filled:
            self._encode(
                torch.arange(self.filled, device=self.device),
                {name: column[: self.filled] for name, column in self.observations.items()},
            )
        self.observations = {}

    def _encode(self, slot: Tensor, observations: dict[str, Tensor]) -> None:
        assert self.latents is not None
        assert self._encode_observation is not None
        for rows in torch.split(torch.arange(len(slot), device=self.device), _CHUNK):
            observation = observation_of(
                {name: column[rows] for name, column in observations.items()}
            )
            for copy in range(self.latents.shape[1]):
                self.latents[slot[rows], copy] = self._encode_observation(observation)

    @torch.no_grad()
    def draw(self, batch: int, generator: torch.Generator | None = None) -> Segment:
        """`batch` segments, each with probability proportional to its priority; of latents after
        `encode_with`.
        """
        index = self.tree.draw(batch, generator)
        offset = torch.arange(self.horizon + 1, device=self.device).unsqueeze(1)
        slots = (index + offset) % self.capacity  # (horizon + 1, batch)
        # w_i = (N p_i / sum p)^-beta, divided by the largest
        count = (self.tree.priorities > 0).sum()
        relative = (count * self.tree.priorities[index] / self.tree.total).clamp_min(1e-12)
        weight = relative**-self.beta
        weight = (weight / weight.max()).float()
        observation = self._observations(slots, generator)
        steps = slots[:-1]
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
        """Observations (batch, ...), or latents after `encode_with`, and actions (batch, action) of
        single steps, uniform over successful episodes.

        Without successful episodes, both have length 0.
        """
        steps = self.to_imitate.nonzero()[:, 0]
        index = torch.randint(
            max(len(steps), 1),
            (batch if len(steps) else 0,),
            generator=generator,
            device=self.device,
        )
        slots = steps[index]
        return self._observations(slots, generator), self.action[slots]

    def _observations(self, slots: Tensor, generator: torch.Generator | None) -> Any:
        """Observations, or latents of a random copy, of slots (...)."""
        if self.latents is not None:
            copies = self.latents.shape[1]
            copy = (
                torch.randint(copies, slots.shape, generator=generator, device=self.device)
                if copies > 1
                else 0
            )
            return self.latents[slots, copy]
        return observation_of({name: column[slots] for name, column in self.observations.items()})

    @torch.no_grad()
    def prioritise(self, index: Tensor, error: Tensor) -> None:
        """Set the priorities of the segments `index` (n,) from their errors (n,) in an update."""
        error = error.detach().to(torch.float64).clamp_min(1e-6)
        self.highest = max(self.highest, float(error.max()))
        self.tree.set(index, error**self.alpha)

    def state_dict(self) -> dict[str, Any]:
        """The priorities. Episodes are not included: they have to be added again when resuming."""
        return {"priorities": self.tree.priorities.cpu().clone(), "highest": self.highest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the priorities, after the same episodes have been added in the same order."""
        every_slot = torch.arange(self.capacity, device=self.device)
        self.tree.set(every_slot, state["priorities"].to(self.device))
        self.highest = float(state["highest"])


def join(first: Segment, second: Segment) -> Segment:
    """Two batches of the same horizon as one."""
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


def _spaces(space: gym.Space[Any]) -> dict[str, gym.spaces.Box]:
    """The Boxes of a space by name; a plain Box has the name "".

    Raises:
        ConfigError: a part of the space is no Box, or an empty one.
    """
    parts = dict(space.spaces) if isinstance(space, gym.spaces.Dict) else {"": space}
    boxes: dict[str, gym.spaces.Box] = {}
    for name, part in parts.items():
        if not isinstance(part, gym.spaces.Box):
            raise ConfigError(
                f"observation {name or space} is {type(part).__name__}: only Box spaces, or a Dict "
                "of them, can be learned from"
            )
        boxes[name] = observation_box(part, f"observation {name}".strip())
    return boxes


def _dtype(space: gym.spaces.Box) -> torch.dtype:
    return torch.uint8 if space.dtype == np.uint8 else torch.float32
