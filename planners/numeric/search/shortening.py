"""Make a found plan shorter without searching anew: cut across its own states, then leave out what
it does not need.

Source of the second: greedy action elimination (Nakhost and Müller, ICAPS 2010).
"""

from __future__ import annotations

from collections.abc import Sequence

from worldplan.planners.numeric.task.budget import LimitReached, SearchLimits
from worldplan.planners.numeric.task.task import GroundTask, Node


def shorten(task: GroundTask, plan: Sequence[int], limits: SearchLimits) -> list[int]:
    """A valid plan no longer than `plan` (numbers of actions); what it has so far when the budget
    is spent.
    """
    best = list(plan)
    try:
        while True:
            shorter = _without_needless(task, _across(task, best, limits), limits)
            if len(shorter) == len(best):
                return best
            best = shorter
    except LimitReached:
        return best


def path_to(node: Node, came: dict[Node, tuple[Node, int] | None]) -> list[int]:
    """Numbers of the actions that lead to a state."""
    plan = []
    while (step := came[node]) is not None:
        node, number = step
        plan.append(number)
    return plan[::-1]


def _across(task: GroundTask, plan: list[int], limits: SearchLimits) -> list[int]:
    """The shortest way from the first to the last state over states of the plan, by any actions:
    without loops and detours.
    """
    last = task.initial
    states = {last}
    for number in plan:
        last = _step(task, number, last)
        states.add(last)
    came: dict[Node, tuple[Node, int] | None] = {task.initial: None}
    row = [task.initial]
    while last not in came:
        following = []
        for node in row:
            limits.check()
            for number, child in task.successors(node):
                if child in states and child not in came:
                    came[child] = (node, number)
                    following.append(child)
        row = following
    return path_to(last, came)


def _without_needless(task: GroundTask, plan: list[int], limits: SearchLimits) -> list[int]:
    """Leave out each action in turn, with those that then cannot be taken, wherever the goal is
    still reached.
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
    after = task.apply(number, node)
    if after is None:
        raise AssertionError(
            f"{task.actions[number].name} cannot be taken where a plan takes it: a fault of the planner, please report it"
        )
    return after
