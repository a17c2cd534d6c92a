"""Ground actions on the way to their compiled form: which can ever be taken, and which fluents
matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worldplan.world_models.numeric.domain import (
    Comparison,
    Ground,
    Lifted,
    NumericAction,
    NumericProblem,
    Region,
    State,
    ground,
)


@dataclass
class Instance:
    """A ground action on the way to its compiled form."""

    action: NumericAction
    binding: Ground
    positive: set[Ground]
    negative: set[Ground]
    adds: set[Ground]
    deletes: set[Ground]
    fluents: list[Ground]  # those its numbers read, in the order of ActionNumerics.fluents
    effects: list[
        tuple[Ground, int]
    ]  # target and number of the effect; the last one of a target wins

    @classmethod
    def of(cls, action: NumericAction, binding: Ground, fluents: Iterable[Lifted]) -> Instance:
        """A lifted action with objects for parameters."""
        adds = {ground(atom, binding) for atom in action.adds}
        targets = {
            ground(target, binding): number for number, (target, _) in enumerate(action.effects)
        }
        return cls(
            action,
            binding,
            {ground(atom, binding) for atom in action.positive},
            {ground(atom, binding) for atom in action.negative},
            adds,
            {ground(atom, binding) for atom in action.deletes} - adds,
            [ground(fluent, binding) for fluent in fluents],
            list(targets.items()),
        )


def prune(instances: list[Instance], initial: State) -> list[Instance]:
    """Drop those that can never be taken because of what no remaining instance changes, until none
    is left to drop.
    """
    while True:
        deleted = {atom for one in instances for atom in one.deletes}
        added = {atom for one in instances for atom in one.adds}
        changed = {target for one in instances for target, _ in one.effects}
        lasting = initial.atoms - deleted
        possible = initial.atoms | added
        kept = [
            one
            for one in instances
            if not one.negative & lasting
            and not one.positive & one.negative
            and one.positive <= possible
            and _may_hold(one, changed, initial)
        ]
        if len(kept) == len(instances):
            for one in kept:
                one.positive -= lasting
                one.negative &= possible
            return kept
        instances = kept


def _may_hold(one: Instance, changed: set[Ground], initial: State) -> bool:
    """Whether its numeric conditions can hold as far as unchanging fluents tell, and those it reads
    can be defined.
    """
    values = initial.values
    if any(fluent not in values and fluent not in changed for fluent in one.fluents):
        return False
    for comparison in one.action.comparisons:
        if not changed.intersection(fluents_of(comparison, one.binding)) and not comparison.holds(
            one.binding, values
        ):
            return False
    for region in one.action.regions:
        fluents = [ground(fluent, one.binding) for fluent in region.fluents]
        if not changed.intersection(fluents):
            if not region.holds(one.binding, values):
                return False
        elif any(
            fluent not in changed
            and (
                (low is not None and values[fluent] < low)
                or (high is not None and values[fluent] > high)
            )
            for fluent, (low, high) in zip(fluents, region.shape.bounds(), strict=True)
        ):
            return False
    return True


def goal_unreachable(instances: list[Instance], problem: NumericProblem) -> str:
    """Why no state can satisfy the goal, where unchanging atoms and fluents tell; else ""."""
    goal, initial = problem.goal, problem.initial
    changed = changed_fluents(instances)
    possible = initial.atoms.union(*(one.adds for one in instances))
    lasting = initial.atoms.difference(*(one.deletes for one in instances))
    if missing := goal.positive - possible:
        return f"no action adds {min(missing)}"
    if stuck := goal.negative & lasting:
        return f"no action deletes {min(stuck)}"
    for comparison in goal.comparisons:
        fluents = fluents_of(comparison, ())
        if undefined := fluents.difference(changed, initial.values):
            return f"no value of {min(undefined)} is given or assigned"
        if not fluents & changed and not comparison.holds((), initial.values):
            return f"no action changes {', '.join(map(str, sorted(fluents)))}"
    return ""


def relevant_fluents(instances: list[Instance], problem: NumericProblem) -> set[Ground]:
    """The changing fluents that a condition or the goal depends on, through effects too.

    An effect that reads a fluent undefined at first may bar its action, so its target and what it
    reads count as well.
    """
    changed = changed_fluents(instances)
    relevant = {
        fluent for comparison in problem.goal.comparisons for fluent in fluents_of(comparison, ())
    } & changed
    readers: dict[Ground, set[Ground]] = {}  # target -> what its next value is computed from
    for one in instances:
        conditions: list[Comparison | Region] = [*one.action.comparisons, *one.action.regions]
        for condition in conditions:
            relevant |= changed.intersection(fluents_of(condition, one.binding))
        for target, number in one.effects:
            reads = {
                ground(fluent, one.binding) for fluent, _ in one.action.effects[number][1].terms
            }
            readers.setdefault(target, set()).update(reads & changed)
            if any(fluent not in problem.initial.values for fluent in reads):
                relevant.add(target)
    waiting = list(relevant)
    while waiting:
        for fluent in readers.get(waiting.pop(), set()) - relevant:
            relevant.add(fluent)
            waiting.append(fluent)
    return relevant


def changed_fluents(instances: list[Instance]) -> set[Ground]:
    """The fluents that some instance gives a new value."""
    return {target for one in instances for target, _ in one.effects}


def fluents_of(condition: Comparison | Region, binding: Ground) -> set[Ground]:
    """The ground fluents a condition names."""
    lifted = (
        [fluent for fluent, _ in condition.expression.terms]
        if isinstance(condition, Comparison)
        else condition.fluents
    )
    return {ground(fluent, binding) for fluent in lifted}
