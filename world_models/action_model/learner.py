"""Safe action models from trajectories: the discrete SAM rules and NSAM in exact numbers,
incrementally.

Mordoch, Juba, Stern: "Learning Safe Numeric Action Models" (AAAI 2023); Juba, Le, Stern: "Safe
Learning of Lifted Action Models" (KR 2021). Every plan of the learned model is valid in the true
one and reaches the same states, provided that the true preconditions lie in the declared class
(convex by default) and the effects are affine. An action whose data show that they are not is left
out and named, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

from worldplan.milp.errors import DatasetError
from worldplan.world_models.action_model.hypothesis_classes import Declaration, fluent_text
from worldplan.world_models.action_model.numeric_effects import (
    LearnedNumerics,
    NumericTransitions,
    Refuted,
    learn_numerics,
)
from worldplan.world_models.exact.numbers import Point
from worldplan.world_models.numeric.domain import (
    Ground,
    Lifted,
    NumericAction,
    NumericModel,
    State,
    Vocabulary,
    ground,
    object_for,
)
from worldplan.world_models.numeric.trajectories import Trajectory


class Excluded(Exception):
    """Why an action cannot be learned soundly from what was seen."""


@dataclass(frozen=True)
class LearningReport:
    """What happened to each action.

    Args:
        excluded: actions left out of the model, with the reason.
        refuted: actions whose declared class the data contradict, with the evidence; a weaker class
            was used.
        observations: successful transitions used, per action.
        skipped: transitions that taught nothing: nothing changed and no status says whether it
            succeeded, or a repeated object.
    """

    excluded: Mapping[str, str]
    refuted: Mapping[str, str]
    observations: Mapping[str, int]
    skipped: Mapping[str, int]


class ActionModelLearner:
    """Collects transitions and turns them into a model, as often as wanted.

    Args:
        vocabulary: the partial domain.
        declarations: what is known about single actions' numbers.
        default: the declaration of all other actions.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        declarations: Mapping[str, Declaration] | None = None,
        default: Declaration | None = None,
    ) -> None:
        declarations = {
            name.lower(): declaration for name, declaration in (declarations or {}).items()
        }
        for name in declarations:
            if name not in vocabulary.actions:
                raise DatasetError(
                    f"a declaration is given for '{name}', which is not an action of domain '{vocabulary.name}'"
                )
        self.vocabulary = vocabulary
        self._learners = {
            name: _ActionLearner(vocabulary, name, declarations.get(name, default or Declaration()))
            for name in vocabulary.actions
        }

    def observe(self, trajectory: Trajectory) -> None:
        """Take in a trajectory.

        Raises:
            DatasetError: names the transition whose next state does not follow from its action's
                objects.
        """
        for i, call in enumerate(trajectory.calls):
            try:
                self.observe_transition(
                    trajectory.states[i], call, trajectory.states[i + 1], trajectory.succeeded[i]
                )
            except DatasetError as error:
                raise DatasetError(
                    f"{trajectory.source}: transition {i + 1}, ({' '.join(call)}): {error}"
                ) from error

    def observe_all(self, trajectories: Iterable[Trajectory]) -> ActionModelLearner:
        """Take in several trajectories; returns itself."""
        for trajectory in trajectories:
            self.observe(trajectory)
        return self

    def observe_transition(
        self, before: State, call: Ground, after: State, succeeded: bool | None = None
    ) -> None:
        """Take in one transition; `succeeded` None: unknown, so that one that changes nothing
        teaches nothing.

        Raises:
            DatasetError: a failed action changed the state, or something not over the action's
                objects changed.
        """
        learner = self._learners.get(call[0])
        if learner is None:
            raise DatasetError(f"domain '{self.vocabulary.name}' has no action '{call[0]}'")
        changed = before.atoms != after.atoms or before.values != after.values
        if succeeded is False and changed:
            raise DatasetError("the action is marked as failed and yet the state changed")
        binding = call[1:]
        if learner.repeats(binding) or (succeeded is None and not changed):
            learner.skipped += 1
        elif succeeded is False:
            learner.fail(binding, before)
        else:
            learner.succeed(binding, before, after)

    def model(self) -> NumericModel:
        """The model of everything seen so far; `detail["report"]` is its LearningReport. Unchanged
        actions are not learned again.
        """
        actions = {name: learner.action() for name, learner in self._learners.items()}
        learners = self._learners.items()
        report = LearningReport(
            {name: learner.excluded for name, learner in learners if learner.excluded},
            {name: learner.refuted for name, learner in learners if learner.refuted},
            {name: learner.observations for name, learner in learners},
            {name: learner.skipped for name, learner in learners if learner.skipped},
        )
        return NumericModel(
            self.vocabulary,
            {name: action for name, action in actions.items() if action is not None},
            {"report": report},
        )


