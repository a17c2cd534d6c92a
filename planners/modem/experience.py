"""What MoDem-V2 learns from: demonstrations and own episodes, in a replay each."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from worldplan.milp.errors import ConfigError
from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.replay import EpisodeReplay, Segment, join
from worldplan.planners.modem.settings import ModemSettings
from worldplan.planners.modem.task import ModemTask
from worldplan.world_models.data.episodes import Episode, columns_of, observation_of
from worldplan.world_models.latent.encoders import IMAGE
from worldplan.world_models.training.seeds import torch_generator


class Experience:
    """Two prioritised replays of episodes: the demonstrations of a task, and own episodes.

    Args:
        task: its demonstrations are added at once.
        settings: sizes of segments, batches and of the replay.
        observation_space: of one environment.
        action_size: length of an action.
        device: of the replays.
    """

    def __init__(
        self,
        task: ModemTask,
        settings: ModemSettings,
        observation_space: spaces.Space[Any],
        action_size: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.settings = settings
        slots = sum(len(episode) + 1 for episode in task.demonstrations) + 1
        self.demonstrations, self.own = (
            EpisodeReplay(observation_space, action_size, capacity, settings.segment, device=device)
            for capacity in (max(slots, 2), settings.capacity)
        )
        for episode in task.demonstrations:
            self.demonstrations.add(episode)

    def add(self, episode: Episode) -> None:
        """Add an own episode, unless it is shorter than a segment."""
        if len(episode) >= self.settings.segment:
            self.own.add(episode)

    def encode_with(self, agent: Modem, seed: int) -> None:
        """Replace observations by latents if the encoder is frozen; an image by the latents of
        several randomly shifted copies.

        Has to be called before the first own episode is added, also when resuming: the copies are
        then shifted by the same random numbers.
        """
        if not agent.frozen:
            return
        pictures = IMAGE in self.demonstrations.spaces and self.settings.shift > 0
        copies = self.settings.copies if pictures else 1
        for number, replay in enumerate((self.demonstrations, self.own)):
            encode = partial(_encode_shifted, agent, torch_generator(seed, 2, number))
            replay.encode_with(encode, self.settings.latent.latent, copies)

    def segments(self, share: float, random: torch.Generator) -> tuple[Segment, int]:
        """A batch of segments, those of demonstrations first, and the number of these.

        Args:
            share: of the batch that comes from demonstrations, 0 to 1.
            random: draws the segments.

        Raises:
            ConfigError: own segments are asked for, and every own episode was too short for one.
        """
        batch = self.settings.batch
        count = round(share * batch)
        if count < batch and not self.own.filled:
            steps = self.settings.segment
            raise ConfigError(
                f"every own episode so far was shorter than a segment, {steps} steps, so there is "
                "nothing to learn from: give a smaller segment, or episodes more steps"
            )
        if count == 0:
            return self.own.draw(batch, random), 0
        demonstrated = self.demonstrations.draw(count, random)
        if count == batch:
            return demonstrated, count
        return join(demonstrated, self.own.draw(batch - count, random)), count

    def prioritise(self, segment: Segment, count: int, priority: Tensor) -> None:
        """Set the priorities (batch,) of a batch whose first `count` segments are demonstrated."""
        if count:
            self.demonstrations.prioritise(segment.index[:count], priority[:count])
        if count < len(priority):
            self.own.prioritise(segment.index[count:], priority[count:])

    def steps_to_clone(self, random: torch.Generator) -> tuple[Any, Tensor]:
        """Observations (n, ...) and actions (n, action) of successful demonstrations."""
        return self.demonstrations.draw_successful(self.settings.clone_batch, random)

    def steps_to_imitate(self, random: torch.Generator) -> tuple[Any, Tensor] | None:
        """Observations (n, ...), or latents, and actions (n, action) to imitate, half of them from
        demonstrations and half from own successes; None without either.
        """
        half = self.settings.clone_batch // 2
        parts = [replay.draw_successful(half, random) for replay in (self.demonstrations, self.own)]
        parts = [(columns_of(observation), action) for observation, action in parts if len(action)]
        if not parts:
            return None
        names = parts[0][0]
        joined = {name: torch.cat([columns[name] for columns, _ in parts]) for name in names}
        return observation_of(joined), torch.cat([action for _, action in parts])

    def state_dict(self) -> dict[str, Any]:
        """Priorities and places of both replays; the episodes themselves are kept elsewhere."""
        return {
            "replay": self.own.state_dict(),
            "demonstrations": self.demonstrations.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`, after all episodes were added; other entries are ignored."""
        self.own.load_state_dict(state["replay"])
        self.demonstrations.load_state_dict(state["demonstrations"])


def _encode_shifted(agent: Modem, shifts: torch.Generator, observation: Any) -> Tensor:
    return agent.model.encode(agent.augment(observation, shifts))
