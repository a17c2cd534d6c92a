"""All transitions of a RAMP run, over all maps: the action model learned from them, and which
actions are known to fail.

A successful transition that the learned model predicts is not passed to the learner: its numbers
already lie in the learned set, and its effect is the learned one. This keeps the learner's data
small without changing the model. If a declared hypothesis class is refuted later, these transitions
are no longer redundant and are passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

from worldplan.planners.ramp.knowledge.views import LiftedViews, View
from worldplan.world_models.action_model.hypothesis_classes import Declaration, fluent_text
from worldplan.world_models.action_model.learner import ActionModelLearner, LearningReport
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import (
    Ground,
    NumericAction,
    NumericModel,
    State,
    Vocabulary,
)

Outcome = tuple[View, View | None]  # an action's view before and after it; None if it failed


class Experience:
    """The distinct transitions so far, as views: without the names of objects.

    Args:
        vocabulary: the domain without preconditions and effects.
        declarations: hypothesis classes of single actions, by original name.
        default: the declaration of all other actions.

    Attributes:
        tries: how often each view was tried.
        outcomes: whether the learner was given each distinct outcome.
        failed: values of the views that failed, by their call and atoms.
        offered: call and atoms of all views in visited states, tried or not; an ordered set.
        succeeded: original actions that succeeded with any objects.
        version: grows with every outcome that the model did not predict.
    """

    def __init__(
        self, vocabulary: Vocabulary, declarations: Mapping[str, Declaration], default: Declaration
    ) -> None:
        self.views = LiftedViews(vocabulary)
        self._declarations = {name: declarations.get(name, default) for name in vocabulary.actions}
        self.tries: dict[View, int] = {}
        self.outcomes: dict[Outcome, bool] = {}
        self.failed: dict[Ground, dict[frozenset[Ground], set[tuple[Rational | None, ...]]]] = {}
        self.offered: dict[tuple[Ground, frozenset[Ground]], None] = {}
        self.succeeded: set[str] = set()
        self.version = 0
        self._learners: dict[str, ActionModelLearner] = {}  # by split action
        self._model: NumericModel | None = None
        self._model_version = -1

    def offer(self, views: Iterable[View]) -> None:
        """Record the views of all actions in a state, whether taken or not."""
        self.offered.update(dict.fromkeys([(view.call, view.atoms) for view in views]))

    def add(self, call: Ground, before: State, after: State, applied: bool | None = None) -> bool:
        """Record a transition.

        Args:
            call: a split action (`ActionSplitter.split`).
            before: the whole state before it.
            after: the whole state after it.
            applied: whether the action was applicable; None: if it changed something.

        Returns:
            Whether the view was never tried before.

        Raises:
            DatasetError: an atom or fluent changed that is not over the action's objects.
        """
        view = self.views.view(call, before)
        if applied is None:
            applied = before.atoms != after.atoms or before.values != after.values
        outcome = (view, self.views.view(call, after) if applied else None)
        count = self.tries[view] = self.tries.get(view, 0) + 1
        if applied:
            self.succeeded.add(self.views.splitter.base(call[0]))
        if outcome not in self.outcomes:
            self.outcomes[outcome] = not self._predicted(call, before, after, applied)
            if not applied:
                self.failed.setdefault(view.call, {}).setdefault(view.atoms, set()).add(view.values)
            if self.outcomes[outcome]:
                self._learner(call[0]).observe_transition(before, call, after, applied)
                self.version += 1
        return count == 1

    def add_failure(self, call: Ground, state: State) -> None:
        """Record a failure of an action that a model predicted to be applicable, but that the
        environment has no gym action in this state.
        """
        self.add(call, state, state)

    def unknown_actions(self) -> list[str]:
        """The split actions whose original action never succeeded, with any objects."""
        splitter = self.views.splitter
        return [
            name
            for name in splitter.vocabulary.actions
            if splitter.base(name) not in self.succeeded
        ]

    def model(self) -> NumericModel:
        """The safe model of all transitions, in split actions. The same object is returned until
        `version` changes.
        """
        if self._model is None or self._model_version != self.version:
            refuted_before = self._refuted()
            self._model = self._learn()
            if self._refuted() != refuted_before and self._pass_on_predicted():
                self._model = self._learn()
            self._model_version = self.version
        return self._model

    def known_to_fail(self, view: View) -> bool:
        """Whether an action is certain to fail. It is if the same view failed. If its precondition
        is declared monotone in all fluents (they are resources), it also is if a view with the same
        atoms and at least as much of every resource failed.
        """
        failed = self.failed.get(view.call, {}).get(view.atoms)
        if not failed:
            return False
        if view.values in failed:
            return True
        signs = self._signs(view.call[0])
        return signs is not None and any(
            _no_better(view.values, values, signs) for values in failed
        )

    def _signs(self, action: str) -> tuple[int, ...] | None:
        """The declared direction of each fluent of an action. None if the action is not declared
        monotone, or the data refute the declaration.
        """
        declaration = self._declaration(action)
        if (
            declaration.preconditions != "monotone"
            or declaration.precondition_fluents is not None
            or action in self._refuted()
        ):
            return None
        parameters = self.views.splitter.vocabulary.actions[action]
        return tuple(
            declaration.directions.get(fluent_text(fluent, parameters), 1)
            for fluent in self.views.fluents(action)
        )

    def _declaration(self, action: str) -> Declaration:
        splitter = self.views.splitter
        return splitter.declared(action, self._declarations[splitter.base(action)])

    def _learner(self, action: str) -> ActionModelLearner:
        if action not in self._learners:
            vocabulary = self.views.splitter.vocabulary
            restricted = replace(vocabulary, actions={action: vocabulary.actions[action]})
            self._learners[action] = ActionModelLearner(
                restricted, default=self._declaration(action)
            )
        return self._learners[action]

    def _learn(self) -> NumericModel:
        """The models of all single-action learners, merged."""
        actions: dict[str, NumericAction] = {}
        reports = []
        for learner in self._learners.values():
            model = learner.model()
            actions |= {
                name: self.views.splitter.without_constants(action)
                for name, action in model.actions.items()
            }
            reports.append(model.detail["report"])
        merged = {
            field.name: {
                name: value
                for report in reports
                for name, value in getattr(report, field.name).items()
            }
            for field in fields(LearningReport)
        }
        return NumericModel(
            self.views.splitter.vocabulary, actions, {"report": LearningReport(**merged)}
        )

    def _refuted(self) -> Mapping[str, str]:
        """The actions whose declared class the data refute, with the reasons."""
        return {} if self._model is None else self._model.detail["report"].refuted

    def _predicted(self, call: Ground, before: State, after: State, applied: bool) -> bool:
        """Whether the last model predicts a transition. Failures count as not predicted: the safe
        model says nothing about them.
        """
        action = None if self._model is None or not applied else self._model.actions.get(call[0])
        return (
            action is not None
            and action.applicable(call[1:], before)
            and action.successor(call[1:], before) == after
        )

    def _pass_on_predicted(self) -> bool:
        """Give the learners all transitions that were left out as predicted. Returns whether there
        are any.
        """
        left_out = [outcome for outcome, given in self.outcomes.items() if not given]
        for outcome in left_out:
            self._give_to_learner(outcome)
            self.outcomes[outcome] = True
        return bool(left_out)

    def _give_to_learner(self, outcome: Outcome) -> None:
        before, after = outcome
        state = self.views.state(before)
        self._learner(before.call[0]).observe_transition(
            state,
            before.call,
            state if after is None else self.views.state(after),
            after is not None,
        )

    def state_dict(self) -> dict[str, Any]:
        """The experience as lists, strings and numbers, for `load_state_dict`."""
        outcomes = [
            (_plain_view(before), after and _plain_view(after), given)
            for (before, after), given in self.outcomes.items()
        ]
        patterns = [list(call) for call in self.views.splitter.patterns()]
        offered = [
            (list(call), [list(atom) for atom in sorted(atoms)]) for call, atoms in self.offered
        ]
        return {
            "offered": offered,
            "patterns": patterns,
            "outcomes": outcomes,
            "tries": [(_plain_view(view), count) for view, count in self.tries.items()],
            "version": self.version,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of `state_dict` into a new experience."""
        for call in state["patterns"]:
            self.views.splitter.split(tuple(call))
        for first, second, given in state["outcomes"]:
            before = _view_of(first)
            outcome = (before, second and _view_of(second))
            self.outcomes[outcome] = given
            if outcome[1] is not None:
                self.succeeded.add(self.views.splitter.base(before.call[0]))
            else:
                self.failed.setdefault(before.call, {}).setdefault(before.atoms, set()).add(
                    before.values
                )
            if given:
                self._give_to_learner(outcome)
        self.offered = {
            (tuple(call), frozenset(map(tuple, atoms))): None for call, atoms in state["offered"]
        }
        self.tries = {_view_of(view): count for view, count in state["tries"]}
        self.version = state["version"]


def _no_better(
    values: tuple[Rational | None, ...], than: tuple[Rational | None, ...], signs: tuple[int, ...]
) -> bool:
    """Whether no value is better than in `than`: a value with sign 1 is not larger, with sign -1
    not smaller, and with sign 0 (no declared direction) equal. False if a value is undefined.
    """
    return all(
        a is not None and b is not None and (a <= b if sign > 0 else a >= b if sign < 0 else a == b)
        for a, b, sign in zip(values, than, signs, strict=True)
    )


def _plain_view(view: View) -> list[Any]:
    """A view as lists, strings and numbers; fractions as "n/d"."""
    values = [
        f"{value.numerator}/{value.denominator}" if isinstance(value, Fraction) else value
        for value in view.values
    ]
    return [list(view.call), [list(atom) for atom in sorted(view.atoms)], values]


def _view_of(plain: Any) -> View:
    """The inverse of `_plain_view`."""
    call, atoms, values = plain
    return View(
        tuple(call),
        frozenset(map(tuple, atoms)),
        tuple(exact(value) if isinstance(value, str) else value for value in values),
    )
