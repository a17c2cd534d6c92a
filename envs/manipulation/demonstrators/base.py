"""The interface of a scripted demonstrator: a policy that reads the simulator's state."""

from __future__ import annotations

from abc import ABC, abstractmethod

from worldplan.envs.manipulation.environment import ManipulationEnv
from worldplan.envs.manipulation.task import Array


class Demonstrator(ABC):
    """Solves one task from the simulator's state.

    Call `reset` before every episode, then `act` once per control step. `stage` is the part of the
    script that is running.
    """

    stage = 0

    def reset(self) -> None:
        """Start an episode: return to the first stage."""
        self.stage = 0

    def advance(self, when: bool) -> None:
        """Enter the next stage if `when` is true."""
        self.stage += when

    @abstractmethod
    def act(self, env: ManipulationEnv) -> Array:
        """The normalised action (A,) without noise; `env` is the unwrapped environment."""
