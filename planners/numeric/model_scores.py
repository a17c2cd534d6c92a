"""Scores of a learned action model: precision and recall of preconditions and effects against the
true model, and self-consistency on the training data.

These are the measures of numeric action-model learning, with exact numbers and no tolerance.
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
Change = tuple[Ground, bool | Rational]  # an atom, its new truth; or a fluent, its new value


@dataclass(frozen=True, slots=True)
class Agreement:
    """Counts of predictions of a learned model that agree or disagree with the true model.

    Args:
        both: predicted by both models.
        learned_only: predicted by the learned model only.
        true_only: predicted by the true model only.
    """

    both: int = 0
    learned_only: int = 0
    true_only: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        """The counts of both."""
        return Agreement(
            self.both + other.both,
            self.learned_only + other.learned_only,
            self.true_only + other.true_only,
        )

    @property
    def precision(self) -> float:
        """Share of the learned model's predictions that are true; 1 if it predicts nothing."""
        predicted = self.both + self.learned_only
        return self.both / predicted if predicted else 1.0

    @property
    def recall(self) -> float:
        """Share of the true model's predictions that the learned model makes; NaN if there are
        none.
        """
        true = self.both + self.true_only
        return self.both / true if true else float("nan")


def precondition_agreement(
    true: NumericModel, learned: NumericModel, examples: Iterable[Example]
) -> dict[str, Agreement]:
    """Agreement on the applicability of each action of the true model.

    An action that was not learned counts as never applicable.

    Args:
        true: the true model.
        learned: the learned model.
        examples: states with ground actions.
    """
    agreement = dict.fromkeys(true.actions, Agreement())
    for state, (name, *binding) in examples:
        is_applicable = true.actions[name].applicable(tuple(binding), state)
        is_accepted = accepts(learned, name, tuple(binding), state)
        agreement[name] += Agreement(
            is_applicable and is_accepted,
            is_accepted and not is_applicable,
            is_applicable and not is_accepted,
        )
    return agreement


def effect_agreement(
    true: NumericModel, learned: NumericModel, examples: Iterable[Example]
) -> dict[str, Agreement]:
    """Agreement on the effects of each action of the true model, where both models allow the
    action.

    A predicted change is an atom with its new truth value or a fluent with its exact new value. A
    wrong value therefore lowers precision and recall alike.

    Args:
        true: the true model.
        learned: the learned model.
        examples: states with ground actions.
    """
    agreement = dict.fromkeys(true.actions, Agreement())
    for state, (name, *arguments) in examples:
        binding = tuple(arguments)
        if true.actions[name].applicable(binding, state) and accepts(learned, name, binding, state):
            true_changes = changes(state, true.actions[name].successor(binding, state))
            learned_changes = changes(state, learned.actions[name].successor(binding, state))
            agreement[name] += Agreement(
                len(true_changes & learned_changes),
                len(learned_changes - true_changes),
                len(true_changes - learned_changes),
            )
    return agreement


def accepts(model: NumericModel, name: str, binding: Ground, state: State) -> bool:
    """Whether a model has an action and the action is applicable in a state."""
    return name in model.actions and model.actions[name].applicable(binding, state)


def changes(before: State, after: State) -> set[Change]:
    """The atoms that became true or false, and the fluents with new values."""
    atom_changes: set[Change] = {(atom, True) for atom in after.atoms - before.atoms} | {
        (atom, False) for atom in before.atoms - after.atoms
    }
    return atom_changes | {
        (fluent, value)
        for fluent, value in after.values.items()
        if before.values.get(fluent) != value
    }


def reproduced(learned: NumericModel, trajectories: Iterable[Trajectory]) -> int:
    """Number of observed transitions that a model allows and whose successor state it predicts
    exactly.

    Transitions without information are not counted: failed ones, and unchanged states where it is
    unknown whether the action succeeded.

    Args:
        learned: the learned model.
        trajectories: the observations.
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
    """Examples along a random walk in the true model; the walk ends early if no action is
    applicable.

    Args:
        model: the true model.
        problem: the walk starts in its initial state.
        steps: largest number of examples.
        rng: draws the action first and then its objects, so that actions with many ground instances
            do not dominate.
        inapplicable: probability of an example with an inapplicable action, which leaves the state
            unchanged. Its atoms are reachable.

    Raises:
        DatasetError: the problem does not fit the model.
    """
    groups: dict[str, tuple[NumericAction, list[Ground]]] = {}
    for action, binding in reachable_bindings(model, problem):
        groups.setdefault(action.name, (action, []))[1].append(binding)
    state, examples = problem.initial, []
    for _ in range(steps):
        if rng.random() < inapplicable:
            rejected_call = _draw(list(groups.values()), state, False, rng)
            examples += (
                []
                if rejected_call is None
                else [(state, (rejected_call[0].name, *rejected_call[1]))]
            )
            continue
        applicable_call = _draw(list(groups.values()), state, True, rng)
        if applicable_call is None:
            break
        action, binding = applicable_call
        examples.append((state, (action.name, *binding)))
        state = action.successor(binding, state)
    return examples


def _draw(
    groups: Sequence[tuple[NumericAction, list[Ground]]],
    state: State,
    applicable: bool,
    rng: np.random.Generator,
) -> tuple[NumericAction, Ground] | None:
    """A random ground action that is applicable, or not, in a state; None if there is none."""
    for number in rng.permutation(len(groups)):
        action, bindings = groups[number]
        for i in rng.permutation(len(bindings)):
            if action.applicable(bindings[i], state) == applicable:
                return action, bindings[i]
    return None


def mean_recall(agreements: Mapping[str, Agreement]) -> float:
    """Mean recall over the actions with any true prediction; NaN if there are none."""
    recalls = [
        agreement.recall
        for agreement in agreements.values()
        if agreement.both + agreement.true_only
    ]
    return float(np.mean(recalls)) if recalls else float("nan")


def mean_precision(agreements: Mapping[str, Agreement]) -> float:
    """Mean precision over all actions."""
    return float(np.mean([agreement.precision for agreement in agreements.values()]))