def learn(
    vocabulary: Vocabulary,
    trajectories: Iterable[Trajectory],
    declarations: Mapping[str, Declaration] | None = None,
    default: Declaration | None = None,
) -> NumericModel:
    """A safe model from trajectories in one call."""
    return ActionModelLearner(vocabulary, declarations, default).observe_all(trajectories).model()


@dataclass
class _Effects:
    """Changes of one kind (atoms made true, or made false) with their possible explanations."""

    clauses: set[frozenset[Lifted]] = field(default_factory=set)
    contradicted: set[Lifted] = field(default_factory=set)

    def learned(self, what: str, parameters: tuple[tuple[str, str], ...]) -> frozenset[Lifted]:
        """The one explanation of every change. Raises Excluded."""
        chosen: set[Lifted] = set()
        for clause in self.clauses:
            live = clause - self.contradicted
            names = " or ".join(sorted(f"({fluent_text(atom, parameters)})" for atom in clause))
            if not live:
                raise Excluded(
                    f"{names} is {what} in some transitions and not in others: a conditional effect"
                )
            if len(live) > 1:
                raise Excluded(
                    f"{names} is {what}: what was seen does not tell which, because a parameter named a constant"
                )
            chosen |= live
        return frozenset(chosen)


class _ActionLearner:
    """What has been seen of one action."""

    def __init__(self, vocabulary: Vocabulary, name: str, declaration: Declaration) -> None:
        self.vocabulary, self.name, self.declaration = vocabulary, name, declaration
        self.parameters = vocabulary.actions[name]
        self.atoms = lifted_terms(vocabulary, self.parameters, vocabulary.predicates)
        self.fluents = lifted_terms(vocabulary, self.parameters, vocabulary.functions)
        self.distinct = frozenset(_distinct_pairs(vocabulary, self.parameters, self.fluents))
        self.positive, self.negative = set(self.atoms), set(self.atoms)
        self.adds, self.deletes = _Effects(), _Effects()
        self.rows: dict[Point, Point] = {}
        self.contradiction: Lifted | None = None  # the same numbers before, other numbers after
        self.failures: dict[tuple[frozenset[Lifted], Point], None] = {}
        self.observations = self.skipped = 0
        self.excluded, self.refuted = "", ""
        self._changed, self._action = True, None
        LearnedNumerics.check(declaration, self.names, name)

    _action: NumericAction | None

    @property
    def names(self) -> dict[str, int]:
        """Position of each lifted fluent by its text."""
        return {fluent_text(fluent, self.parameters): i for i, fluent in enumerate(self.fluents)}

    def repeats(self, binding: Ground) -> bool:
        """Whether two things that are taken for different ones are the same object."""
        return any(object_for(a, binding) == object_for(b, binding) for a, b in self.distinct)

    def succeed(self, binding: Ground, before: State, after: State) -> None:
        """A transition that succeeded."""
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
        met = Counter(
            ground(atom, binding) for atom in self.atoms
        )  # above 1 where a parameter names a constant
        for effects, changes, value in (
            (self.adds, after.atoms - before.atoms, True),
            (self.deletes, before.atoms - after.atoms, False),
        ):
            new = {frozenset(explanations[atom]) for atom in changes} - effects.clauses
            effects.clauses |= new
            # a delete may be hidden by the add of another atom that is the same one here
            against = {
                atom
                for atom in self.atoms
                if ((one := ground(atom, binding)) in after.atoms) != value
                and (value or met[one] == 1)
            }
            self._changed |= bool(new) or not against <= effects.contradicted
            effects.contradicted |= against
        if row not in self.rows:
            self._changed = True
            self.rows[row] = label
        elif self.rows[row] != label and self.contradiction is None:
            self._changed = True
            self.contradiction = next(
                f for f, a, b in zip(self.fluents, self.rows[row], label, strict=True) if a != b
            )

    def fail(self, binding: Ground, before: State) -> None:
        """A transition that could not be taken."""
        atoms = frozenset(atom for atom in self.atoms if ground(atom, binding) in before.atoms)
        example = (atoms, self._numbers(binding, before))
        if example not in self.failures:
            self.failures[example] = None
            self._changed = self._changed or (
                self._action is not None and self._accepts(self._action, example)
            )

    def action(self) -> NumericAction | None:
        """The learned action; None if it was never seen or is excluded (`excluded` says why)."""
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
        self.refuted = ""
        if not self.rows:
            raise Excluded("never observed")
        if self.contradiction:
            text = fluent_text(self.contradiction, self.parameters)
            raise Excluded(
                f"({text}) takes two different values after the same numbers: its effect is not a function of the action's fluents"
            )
        adds = self.adds.learned("made true", self.parameters)
        deletes = self.deletes.learned("made false", self.parameters)
        distinct = self.distinct | self._apart(adds, deletes)
        data = NumericTransitions(self.name, self.parameters, tuple(self.fluents), self.rows)

        def build(rules: LearnedNumerics) -> NumericAction:
            return NumericAction(
                self.name,
                self.parameters,
                frozenset(self.positive),
                frozenset(self.negative),
                distinct,
                rules.comparisons,
                rules.regions,
                adds,
                deletes,
                rules.effects,
            )

        def refuting(rules: LearnedNumerics) -> str:
            action = build(rules)
            failure = next((one for one in self.failures if self._accepts(action, one)), None)
            if failure is None:
                return ""
            names = zip(self.fluents, failure[1], strict=True)
            return "it failed at " + (
                ", ".join(f"{fluent_text(f, self.parameters)} = {value}" for f, value in names)
                or "an accepted state"
            )

        try:
            rules = learn_numerics(data, self.declaration, refuting)
        except Refuted as error:
            raise Excluded(str(error)) from error
        self.refuted = rules.refuted
        return build(rules)

    def _apart(
        self, adds: frozenset[Lifted], deletes: frozenset[Lifted]
    ) -> set[tuple[int | str, int | str]]:
        """Parameters and constants that must differ, since an add not ruled out could hide a delete
        where they are one. Raises Excluded.
        """
        for atom in set(self.atoms) - deletes - self.deletes.contradicted - self.negative:
            text = fluent_text(atom, self.parameters)
            raise Excluded(
                f"({text}) was true only where a parameter named a constant, so that making it false could be hidden"
            )
        apart: set[tuple[int | str, int | str]] = set()
        for deleted in deletes:
            for added in set(self.atoms) - adds - self.adds.contradicted:
                if deleted[0] == added[0] and deleted != added:
                    pairs = [
                        (a, b) if isinstance(a, int) else (b, a)
                        for a, b in zip(deleted[1:], added[1:], strict=True)
                        if a != b
                    ]
                    if all(isinstance(a, int) and isinstance(b, str) for a, b in pairs):
                        apart.add(pairs[0])
        return apart

    def _accepts(self, action: NumericAction, example: tuple[frozenset[Lifted], Point]) -> bool:
        """Whether the action would be taken in a lifted state."""
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
            all(one.holds(binding, values) for one in action.comparisons)
            and all(one.holds(binding, values) for one in action.regions)
            and all(
                ground(fluent, binding) in values
                for _, after in action.effects
                for fluent, _ in after.terms
            )
        )

    def _numbers(self, binding: Ground, state: State) -> Point:
        return tuple(state.values.get(ground(fluent, binding)) for fluent in self.fluents)  # type: ignore[misc]  # None: not defined

    def _explanations(
        self, binding: Ground, before: State, after: State
    ) -> dict[Ground, list[Lifted]]:
        """The lifted atoms behind each changed ground atom. Raises DatasetError for a change out of
        the action's reach.
        """
        changes = before.atoms ^ after.atoms
        explanations: dict[Ground, list[Lifted]] = {atom: [] for atom in changes}
        for atom in self.atoms:
            if (one := ground(atom, binding)) in changes:
                explanations[one].append(atom)
        odd: list[Ground] = [atom for atom, lifted in explanations.items() if not lifted]
        if before.values != after.values:
            reach = {ground(fluent, binding) for fluent in self.fluents}
            fluents = before.values.keys() | after.values.keys()
            odd += [
                fluent
                for fluent in fluents
                if fluent not in reach and before.values.get(fluent) != after.values.get(fluent)
            ]
        if odd:
            raise DatasetError(
                f"({' '.join(min(odd))}) changes, which is not over the action's objects: the state does not follow from the action"
            )
        return explanations


def lifted_terms(
    vocabulary: Vocabulary,
    parameters: Sequence[tuple[str, str]],
    declared: Mapping[str, tuple[str, ...]],
) -> list[Lifted]:
    """Every declared predicate or function over parameters and constants of fitting types."""
    terms: list[tuple[int | str, str]] = [(i, kind) for i, (_, kind) in enumerate(parameters)]
    terms += list(vocabulary.constants.items())
    found: list[Lifted] = []
    for name, wanted in declared.items():
        for chosen in product(terms, repeat=len(wanted)):
            if all(
                vocabulary.is_a(kind, needed)
                for (_, kind), needed in zip(chosen, wanted, strict=True)
            ):
                found.append((name, *(term for term, _ in chosen)))
    return found


def _distinct_pairs(
    vocabulary: Vocabulary, parameters: Sequence[tuple[str, str]], fluents: Sequence[Lifted]
) -> Iterable[tuple[int | str, int | str]]:
    """Parameters that could name one object, and parameters and constants that would make two
    numeric fluents one.
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
