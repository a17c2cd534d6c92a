"""The greatest value that any policy can have, from the rewards that were seen.

With rewards of at most r and an entropy bonus of at most b a step,

    Q = r + gamma (1 - d) [Q' + b] <= (r + gamma b) / (1 - gamma),

and a negative bound rises to r where an episode may end. Bootstrapped values above it are not
those of any policy.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from worldplan.planners.offline.settings import ReachAwareSettings


class ValueCeiling:
    """The bound for each of `seeds` trainings, and one warning where the mean Q passes it.

    Args:
        settings: of the method.
        seeds: trainings side by side.
    """

    def __init__(self, settings: ReachAwareSettings, seeds: int) -> None:
        self.settings = settings
        self.greatest = torch.full((seeds,), -torch.inf)
        self.ends = torch.zeros(seeds, dtype=torch.bool)
        self.warned = False

    def see(self, reward: Tensor, terminated: Tensor) -> None:
        """Take transitions into account; those whose reward is NaN are left out.

        Args:
            reward: (seeds, n), or (n,) for all seeds.
            terminated: of the same shape, 0 or 1.
        """
        known = ~reward.isnan()
        greatest = torch.where(known, reward, -torch.inf).amax(-1).cpu()
        self.greatest = self.greatest.maximum(greatest)
        self.ends = self.ends | ((terminated > 0) & known).any(-1).cpu()

    def bound(self, bonus: Tensor) -> Tensor:
        """The bound of each seed, (seeds,), for the entropy bonus of a step, (seeds,)."""
        gamma = self.settings.discount
        step = self.greatest + gamma * bonus.cpu().clamp_min(0)
        forever = step / (1 - gamma)
        return torch.where(self.ends, forever.maximum(self.greatest), forever)

    def compare(self, q: Tensor, bound: Tensor, epoch: int) -> None:
        """Warn, once, where the mean Q of a seed is above its bound, both (seeds,)."""
        above = q.cpu() > bound
        if self.warned or not bool(above.any()):
            return
        self.warned = True
        seed = int(above.nonzero()[0])
        warnings.warn(
            f"epoch {epoch}, seed {seed} of {len(bound)}: the mean Q {float(q[seed]):.4g} is above "
            f"{float(bound[seed]):.4g}, which is the value of the greatest reward seen "
            f"({float(self.greatest[seed]):.4g}) in every step: no policy attains it, so the "
            f"values are overestimated: set {self._remedies(float(bound[seed]))}",
            stacklevel=1,  # a warning that belongs to Lightning is not shown
        )

    def _remedies(self, bound: float) -> str:
        settings = self.settings
        changes = [] if settings.layer_norm else ["layer_norm to true"]
        if settings.target_cap is None or settings.target_cap > bound:
            changes.append(f"target_cap to {bound:.4g}")
        return ", or ".join([*changes, f"critics above {settings.critics}"])

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"greatest": self.greatest, "ends": self.ends, "warned": self.warned}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        self.greatest = self.greatest.maximum(state["greatest"])
        self.ends = self.ends | state["ends"]
        self.warned = bool(state["warned"])
