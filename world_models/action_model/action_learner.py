"""One action, learned from its transitions: the discrete SAM rules and the numeric part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

from worldplan.milp.errors import DatasetError
from worldplan.world_models.action_model.hypothesis_classes import Declaration, fluent_text
from worldplan.world_models.action_model.numeric_effects import (
    LearnedNumerics,
    NumericTransitions,
    Refuted,
    check_declaration,
    learn_numerics,
)
from worldplan.world_models.exact.numbers import Point
from worldplan.world_models.numeric.domain import (
    Ground,
    Lifted,
    NumericAction,
    State,
    Vocabulary,
    ground,
    object_for,
)
from worldplan.world_models.numeric.precision import rounding_hint


class Excluded(Exception):
    """An action cannot be learned soundly from the data; the message says why."""


@dataclass
class ObservedChanges:
    """The observed changes of one kind (atoms made true, or atoms made false).

    Args:
        clauses: for each change, the lifted atoms that may explain it.
        contradicted: lifted atoms that some transition did not change in this way.
    """

    clauses: set[frozenset[Lifted]] = field(default_factory=set)
    contradicted: set[Lifted] = field(default_factory=set)

    def learned(self, what: str, parameters: tuple[tuple[str, str], ...]) -> frozenset[Lifted]:
        """The lifted atoms that explain the changes.

        Args:
            what: "made true" or "made false", for messages.
            parameters: (name, type) pairs of the action.

        Raises:
            Excluded: a change has no explanation left, or several.
        """
        explanation: set[Lifted] = set()
        for clause in self.clauses:
            possible = clause - self.contradicted
            names = " or ".join(sorted(f"({fluent_text(atom, parameters)})" for atom in clause))
            if not possible:
                raise Excluded(
                    f"{names} is {what} in some transitions and not in others: a conditional effect"
                )
            if len(possible) > 1:
                raise Excluded(
                    f"{names} is {what}: what was seen does not tell which, because a parameter "
                    "named a constant"
                )
            explanation |= possible
        return frozenset(explanation)


class ActionLearner:
    """The observations of one action, and the action learned from them.

    Args:
        vocabulary: the declarations of the domain.
        name: the action.
        declaration: what is known about its numbers.
    """

    def __init__(self, vocabulary: Vocabulary, name: str, declaration: Declaration) -> None:
        self.vocabulary, self.name, self.declaration = vocabulary, name, declaration
        self.parameters = vocabulary.actions[name]
        self.atoms = lifted_terms(vocabulary, self.parameters, vocabulary.predicates)
        self.fluents = lifted_terms(vocabulary, self.parameters, vocabulary.functions)
        self.distinct = frozenset(_distinct_pairs(vocabulary, self.parameters, self.fluents))
        self.positive, self.negative = set(self.atoms), set(self.atoms)
        self.adds, self.deletes = ObservedChanges(), ObservedChanges()
        self.rows: dict[Point, Point] = {}
        self.contradiction: Lifted | None = None  # a fluent with two values after the same numbers
        self.others: dict[tuple[Point, Point], None] = {}  # pairs whose numbers before `rows` has
        self.failures: dict[tuple[frozenset[Lifted], Point], None] = {}
        self.observations = self.skipped = 0
        self.excluded, self.refuted = "", ""
        self._changed = True
        self._action: NumericAction | None = None
        check_declaration(declaration, self.names, name)

    @property
    def names(self) -> dict[str, int]:
        """Position of each lifted fluent by its text."""
        return {fluent_text(fluent, self.parameters): i for i, fluent in enumerate(self.fluents)}

    def repeats(self, binding: Ground) -> bool:
        """Whether two terms that must differ stand for the same object."""
        return any(object_for(a, binding) == object_for(b, binding) for a, b in self.distinct)

    def succeed(self, binding: Ground, before: State, after: State) -> None:
        """Add a transition that succeeded.

        Raises:
            DatasetError: something changed that is not over the action's objects.
        """
        explanations = self._explanations(binding, before, after)
        row, label = self._numbers(binding, before), self._numbers(binding, after)
        self.observations += 1
        true_before = {
            atom for atom in self.positive | self.negative if ground(atom, binding) in before.atoms
        }
        if self.positive - true_before or self.negative & true_before:
            self._changed = True
            self.positive &= true_before
            self.negative -= true_before
        # how many lifted atoms stand for a ground one: above 1 if a parameter names a constant
        multiplicity = Counter(ground(atom, binding) for atom in self.atoms)
        for effects, changes, value in (
            (self.adds, after.atoms - before.atoms, True),
            (self.deletes, before.atoms - after.atoms, False),
        ):
            new = {frozenset(explanations[atom]) for atom in changes} - effects.clauses
            effects.clauses |= new
            # a delete may be hidden by the add of another lifted atom for the same ground atom
            contradicted = {
                atom
                for atom in self.atoms
                if ((ground_atom := ground(atom, binding)) in after.atoms) != value
                and (value or multiplicity[ground_atom] == 1)
            }
            self._changed |= bool(new) or not contradicted <= effects.contradicted
            effects.contradicted |= contradicted
        self._add_numbers(row, label)

    def _add_numbers(self, row: Point, label: Point) -> None:
        """Add the numbers before and after a transition."""
        if row not in self.rows:
            self._changed = True
            self.rows[row] = label
        elif self.rows[row] != label:
            self.others[row, label] = None
            if self.contradiction is None:
                self._changed = True
                self.contradiction = next(
                    f for f, a, b in zip(self.fluents, self.rows[row], label, strict=True) if a != b
                )

    def fail(self, binding: Ground, before: State) -> None:
        """Add a transition that failed."""
        atoms = frozenset(atom for atom in self.atoms if ground(atom, binding) in before.atoms)
        example = (atoms, self._numbers(binding, before))
        if example not in self.failures:
            self.failures[example] = None
            self._changed = self._changed or (
                self._action is not None and self._accepts(self._action, example)
            )

    def pairs(self) -> list[tuple[Point, Point]]:
        """The distinct (numbers before, numbers after) of the transitions that succeeded."""
        return [*self.rows.items(), *self.others]

    def action(self) -> NumericAction | None:
        """The learned action; None if it is excluded (`excluded` says why)."""
        if self._changed:
            self._changed = False
            try:
                self._action = self._learn()
                self.excluded = ""
            except Excluded as reason:
                self._action = None
                self.excluded = str(reason)
        return self._action

    def _learn(self) -> NumericAction:
        """The action, learned from all observations.

        Raises:
            Excluded: it was never observed, or the data contradict every class that may be used.
        """
        self.refuted = ""
        if not self.rows:
            raise Excluded("never observed")
        if self.contradiction:
            text = fluent_text(self.contradiction, self.parameters)
            raise Excluded(
                f"({text}) takes two different values after the same numbers: its effect is not a "
                "function of the action's fluents"
            )
        adds = self.adds.learned("made true", self.parameters)
        deletes = self.deletes.learned("made false", self.parameters)
        distinct = self.distinct | self._distinct_from_constants(adds, deletes)
        data = NumericTransitions(self.name, self.parameters, tuple(self.fluents), self.rows)

        def build(numerics: LearnedNumerics) -> NumericAction:
            return NumericAction(
                self.name,
                self.parameters,
                frozenset(self.positive),
                frozenset(self.negative),
                distinct,
                numerics.comparisons,
                numerics.regions,
                adds,
                deletes,
                numerics.effects,
            )

        def refuting(numerics: LearnedNumerics) -> str:
            action = build(numerics)
            failure = next(
                (example for example in self.failures if self._accepts(action, example)), None
            )
            if failure is None:
                return ""
            names = zip(self.fluents, failure[1], strict=True)
            return "it failed at " + (
                ", ".join(f"{fluent_text(f, self.parameters)} = {value}" for f, value in names)
                or "an accepted state"
            )

        try:
            numerics = self._numerics(data, refuting)
        except Refuted as error:
            raise Excluded(str(error)) from error
        self.refuted = numerics.refuted
        return build(numerics)

    def _distinct_from_constants(
        self, adds: frozenset[Lifted], deletes: frozenset[Lifted]
    ) -> set[tuple[int | str, int | str]]:
        """Pairs of a parameter and a constant that must differ: where they are the same object, an
        add that is not ruled out could hide a delete.

        Raises:
            Excluded: an atom was true only where a parameter was a constant, so that a delete of it
                could be hidden.
        """
        for atom in set(self.atoms) - deletes - self.deletes.contradicted - self.negative:
            text = fluent_text(atom, self.parameters)
            raise Excluded(
                f"({text}) was true only where a parameter named a constant, so that making it "
                "false could be hidden"
            )
        distinct_pairs: set[tuple[int | str, int | str]] = set()
        for deleted in deletes:
            for added in set(self.atoms) - adds - self.adds.contradicted:
                if deleted[0] == added[0] and deleted != added:
                    pairs = [
                        (a, b) if isinstance(a, int) else (b, a)
                        for a, b in zip(deleted[1:], added[1:], strict=True)
                        if a != b
                    ]
                    if all(isinstance(a, int) and isinstance(b, str) for a, b in pairs):
                        distinct_pairs.add(pairs[0])
        return distinct_pairs

    def _accepts(self, action: NumericAction, example: tuple[frozenset[Lifted], Point]) -> bool:
        """Whether the action would be applicable in a lifted state, given as (true
        atoms, numbers).
        """
        atoms, numbers = example
        if not (action.positive <= atoms and not action.negative & atoms):
            return False
        binding = tuple(f"?{i}" for i in range(len(self.parameters)))
        values = {
            ground(fluent, binding): value
            for fluent, value in zip(self.fluents, numbers, strict=True)
            if value is not None
        }
        return (
            all(comparison.holds(binding, values) for comparison in action.comparisons)
            and all(region.holds(binding, values) for region in action.regions)
            and all(after.has_value(binding, values) for _, after in action.effects)
        )

    def _numerics(
        self, data: NumericTransitions, refuting: Callable[[LearnedNumerics], str]
    ) -> LearnedNumerics:
        """The numeric part.

        Raises:
            Refuted: the data contradict every class.
        """
        return learn_numerics(data, self.declaration, refuting)

    def _changed_fluents(self, before: State, after: State) -> list[Ground]:
        """The fluents whose values changed."""
        if before.values == after.values:
            return []
        fluents = before.values.keys() | after.values.keys()
        return [f for f in fluents if before.values.get(f) != after.values.get(f)]

    def _numbers(self, binding: Ground, state: State) -> Point:
        # None stands for an undefined fluent
        return tuple(state.values.get(ground(fluent, binding)) for fluent in self.fluents)  # type: ignore[misc]

    def _explanations(
        self, binding: Ground, before: State, after: State
    ) -> dict[Ground, list[Lifted]]:
        """The lifted atoms that may explain each changed ground atom.

        Raises:
            DatasetError: something changed that is not over the action's objects.
        """
        changes = before.atoms ^ after.atoms
        explanations: dict[Ground, list[Lifted]] = {atom: [] for atom in changes}
        for atom in self.atoms:
            if (ground_atom := ground(atom, binding)) in changes:
                explanations[ground_atom].append(atom)
        unexplained: list[Ground] = [atom for atom, lifted in explanations.items() if not lifted]
        if changed := self._changed_fluents(before, after):
            own_fluents = {ground(fluent, binding) for fluent in self.fluents}
            unexplained += [fluent for fluent in changed if fluent not in own_fluents]
        if unexplained:
            hint = rounding_hint(unexplained, before, after)
            raise DatasetError(
                f"({' '.join(min(unexplained))}) changes, which is not over the action's objects: "
                f"the state does not follow from the action{hint}"
            )
        return explanations


def lifted_terms(
    vocabulary: Vocabulary,
    parameters: Sequence[tuple[str, str]],
    declared: Mapping[str, tuple[str, ...]],
) -> list[Lifted]:
    """Every declared predicate or function over parameters and constants of fitting types.

    Args:
        vocabulary: types and constants.
        parameters: (name, type) pairs of the action.
        declared: argument types of the predicates or functions, by name.
    """
    terms: list[tuple[int | str, str]] = [(i, kind) for i, (_, kind) in enumerate(parameters)]
    terms += list(vocabulary.constants.items())
    lifted: list[Lifted] = []
    for name, kinds in declared.items():
        for chosen_terms in product(terms, repeat=len(kinds)):
            if all(
                vocabulary.is_a(kind, expected)
                for (_, kind), expected in zip(chosen_terms, kinds, strict=True)
            ):
                lifted.append((name, *(term for term, _ in chosen_terms)))
    return lifted


def _distinct_pairs(
    vocabulary: Vocabulary, parameters: Sequence[tuple[str, str]], fluents: Sequence[Lifted]
) -> Iterable[tuple[int | str, int | str]]:
    """Pairs of terms that must differ: parameters that could be the same object, and a parameter
    and a constant whose equality would make two numeric fluents the same.
    """
    for (i, (_, a)), (j, (_, b)) in combinations(enumerate(parameters), 2):
        if any(
            vocabulary.is_a(kind, a) and vocabulary.is_a(kind, b)
            for kind in {a, b, *vocabulary.types}
        ):
            yield (i, j)
    for i in range(len(parameters)):
        for constant in vocabulary.constants:
            swapped = {
                tuple(constant if term == i and k else term for k, term in enumerate(fluent))
                for fluent in fluents
                if i in fluent[1:]
            }
            if swapped & set(fluents):
                yield (i, constant)
