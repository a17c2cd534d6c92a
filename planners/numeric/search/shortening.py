"""Plans of a ground task in, shorter plans out: by shortcuts across the plan's own states, then by
leaving out unneeded actions.

Source of the second step: greedy action elimination (Nakhost and Müller, ICAPS 2010).
"""

from __future__ import annotations

from collections.abc import Sequence

from worldplan.planners.numeric.task.budget import LimitReached, SearchLimits
from worldplan.planners.numeric.task.task import GroundTask, Node
from worldplan.world_models.numeric.domain import Ground, NumericModel, NumericProblem
from worldplan.world_models.numeric.execution import is_valid

# the step to each generated state: parent, action, and how often the action was applied; None for
# the initial state
Parents = dict[Node, tuple[Node, int, int] | None]


def shorten(task: GroundTask, plan: Sequence[int], limits: SearchLimits) -> list[int]:
    """A valid plan that is no longer than `plan`; the best one so far when a limit is reached.

    Args:
        task: the task.
        plan: numbers of the actions of a valid plan.
        limits: limits of time and memory.
    """
    best = list(plan)
    try:
        while True:
            shorter = _without_unneeded(task, _shortcuts(task, best, limits), limits)
            if len(shorter) == len(best):
                return best
            best = shorter
    except LimitReached:
        return best


def shortened(
    model: NumericModel,
    problem: NumericProblem,
    plan: tuple[Ground, ...],
    limits: SearchLimits,
) -> tuple[Ground, ...]:
    """A valid plan that is no longer than `plan`, a valid plan of any planner.

    Args:
        model: the actions.
        problem: objects, initial state and goal.
        plan: a valid plan.
        limits: limits of time and memory, grounding included.
    """
    try:
        task = GroundTask(model, problem, limits.check)
    except LimitReached:
        return plan
    kept = task.numbers(plan)  # an action that was left out changes nothing that matters
    node: Node | None = task.initial
    for number in kept:
        node = task.apply(number, node) if node is not None else None
    if node is None or not task.is_goal(node):
        return plan
    shorter = task.calls(shorten(task, kept, limits))
    if len(shorter) < len(plan) and is_valid(model, problem, shorter):
        return shorter
    return plan


def path_to(node: Node, parents: Parents) -> list[int]:
    """Numbers of the actions that lead to a state.

    Args:
        node: the state.
        parents: the step to each generated state.
    """
    plan: list[int] = []
    while (step := parents[node]) is not None:
        node, number, times = step
        plan += [number] * times
    return plan[::-1]


def _shortcuts(task: GroundTask, plan: list[int], limits: SearchLimits) -> list[int]:
    """The shortest path from the first to the last state over states of the plan, by any actions.

    Raises:
        LimitReached: a limit of time or memory.
    """
    last = task.initial
    states = {last}
    for number in plan:
        last = _step(task, number, last)
        states.add(last)
    parents: Parents = {task.initial: None}
    frontier = [task.initial]
    while last not in parents:
        next_frontier = []
        for node in frontier:
            limits.check()
            for number, child in task.successors(node):
                if child in states and child not in parents:
                    parents[child] = (node, number, 1)
                    next_frontier.append(child)
        frontier = next_frontier
    return path_to(last, parents)


def _without_unneeded(task: GroundTask, plan: list[int], limits: SearchLimits) -> list[int]:
    """Leave out each action in turn, with those that then become inapplicable, wherever the goal is
    still reached.

    Raises:
        LimitReached: a limit of time or memory.
    """
    place, before = 0, task.initial
    while place < len(plan):
        node, rest = before, []
        for number in plan[place + 1 :]:
            limits.check()
            after = task.apply(number, node)
            if after is not None:
                rest.append(number)
                node = after
        if task.is_goal(node):
            plan = plan[:place] + rest
        else:
            before = _step(task, plan[place], before)
            place += 1
    return plan


def _step(task: GroundTask, number: int, node: Node) -> Node:
    """The successor state.

    Raises:
        AssertionError: the action is not applicable, which is a bug of the planner.
    """
    after = task.apply(number, node)
    if after is None:
        raise AssertionError(
            f"{task.actions[number].name} is not applicable where a plan applies it: a bug of the "
            "planner; please report it"
        )
    return after
