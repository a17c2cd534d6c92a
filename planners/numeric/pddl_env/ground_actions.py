"""The ground actions of one problem, prepared so that the applicable ones of a state are found
quickly and exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldplan.planners.numeric.pddl_env.slots import Slots
from worldplan.world_models.numeric.domain import (
    Ground,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
    ground,
    object_for,
)


@dataclass(frozen=True)
class _Candidate:
    """A ground action that may become applicable.

    Args:
        action: the lifted action.
        binding: its objects.
        positive: ground atoms that must be true and that some action can change.
        negative: ground atoms that must be false and that some action can change.
    """

    action: NumericAction
    binding: Ground
    positive: frozenset[Ground]
    negative: frozenset[Ground]

    def applicable(self, state: State) -> bool:
        """Whether the precondition holds; its literals are compared first, which is quick."""
        return (
            self.positive <= state.atoms
            and self.negative.isdisjoint(state.atoms)
            and self.action.applicable(self.binding, state)
        )


class GroundActions:
    """The numbered actions of an environment in one problem.

    Args:
        model: the domain.
        slots: of the environment.
        problem: the problem.

    Attributes:
        placed: the object in each slot, "" where there is none.
        calls: the ground action of each action number; None where a slot is empty.
        number: the action number of each ground action.
    """

    def __init__(self, model: NumericModel, slots: Slots, problem: NumericProblem) -> None:
        self.model = model
        self.placed = slots.place(problem)
        self.calls: list[Ground | None] = [
            slots.ground(call, self.placed) for call in slots.actions
        ]
        self.number = {call: i for i, call in enumerate(self.calls) if call is not None}
        self._candidates = self._useful(problem.initial)

    def mask(self, state: State) -> NDArray[np.bool_]:
        """Which actions are applicable: bool (actions,)."""
        mask = np.zeros(len(self.calls), np.bool_)
        mask[[n for n, each in self._candidates.items() if each.applicable(state)]] = True
        return mask

    def applicable(self, number: int, state: State) -> bool:
        """Whether an action is applicable; never where it does not exist in this problem."""
        candidate = self._candidates.get(number)
        return candidate is not None and candidate.applicable(state)

    def successor(self, number: int, state: State) -> State:
        """The successor state of an applicable action."""
        candidate = self._candidates[number]
        return candidate.action.successor(candidate.binding, state)

    def _useful(self, initial: State) -> dict[int, _Candidate]:
        """The actions by number, without those that can never be applicable: two objects that must
        differ are the same, or an atom that no action changes has the wrong value.
        """
        changed = {atom[0] for a in self.model.actions.values() for atom in a.adds | a.deletes}
        candidates = {}
        for call, number in self.number.items():
            action, binding = self.model.actions.get(call[0]), call[1:]
            if action is None:
                continue
            positive = {ground(atom, binding) for atom in action.positive}
            negative = {ground(atom, binding) for atom in action.negative}
            if (
                any(object_for(a, binding) == object_for(b, binding) for a, b in action.distinct)
                or any(a[0] not in changed and a not in initial.atoms for a in positive)
                or any(a[0] not in changed and a in initial.atoms for a in negative)
            ):
                continue
            candidates[number] = _Candidate(
                action,
                binding,
                frozenset(a for a in positive if a[0] in changed),
                frozenset(a for a in negative if a[0] in changed),
            )
        return candidates
