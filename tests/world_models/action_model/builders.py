"""What the tests of action-model learning share: vocabularies, states and learners."""

from __future__ import annotations

from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.action_model.learner import ActionModelLearner
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import State, Vocabulary


def numeric(count: int, *actions: str) -> Vocabulary:
    """A domain of `count` numbers and actions without objects."""
    return Vocabulary(
        "numbers",
        {},
        {},
        {},
        {f"x{i}": () for i in range(count)},
        dict.fromkeys(actions or ("a",), ()),
    )


def state(*values: Rational, atoms: frozenset = frozenset()) -> State:
    return State(atoms, {(f"x{i}",): value for i, value in enumerate(values)})


def observe(pairs: list[tuple], failures: list[tuple] = (), **declaration) -> ActionModelLearner:
    """A learner that observed successes of action `a` as numbers before and after it,
    and failures.
    """
    learner = ActionModelLearner(numeric(len(pairs[0][0])), default=Declaration(**declaration))
    for before, after in pairs:
        learner.observe_transition(state(*before), ("a",), state(*after), True)
    for before in failures:
        learner.observe_transition(state(*before), ("a",), state(*before), False)
    return learner


def accepts(learner: ActionModelLearner, *values: Rational) -> bool:
    action = learner.model().actions.get("a")
    return action is not None and action.applicable((), state(*values))


def result(learner: ActionModelLearner, *values: Rational) -> tuple:
    after = learner.model().actions["a"].successor((), state(*values)).values
    return tuple(after[(f"x{i}",)] for i in range(len(values)))
