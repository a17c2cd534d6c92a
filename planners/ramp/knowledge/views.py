"""The part of a state that an action depends on: the atoms and fluents over its own objects, with
the objects' names replaced by positions.

Action-model learning assumes that an action depends on nothing else. Then equal views have equal
outcomes in every state and on every map: an action that failed once fails wherever its view is the
same.
"""

from __future__ import annotations

from typing import NamedTuple

from worldplan.planners.ramp.knowledge.constant_arguments import ActionSplitter
from worldplan.world_models.action_model.action_learner import lifted_terms
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Ground, Lifted, State, Vocabulary, ground

Values = tuple[Rational | None, ...]  # None: not defined


class View(NamedTuple):
    """The part of a state that one action depends on.

    Args:
        call: the split action with "?0", "?1", ... for its objects, in order of first appearance.
        atoms: the true atoms over these objects and the constants.
        values: of the action's fluents, in the order of `LiftedViews.fluents`.
    """

    call: Ground
    atoms: frozenset[Ground]
    values: Values


class LiftedViews:
    """Computes views of split actions (`ActionSplitter`).

    Args:
        vocabulary: of the domain, with the original actions.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.splitter = ActionSplitter(vocabulary)
        self._atoms: dict[str, list[Lifted]] = {}
        self._fluents: dict[str, list[Lifted]] = {}
        # per ground action: `View.call`, (ground atom, lifted atom) pairs, ground fluents
        self._lifted: dict[Ground, tuple[Ground, list[tuple[Ground, Ground]], list[Ground]]] = {}

    def view(self, call: Ground, state: State) -> View:
        """The view of a state by a ground split action."""
        lifted_call = self._lifted.get(call)
        if lifted_call is None:
            lifted_call = self._lifted[call] = self._lift(call)
        pattern, atoms, fluents = lifted_call
        true_atoms, values = state.atoms, state.values
        return View(
            pattern,
            frozenset([lifted for atom, lifted in atoms if atom in true_atoms]),
            tuple([values.get(fluent) for fluent in fluents]),
        )

    def state(self, view: View) -> State:
        """A view as a state, for `view.call` as the ground action."""
        fluents = [ground(fluent, view.call[1:]) for fluent in self.fluents(view.call[0])]
        return State(
            view.atoms,
            {
                fluent: value
                for fluent, value in zip(fluents, view.values, strict=True)
                if value is not None
            },
        )

    def fluents(self, action: str) -> list[Lifted]:
        """All fluents over the parameters of a split action and the constants."""
        if action not in self._fluents:
            vocabulary = self.splitter.vocabulary
            self._fluents[action] = lifted_terms(
                vocabulary, vocabulary.actions[action], vocabulary.functions
            )
        return self._fluents[action]

    def clear_cache(self) -> None:
        """Drop the cached ground actions, when a map is finished."""
        self._lifted.clear()

    def _lift(self, call: Ground) -> tuple[Ground, list[tuple[Ground, Ground]], list[Ground]]:
        name, *objects = call
        positions: dict[str, str] = {}
        for name_of_object in objects:
            positions.setdefault(name_of_object, f"?{len(positions)}")
        binding = tuple(objects)
        pattern = tuple(positions[name_of_object] for name_of_object in objects)
        if name not in self._atoms:
            vocabulary = self.splitter.vocabulary
            self._atoms[name] = lifted_terms(
                vocabulary, vocabulary.actions[name], vocabulary.predicates
            )
        lifted_of: dict[Ground, Ground] = {
            ground(atom, binding): ground(atom, pattern) for atom in self._atoms[name]
        }
        return (
            (name, *pattern),
            list(lifted_of.items()),
            [ground(fluent, binding) for fluent in self.fluents(name)],
        )
