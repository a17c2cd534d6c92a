"""The states observed on one map and the transitions between them: observed ones, and those that a
model predicts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from worldplan.world_models.numeric.domain import Goal, Ground, NumericModel, State


class SymbolicTransition(Protocol):
    """An observed transition."""

    @property
    def before(self) -> State:
        """The state before it."""
        ...

    @property
    def call(self) -> Ground:
        """The split action."""
        ...

    @property
    def after(self) -> State:
        """The successor state."""
        ...


class StateGraph:
    """A directed graph of states; its edges are ground split actions."""

    def __init__(self) -> None:
        self._edges: dict[State, dict[Ground, State]] = {}
        self._calls: dict[State, Sequence[Ground]] = {}

    def __contains__(self, state: State) -> bool:
        """Whether the state was observed."""
        return state in self._edges

    def add(self, before: State, call: Ground, after: State) -> None:
        """Add an observed transition. If it changed nothing, only its state is added."""
        edges = self._edges.setdefault(before, {})
        self._edges.setdefault(after, {})
        if before != after:
            edges[call] = after

    def set_calls(self, state: State, calls: Sequence[Ground]) -> None:
        """Store the environment's actions in a state, applicable or not. A model predicts the
        outcomes of these.
        """
        self._calls[state] = calls

    def calls(self, state: State) -> Sequence[Ground]:
        """The actions stored by `set_calls`; empty if there are none."""
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
        """A path with the fewest steps from `start` to the goal, by breadth-first search.

        Args:
            start: a state of the graph.
            goal: holds in the last state.
            model: adds an edge for every stored action (`set_calls`) that is applicable in the
                model and whose predicted successor is a state of the graph.
            below: only paths with fewer steps than this.
            time_limit: seconds, after which the search stops.

        Returns:
            The actions in order and the state after each; None if there is no such path or the time
            limit was reached.
        """
        end = time.monotonic() + time_limit
        parents: dict[State, tuple[State, Ground] | None] = {start: None}
        layer = [start]
        steps = 0
        while layer and (below is None or steps < below):
            next_layer: list[State] = []
            for state in layer:
                if goal.holds(state):
                    return self._path(parents, state)
                if time.monotonic() > end:
                    return None
                if below is not None and steps + 1 >= below:
                    continue
                for call, after in self._successors(state, model):
                    if after not in parents:
                        parents[after] = (state, call)
                        next_layer.append(after)
            layer, steps = next_layer, steps + 1
        return None

    def _successors(
        self, state: State, model: NumericModel | None
    ) -> Iterator[tuple[Ground, State]]:
        edges = self._edges.get(state, {})
        yield from edges.items()
        if model is not None:
            unobserved = [call for call in self.calls(state) if call not in edges]
            yield from self._predicted(state, model, unobserved)

    def _predicted(
        self, state: State, model: NumericModel, calls: Iterable[Ground]
    ) -> Iterator[tuple[Ground, State]]:
        """(action, successor) of the applicable actions whose predicted successor was observed."""
        for call in calls:
            action = model.actions.get(call[0])
            if action is not None and action.applicable(call[1:], state):
                after = action.successor(call[1:], state)
                if after in self:
                    yield call, after

    @staticmethod
    def _path(
        parents: dict[State, tuple[State, Ground] | None], state: State
    ) -> tuple[tuple[Ground, ...], tuple[State, ...]]:
        calls: list[Ground] = []
        states: list[State] = []
        while (step := parents[state]) is not None:
            states.append(state)
            state, call = step
            calls.append(call)
        return tuple(calls[::-1]), tuple(states[::-1])
