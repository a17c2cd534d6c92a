"""The states met on one map and the steps between them: observed ones, and those that a model
predicts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from worldplan.world_models.numeric.domain import Goal, Ground, NumericModel, State


class Step(Protocol):
    """An observed step."""

    @property
    def before(self) -> State:
        """Where it began."""
        ...

    @property
    def call(self) -> Ground:
        """What was done."""
        ...

    @property
    def after(self) -> State:
        """Where it led."""
        ...


class StateGraph:
    """A directed graph of states; an edge is a symbolic action."""

    def __init__(self) -> None:
        self._edges: dict[State, dict[Ground, State]] = {}
        self._calls: dict[State, Sequence[Ground]] = {}

    def __contains__(self, state: State) -> bool:
        return state in self._edges

    def __len__(self) -> int:
        return len(self._edges)

    def add(self, before: State, call: Ground, after: State) -> None:
        """An observed step; one that changes nothing only adds the state."""
        edges = self._edges.setdefault(before, {})
        self._edges.setdefault(after, {})
        if before != after:
            edges[call] = after

    def offer(self, state: State, calls: Sequence[Ground]) -> None:
        """Say which actions there are in a state, applicable or not: those a model is asked about."""
        self._calls[state] = calls

    def offered(self, state: State) -> Sequence[Ground]:
        """What `offer` said."""
        return self._calls.get(state, ())

    def shortest(
        self,
        start: State,
        goal: Goal,
        model: NumericModel | None = None,
        *,
        below: int | None = None,
        time_limit: float = 5.0,
    ) -> tuple[tuple[Ground, ...], tuple[State, ...]] | None:
        """A path with the fewest steps, over observed edges and, with a model, all predicted ones
        between states that were met.

        Args:
            start: a state of the graph.
            goal: where to.
            model: adds every offered action that the model thinks applicable and that leads to a
                state of the graph.
            below: only paths with fewer steps than this.
            time_limit: seconds, after which the search gives up.

        Returns:
            The actions in order and the state after each; None if there is no such path or the time
            is over.
        """
        end = time.monotonic() + time_limit
        came: dict[State, tuple[State, Ground] | None] = {start: None}
        layer = [start]
        steps = 0
        while layer and (below is None or steps < below):
            following: list[State] = []
            for state in layer:
                if goal.holds(state):
                    return self._path(came, state)
                if time.monotonic() > end:
                    return None
                if below is not None and steps + 1 >= below:
                    continue
                for call, after in self._steps(state, model):
                    if after not in came:
                        came[after] = (state, call)
                        following.append(after)
            layer, steps = following, steps + 1
        return None

    def _steps(self, state: State, model: NumericModel | None) -> Iterator[tuple[Ground, State]]:
        edges = self._edges.get(state, {})
        yield from edges.items()
        if model is not None:
            yield from self._predicted(
                state, model, [call for call in self.offered(state) if call not in edges]
            )

    def _predicted(
        self, state: State, model: NumericModel, calls: Iterable[Ground]
    ) -> Iterator[tuple[Ground, State]]:
        for call in calls:
            action = model.actions.get(call[0])
            if action is not None and action.applicable(call[1:], state):
                after = action.successor(call[1:], state)
                if after in self._edges:
                    yield call, after

    @staticmethod
    def _path(
        came: dict[State, tuple[State, Ground] | None], state: State
    ) -> tuple[tuple[Ground, ...], tuple[State, ...]]:
        calls: list[Ground] = []
        states: list[State] = []
        while (step := came[state]) is not None:
            states.append(state)
            state, call = step
            calls.append(call)
        return tuple(calls[::-1]), tuple(states[::-1])
