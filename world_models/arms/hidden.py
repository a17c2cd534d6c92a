"""A programme whose arms are seen on visits only, as a programme of belief states for planning.

See `worldplan.envs.bandits.seen` for the belief states.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.envs.bandits.seen import SeenArms, ages_of, of_belief_states, seen_on_visits
from worldplan.world_models.arms.programme import Built, Programme, check_size


@dataclass(frozen=True)
class HiddenProgramme:
    """A programme of belief states, and today's observation of it.

    Args:
        built: whose arms are belief states.
        seen: the belief states; None: all states are seen always, and `built` is the programme.
    """

    built: Built
    seen: SeenArms | None = None

    def observation(self, usual: Mapping[str, Any]) -> Mapping[str, Any]:
        """What policies see today.

        Args:
            usual: the observation of the states, or of today's belief from which `built` was made.
        """
        if self.seen is None:
            return usual
        state = np.full(self.built.instance.dynamics.arms, self.seen.today)
        return {"state": state, "steps_left": usual["steps_left"]}

    def sentences(self) -> list[str]:
        """What the plan counts on, in words."""
        if self.seen is None:
            return []
        shown = {"visits": "in which they are found", "outcomes": "after the visit"}
        words = (
            f"the plan counts on states that are seen on visits only: the state "
            f"{shown[self.seen.kind]}"
        )
        if self.seen.error:
            words += (
                f"; beliefs of {self.seen.ages - 1} and more steps count as equal, which changes "
                f"the value of the best plan by at most {self.seen.error:.3g}"
            )
        return [words]


def as_seen(
    built: Built, programme: Programme, belief: Floats | None = None, steps: int | None = None
) -> HiddenProgramme:
    """The programme of belief states that `programme.seen` asks for; else the programme itself.

    Args:
        built: the programme of the arms' states.
        programme: its settings.
        belief: (arms, states) of today; None: of the first states of an episode.
        steps: that are planned; None: the horizon. Of no meaning without an end.

    Raises:
        ConfigError: the arms are not visited or left, or there are too many belief states.
    """
    if programme.seen == "always":
        return HiddenProgramme(built)
    instance, kind, tolerance = built.instance, programme.seen, programme.seen_tolerance
    first = instance.initial if belief is None else belief
    ahead = instance.horizon if steps is None else steps
    discount = 1.0
    if instance.endless:
        discount, ahead = instance.discount, _without_end(instance)
    models = [instance.dynamics, *(built.models or ())]
    ages = None
    if built.models:
        ages = ages_of(models, first, ahead, kind, tolerance)
    made = [
        seen_on_visits(model, first, ahead, kind, tolerance=tolerance, ages=ages, discount=discount)
        for model in models
    ]
    check_size(programme, instance.dynamics.arms, made[0].dynamics.states)
    known: BanditInstance = of_belief_states(instance, made[0])
    members = tuple(each.dynamics for each in made[1:]) if built.models else None
    return HiddenProgramme(replace(built, instance=known, models=members, posterior=None), made[0])


def _without_end(instance: BanditInstance) -> int:
    """Steps after which the discounted weight of all further ones is 2e-9.

    Args:
        instance: without an end, discounted (`worldplan.world_models.arms.settings`).
    """
    return math.ceil(20 / (1 - instance.discount))
