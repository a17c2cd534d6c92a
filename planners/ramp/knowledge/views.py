"""What an action sees of a state: the atoms and fluents over its own objects, with the objects'
names taken away.

Under the assumption of action-model learning, that an action looks at nothing else, equal views
have equal outcomes, in every state and on every map. So what failed once fails wherever it looks
the same.
"""

from __future__ import annotations

from typing import NamedTuple

from worldplan.planners.ramp.knowledge.constant_arguments import ConstantCalls
from worldplan.world_models.action_model.learner import lifted_terms
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Ground, Lifted, State, Vocabulary, ground

Values = tuple[Rational | None, ...]  # None: not defined


class View(NamedTuple):
    """A state as one action sees it.

    Args:
        call: the action with "?0", "?1", ... for its objects in order of appearance.
        atoms: the true ones, in the same names.
        values: of the action's fluents (`LiftedViews.fluents`).
    """

    call: Ground
    atoms: frozenset[Ground]
    values: Values


class LiftedViews:
    """Makes views of split calls (`ConstantCalls`).

    Args:
        vocabulary: the domain's, with the original actions.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.calls = ConstantCalls(vocabulary)
        self._atoms: dict[str, list[Lifted]] = {}
        self._fluents: dict[str, list[Lifted]] = {}
        self._known: dict[Ground, tuple[Ground, list[tuple[Ground, Ground]], list[Ground]]] = {}

    def view(self, call: Ground, state: State) -> View:
        """A state as a ground action sees it."""
        known = self._known.get(call)
        if known is None:
            known = self._known[call] = self._lift(call)
        pattern, atoms, fluents = known
        true, values = state.atoms, state.values
        return View(
            pattern,
            frozenset([lifted for atom, lifted in atoms if atom in true]),
            tuple([values.get(fluent) for fluent in fluents]),
        )

    def state(self, view: View) -> State:
        """A view as a state of its own, in which `view.call` is the action."""
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
        """The fluents over an action's parameters and constants."""
        if action not in self._fluents:
            vocabulary = self.calls.vocabulary
            self._fluents[action] = lifted_terms(
                vocabulary, vocabulary.actions[action], vocabulary.functions
            )
        return self._fluents[action]

    def forget(self) -> None:
        """Let go of the calls of a map that is over."""
        self._known.clear()

    def _lift(self, call: Ground) -> tuple[Ground, list[tuple[Ground, Ground]], list[Ground]]:
        name, *objects = call
        places: dict[str, str] = {}
        for one in objects:
            places.setdefault(one, f"?{len(places)}")
        binding, pattern = tuple(objects), tuple(places[one] for one in objects)
        if name not in self._atoms:
            vocabulary = self.calls.vocabulary
            self._atoms[name] = lifted_terms(
                vocabulary, vocabulary.actions[name], vocabulary.predicates
            )
        pairs: dict[Ground, Ground] = {
            ground(atom, binding): ground(atom, pattern) for atom in self._atoms[name]
        }
        return (
            (name, *pattern),
            list(pairs.items()),
            [ground(fluent, binding) for fluent in self.fluents(name)],
        )
