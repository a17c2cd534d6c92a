"""The waiting states of a greedy search with several estimates: two queues for each estimate.

One queue of an estimate has all states, the other those that are reached by preferred actions; it
gets more turns whenever the least estimate drops (alternation and boosting after Richter and
Helmert, ICAPS 2009; several estimates after Roeger and Helmert, ICAPS 2010).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from worldplan.planners.numeric.task.rules import Value
from worldplan.planners.numeric.task.task import Node

BOOST = 100  # extra turns of the preferred queue for a new least estimate

Step = tuple[Node, int, int, Node]  # parent, number of the action (-1: none), repetitions, state
Entry = tuple[float, int, Step]  # estimate, order of generation, step


class OpenLists:
    """Queues of steps, taken in turn.

    Args:
        count: number of estimates.
        initial: the initial state, which waits first.

    Attributes:
        best: the least value of each estimate so far.
    """

    def __init__(self, count: int, initial: Node) -> None:
        self.best = [math.inf] * count
        # all, preferred, all, ...; the last: successors of novel states
        self._queues: list[list[Entry]] = [[] for _ in range(2 * count + 1)]
        self._turns = [0] * (2 * count + 1)
        self._generated = 0
        self._queues[0].append((0.0, 0, (initial, -1, 0, initial)))

    def push(self, kind: int, estimate: float, step: Step, is_preferred: bool) -> None:
        """Let a step wait with the value of one estimate."""
        self._generated += 1
        entry = (estimate, self._generated, step)
        heapq.heappush(self._queues[2 * kind], entry)
        if is_preferred:
            heapq.heappush(self._queues[2 * kind + 1], entry)

    def push_novel(self, estimate: float, step: Step) -> None:
        """Let a step from a novel state wait."""
        self._generated += 1
        heapq.heappush(self._queues[-1], (estimate, self._generated, step))

    def pop(self) -> Step | None:
        """The next step: the first of the queue with the fewest turns; None if none waits."""
        waiting = [number for number, queue in enumerate(self._queues) if queue]
        if not waiting:
            return None
        # of queues with equal turns a preferred one is first
        number = min(waiting, key=lambda number: (self._turns[number], -(number % 2)))
        self._turns[number] += 1
        return heapq.heappop(self._queues[number])[2]

    def record(self, estimates: Sequence[float]) -> bool:
        """Note the estimates of a state; returns whether one is the least of its kind so far."""
        is_new = False
        for kind, estimate in enumerate(estimates):
            if estimate < self.best[kind]:
                self.best[kind] = estimate
                self._turns[2 * kind + 1] -= BOOST
                is_new = True
        return is_new


class Novelty:
    """Which states have a value or an atom that no earlier state with the same estimate had."""

    def __init__(self) -> None:
        self._atoms: dict[float, int] = {}
        self._values: dict[float, set[tuple[int, Value]]] = {}

    def is_new(self, node: Node, estimate: float) -> bool:
        """Whether a state is novel; it counts as seen from then on."""
        bits, values = node
        atoms = self._atoms.get(estimate, 0)
        seen = self._values.setdefault(estimate, set())
        count = len(seen)
        seen.update(enumerate(values))
        self._atoms[estimate] = atoms | bits
        return bool(bits & ~atoms) or len(seen) > count
