"""What every scripted demonstrator is: a policy that sees everything."""

from __future__ import annotations

from abc import ABC, abstractmethod

from worldplan.envs.manipulation.environment import ManipulationEnv
from worldplan.envs.manipulation.task import Array


class Demonstrator(ABC):
    """Solves one task from privileged state. `reset` before every episode, then `act` once per
    control step.
    """

    stage = 0  # which part of the plan is under way

    def reset(self) -> None:
        """Begin an episode."""
        self.stage = 0

    def advance(self, when: bool) -> None:
        """Go to the next stage if `when`."""
        self.stage += when

    @abstractmethod
    def act(self, env: ManipulationEnv) -> Array:
        """The normalised action (A,) without noise; `env` is the unwrapped environment."""
