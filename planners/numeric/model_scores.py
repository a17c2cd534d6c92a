"""How good a learned action model is against the true one: exact applicability, exact effects, and
itself on what it was learned from.

The measures are those of numeric action-model learning (precision and recall of preconditions and
of effects), with every number exact and no tolerance anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worldplan.planners.numeric.task.grounding import reachable_bindings
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    Ground,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
)
from worldplan.world_models.numeric.trajectories import Trajectory

Example = tuple[State, Ground]  # a state, and an action that might be taken there
Change = tuple[
    Ground, bool | Rational
]  # an atom with its new truth, or a fluent with its new value


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a learned model says against the truth: said by both, by the learned model only, by the
    true one only.
    """

    both: int = 0
    learned_only: int = 0
    true_only: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.both + other.both,
            self.learned_only + other.learned_only,
            self.true_only + other.true_only,
        )

    @property
    def precision(self) -> float:
        """Share of what the learned model says that is true; 1 if it says nothing."""
        said = self.both + self.learned_only
        return self.both / said if said else 1.0

    @property
    def recall(self) -> float:
        """Share of what is true that the learned model says; NaN if nothing is."""
        true = self.both + self.true_only
        return self.both / true if true else float("nan")


def precondition_agreement(
    true: NumericModel, learned: NumericModel, examples: Iterable[Example]
) -> dict[str, Agreement]:
    """For every action of the true model, where each model would let it be taken; an action that
    was not learned is never taken.
    """
    found = dict.fromkeys(true.actions, Agreement())
    for state, (name, *binding) in examples:
        right = true.actions[name].applicable(tuple(binding), state)
        said = accepts(learned, name, tuple(binding), state)
        found[name] += Agreement(right and said, said and not right, right and not said)
    return found


def effect_agreement(
    true: NumericModel, learned: NumericModel, examples: Iterable[Example]
) -> dict[str, Agreement]:
    """For every action of the true model, the changes that each model predicts where both would
    take it.

    A change is an atom with its new truth or a fluent with its exact new value, so a wrong value
    counts against precision and recall alike.
    """
    found = dict.fromkeys(true.actions, Agreement())
    for state, (name, *arguments) in examples:
        binding = tuple(arguments)
        if true.actions[name].applicable(binding, state) and accepts(learned, name, binding, state):
            right = changes(state, true.actions[name].successor(binding, state))
            said = changes(state, learned.actions[name].successor(binding, state))
            found[name] += Agreement(len(right & said), len(said - right), len(right - said))
    return found


def accepts(model: NumericModel, name: str, binding: Ground, state: State) -> bool:
    """Whether a model has the action and would let it be taken."""
    return name in model.actions and model.actions[name].applicable(binding, state)


def changes(before: State, after: State) -> set[Change]:
    """Atoms made true and false, and fluents with their new values."""
    found: set[Change] = {(atom, True) for atom in after.atoms - before.atoms} | {
        (atom, False) for atom in before.atoms - after.atoms
    }
    return found | {
        (fluent, value)
        for fluent, value in after.values.items()
        if before.values.get(fluent) != value
    }


def reproduced(learned: NumericModel, trajectories: Iterable[Trajectory]) -> int:
    """How many transitions of trajectories the model accepts and carries to exactly the next state
    that was seen.

    Transitions that cannot teach anything are not counted: failed ones, and those without a change
    whose success is unknown.
    """
    count = 0
    for trajectory in trajectories:
        for i, (name, *arguments) in enumerate(trajectory.calls):
            before, after, binding = (
                trajectory.states[i],
                trajectory.states[i + 1],
                tuple(arguments),
            )
            if trajectory.succeeded[i] is False or (
                trajectory.succeeded[i] is None and before == after
            ):
                continue
            count += (
                accepts(learned, name, binding, before)
                and learned.actions[name].successor(binding, before) == after
            )
    return count


def transition_examples(trajectories: Iterable[Trajectory]) -> list[Example]:
    """Every state of trajectories with the action that was tried in it."""
    return [
        example
        for trajectory in trajectories
        for example in zip(trajectory.states[:-1], trajectory.calls, strict=True)
    ]


def random_walk(
    model: NumericModel,
    problem: NumericProblem,
    steps: int,
    rng: np.random.Generator,
    inapplicable: float = 0.25,
) -> list[Example]:
    """Examples along a random walk through the true model, which ends early where nothing can be
    done.

    Args:
        model: the true model.
        problem: where the walk begins.
        steps: examples, at most.
        rng: picks the action first and its objects then, so that actions with many objects do not
            crowd out the others.
        inapplicable: share of steps that try an action whose atoms are within reach but which
            cannot be taken now.

    Raises:
        DatasetError: the problem does not fit the model.
    """
    groups: dict[str, tuple[NumericAction, list[Ground]]] = {}
    for action, binding in reachable_bindings(model, problem):
        groups.setdefault(action.name, (action, []))[1].append(binding)
    state, examples = problem.initial, []
    for _ in range(steps):
        if rng.random() < inapplicable:
            wrong = _draw(list(groups.values()), state, False, rng)
            examples += [] if wrong is None else [(state, (wrong[0].name, *wrong[1]))]
            continue
        right = _draw(list(groups.values()), state, True, rng)
        if right is None:
            break
        action, binding = right
        examples.append((state, (action.name, *binding)))
        state = action.successor(binding, state)
    return examples


def _draw(
    groups: Sequence[tuple[NumericAction, list[Ground]]],
    state: State,
    applicable: bool,
    rng: np.random.Generator,
) -> tuple[NumericAction, Ground] | None:
    for number in rng.permutation(len(groups)):
        action, bindings = groups[number]
        for i in rng.permutation(len(bindings)):
            if action.applicable(bindings[i], state) == applicable:
                return action, bindings[i]
    return None


def mean_recall(agreements: Mapping[str, Agreement]) -> float:
    """Mean over the actions that are true somewhere; NaN if none is."""
    values = [one.recall for one in agreements.values() if one.both + one.true_only]
    return float(np.mean(values)) if values else float("nan")


def mean_precision(agreements: Mapping[str, Agreement]) -> float:
    """Mean over all actions."""
    return float(np.mean([one.precision for one in agreements.values()]))
