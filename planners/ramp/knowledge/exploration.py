"""Model-based exploration: a plan to the nearest state in which an action that never succeeded has
an untried view, or in which a try of any action is informative.

Actions that never succeeded are what a plan to the goal still lacks. The way to such a state is
planned in a model, as in R-max (Brafman and Tennenholtz 2002). The unknown is counted in views
rather than states, so one try covers all states in which the action's view is the same.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence

from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.information import Information
from worldplan.world_models.numeric.domain import (
    Ground,
    NumericModel,
    NumericProblem,
    State,
    Vocabulary,
)

MAX_EXPANDED = 3000  # states expanded per search


def nearest_untried(
    experience: Experience,
    model: NumericModel,
    problem: NumericProblem,
    time_limit: float,
    information: Information | None = None,
) -> tuple[Ground, ...] | None:
    """The shortest plan, in a model, to an untried view of an action that never succeeded.

    Args:
        experience: what was tried and what succeeded.
        model: predicts successor states; its actions are split (`ActionSplitter`).
        problem: start state and objects.
        time_limit: seconds.
        information: if given, to the try of any action that has information.

    Returns:
        The ground actions, the last of which is the untried one; None if there is no such plan or a
        limit was reached.
    """
    end = time.monotonic() + time_limit
    vocabulary = experience.views.splitter.vocabulary
    candidates = [
        (name, *binding)
        for name in (experience.unknown_actions() if information is None else vocabulary.actions)
        for binding in _bindings(vocabulary, vocabulary.actions[name], problem)
    ]
    moves = [
        (action, binding)
        for action in model.actions.values()
        for binding in _bindings(vocabulary, action.parameters, problem)
    ]
    parents: dict[State, tuple[State, Ground] | None] = {problem.initial: None}
    queue = deque([problem.initial])
    for _ in range(MAX_EXPANDED if candidates else 0):
        if not queue or time.monotonic() > end:
            break
        state = queue.popleft()
        if (untried := _untried(experience, state, candidates, information)) is not None:
            return _path(parents, state, untried)
        for action, binding in moves:
            if action.applicable(binding, state):
                after = action.successor(binding, state)
                if after not in parents:
                    parents[after] = (state, (action.name, *binding))
                    queue.append(after)
    return None


def _bindings(
    vocabulary: Vocabulary, parameters: Sequence[tuple[str, str]], problem: NumericProblem
) -> Iterator[Ground]:
    """Tuples of different objects, without constants, that fit the parameter types."""
    objects = [
        (name, kind) for name, kind in problem.objects.items() if name not in vocabulary.constants
    ]
    candidates = [
        [name for name, kind in objects if vocabulary.is_a(kind, parameter_type)]
        for _, parameter_type in parameters
    ]

    def extend(binding: Ground, remaining: Sequence[Sequence[str]]) -> Iterator[Ground]:
        if not remaining:
            yield binding
            return
        for name in remaining[0]:
            if name not in binding:
                yield from extend((*binding, name), remaining[1:])

    yield from extend((), candidates)


def _untried(
    experience: Experience,
    state: State,
    candidates: Sequence[Ground],
    information: Information | None,
) -> Ground | None:
    """The first candidate that is untried, not known to fail, and offered by the environment; with
    `information`, the most informative of these.
    """
    best: tuple[float, Ground | None] = (0.0, None)
    for call in candidates:
        view = experience.views.view(call, state)
        # the environment offers an action according to its atoms: if it never offered the action
        # with these atoms in any state, it will not do so here
        if (
            view not in experience.tries
            and (view.call, view.atoms) in experience.offered
            and not experience.known_to_fail(view)
        ):
            if information is None:
                return call
            if (bits := information.bits(view)) > best[0]:
                best = (bits, call)
    return best[1]


def _path(
    parents: dict[State, tuple[State, Ground] | None], state: State, last: Ground
) -> tuple[Ground, ...]:
    """The actions from the start to `state`, then `last`."""
    calls = [last]
    while (step := parents[state]) is not None:
        state, call = step
        calls.append(call)
    return tuple(calls[::-1])
