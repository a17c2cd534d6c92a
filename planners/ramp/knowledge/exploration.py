"""Exploration with a model: the nearest state in which something can be tried that was never tried
where it looked the same.

Sought are untried views of the actions that never succeeded: they are what a plan still lacks.
Reaching them is planned in a model, as in R-max (Brafman and Tennenholtz 2002), with lifted views
for the unknown, so that one try settles all that look alike.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence

from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.world_models.numeric.domain import (
    Ground,
    NumericModel,
    NumericProblem,
    State,
    Vocabulary,
)

EXPANDED = 3000  # states looked at


def nearest_untried(
    experience: Experience, model: NumericModel, problem: NumericProblem, time_limit: float
) -> tuple[Ground, ...] | None:
    """The shortest way, by a model, to an untried view of an action that never succeeded, and the
    try itself.

    Args:
        experience: what was tried and what succeeded.
        model: predicts states; its actions are split (`ConstantCalls`).
        problem: where to start, and the objects to think of.
        time_limit: seconds.

    Returns:
        The calls, the last of which is the try; None if there is no such way or the limits were
        reached.
    """
    end = time.monotonic() + time_limit
    words = experience.views.calls.vocabulary
    tries = [
        (name, *binding)
        for name in experience.unknown_actions()
        for binding in _bindings(words, words.actions[name], problem)
    ]
    moves = [
        (action, binding)
        for action in model.actions.values()
        for binding in _bindings(words, action.parameters, problem)
    ]
    came: dict[State, tuple[State, Ground] | None] = {problem.initial: None}
    waiting = deque([problem.initial])
    for _ in range(EXPANDED if tries else 0):
        if not waiting or time.monotonic() > end:
            break
        state = waiting.popleft()
        if (found := _untried(experience, state, tries)) is not None:
            return _way(came, state, found)
        for action, binding in moves:
            if action.applicable(binding, state):
                after = action.successor(binding, state)
                if after not in came:
                    came[after] = (state, (action.name, *binding))
                    waiting.append(after)
    return None


def _bindings(
    vocabulary: Vocabulary, parameters: Sequence[tuple[str, str]], problem: NumericProblem
) -> Iterator[Ground]:
    """Different objects, constants aside, that fit an action's parameters."""
    objects = [
        (one, kind) for one, kind in problem.objects.items() if one not in vocabulary.constants
    ]
    fitting = [
        [one for one, kind in objects if vocabulary.is_a(kind, wanted)] for _, wanted in parameters
    ]

    def choose(chosen: Ground, left: Sequence[Sequence[str]]) -> Iterator[Ground]:
        if not left:
            yield chosen
            return
        for one in left[0]:
            if one not in chosen:
                yield from choose((*chosen, one), left[1:])

    yield from choose((), fitting)


def _untried(experience: Experience, state: State, tries: Sequence[Ground]) -> Ground | None:
    for call in tries:
        view = experience.views.view(call, state)
        # what the environment never offered anywhere, it will not offer here
        if (
            view not in experience.tries
            and (view.call, view.atoms) in experience.offered
            and not experience.known_to_fail(view)
        ):
            return call
    return None


def _way(
    came: dict[State, tuple[State, Ground] | None], state: State, last: Ground
) -> tuple[Ground, ...]:
    calls = [last]
    while (step := came[state]) is not None:
        state, call = step
        calls.append(call)
    return tuple(calls[::-1])
