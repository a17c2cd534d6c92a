"""Ground actions before their compilation: which of them can ever be applicable, and which fluents
matter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    Comparison,
    Ground,
    Lifted,
    Linear,
    NumericAction,
    NumericProblem,
    Region,
    State,
    ground,
)
from worldplan.world_models.numeric.products import DivisionByZero, Product, sum_value


@dataclass
class Instance:
    """A ground action before its compilation.

    Args:
        action: the lifted action.
        binding: the objects for its parameters.
        positive: atoms that must be true.
        negative: atoms that must be false.
        adds: atoms that become true.
        deletes: atoms that become false (disjoint from `adds`).
        fluents: the fluents that its conditions and effects read, in the order of
            `ActionNumerics.fluents`.
        effects: (changed fluent, number of the effect) pairs; of two effects on the same fluent the
            last one counts.
    """

    action: NumericAction
    binding: Ground
    positive: set[Ground]
    negative: set[Ground]
    adds: set[Ground]
    deletes: set[Ground]
    fluents: list[Ground]
    effects: list[tuple[Ground, int]]

    @classmethod
    def of(cls, action: NumericAction, binding: Ground, fluents: Iterable[Lifted]) -> Instance:
        """The ground action of a binding.

        Args:
            action: the lifted action.
            binding: the objects for its parameters.
            fluents: the lifted fluents that its conditions and effects read.
        """
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
    """The instances that may become applicable, as far as unchanging atoms and fluents show.

    Instances are dropped until no further one can be dropped. Atoms that always hold are removed
    from the preconditions of the others.

    Args:
        instances: the ground actions.
        initial: the initial state.
    """
    while True:
        deleted = {atom for instance in instances for atom in instance.deletes}
        added = {atom for instance in instances for atom in instance.adds}
        changed = {target for instance in instances for target, _ in instance.effects}
        always_true = initial.atoms - deleted
        possible = initial.atoms | added
        kept = [
            instance
            for instance in instances
            if not instance.negative & always_true
            and not instance.positive & instance.negative
            and instance.positive <= possible
            and _may_hold(instance, changed, initial)
        ]
        if len(kept) == len(instances):
            for instance in kept:
                instance.positive -= always_true
                instance.negative &= possible
            return kept
        instances = kept


def _may_hold(instance: Instance, changed: set[Ground], initial: State) -> bool:
    """Whether the numeric conditions may hold, judged by the fluents that never change, and whether
    all fluents that the instance reads can be defined.
    """
    values = initial.values
    if any(fluent not in values and fluent not in changed for fluent in instance.fluents):
        return False
    if any(
        _divides_by_zero(after, instance.binding, values) for _, after in instance.action.effects
    ):
        return False
    for comparison in instance.action.comparisons:
        if not changed.intersection(
            fluents_of(comparison, instance.binding)
        ) and not comparison.holds(instance.binding, values):
            return False
        if _divides_by_zero(comparison.expression, instance.binding, values):
            return False
    for region in instance.action.regions:
        fluents = [ground(fluent, instance.binding) for fluent in region.fluents]
        if not changed.intersection(fluents):
            if not region.holds(instance.binding, values):
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


def _divides_by_zero(
    expression: Linear, binding: Ground, values: Mapping[Ground, Rational]
) -> bool:
    """Whether a divisor, which no action changes, is 0 for these objects."""
    try:
        for term, _ in expression.terms:
            for divisor in term.divisors if isinstance(term, Product) else ():
                if not sum_value(divisor, binding, values):
                    return True
    except DivisionByZero:
        return True
    return False


def goal_unreachable(instances: list[Instance], problem: NumericProblem) -> str:
    """Why no state can satisfy the goal, judged by unchanging atoms and fluents; "" if one may."""
    goal, initial = problem.goal, problem.initial
    changed = changed_fluents(instances)
    possible = initial.atoms.union(*(instance.adds for instance in instances))
    always_true = initial.atoms.difference(*(instance.deletes for instance in instances))
    if never_true := goal.positive - possible:
        return f"no action adds {min(never_true)}"
    if never_false := goal.negative & always_true:
        return f"no action deletes {min(never_false)}"
    for comparison in goal.comparisons:
        fluents = fluents_of(comparison, ())
        if undefined := fluents.difference(changed, initial.values):
            return f"no value of {min(undefined)} is given or assigned"
        if _divides_by_zero(comparison.expression, (), initial.values):
            return "a comparison of the goal divides by zero"
        if not fluents & changed and not comparison.holds((), initial.values):
            return f"no action changes {', '.join(map(str, sorted(fluents)))}"
    return ""


def relevant_fluents(
    instances: list[Instance], problem: NumericProblem, also: Collection[Ground] = ()
) -> set[Ground]:
    """The changing fluents on which a condition, the goal or others depend, also through effects.

    An effect that reads an initially undefined fluent can make its action inapplicable. Therefore
    its target and the fluents that it reads are relevant, too.

    Args:
        instances: the ground actions.
        problem: the problem.
        also: further fluents that are relevant where they change.
    """
    changed = changed_fluents(instances)
    in_goal = {
        fluent for comparison in problem.goal.comparisons for fluent in fluents_of(comparison, ())
    }
    relevant = in_goal.union(also) & changed
    inputs: dict[Ground, set[Ground]] = {}  # of a fluent's next value
    for instance in instances:
        conditions: list[Comparison | Region] = [
            *instance.action.comparisons,
            *instance.action.regions,
        ]
        for condition in conditions:
            relevant |= changed.intersection(fluents_of(condition, instance.binding))
        for target, number in instance.effects:
            read_fluents = {
                ground(fluent, instance.binding)
                for fluent in instance.action.effects[number][1].fluents
            }
            inputs.setdefault(target, set()).update(read_fluents & changed)
            if any(fluent not in problem.initial.values for fluent in read_fluents):
                relevant.add(target)
    unexplored = list(relevant)
    while unexplored:
        for fluent in inputs.get(unexplored.pop(), set()) - relevant:
            relevant.add(fluent)
            unexplored.append(fluent)
    return relevant


def changed_fluents(instances: list[Instance]) -> set[Ground]:
    """The fluents that some instance changes."""
    return {target for instance in instances for target, _ in instance.effects}


def fluents_of(condition: Comparison | Region, binding: Ground) -> set[Ground]:
    """The ground fluents of a condition."""
    lifted = (
        condition.expression.fluents if isinstance(condition, Comparison) else condition.fluents
    )
    return {ground(fluent, binding) for fluent in lifted}
