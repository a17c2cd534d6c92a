"""All that RAMP has tried so far, on all maps: what it teaches about the actions, and what is known
to fail.

A step that the learned model already predicts teaches nothing (its numbers lie in the learned set,
its effect is the learned one), so it is not given to the learner. That keeps the learned sets small
without changing them. Should a declared class be refuted, those steps matter after all, and are
handed in.
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

Outcome = tuple[View, View | None]  # an action's view before and after it; None: it failed


class Experience:
    """Steps taken, without repetitions and without names of objects.

    Args:
        vocabulary: the domain without preconditions and effects.
        declarations: what is known about single actions' numbers.
        default: the declaration of all other actions.
    """

    def __init__(
        self, vocabulary: Vocabulary, declarations: Mapping[str, Declaration], default: Declaration
    ) -> None:
        self.views = LiftedViews(vocabulary)
        self._declarations = {name: declarations.get(name, default) for name in vocabulary.actions}
        self.tries: dict[View, int] = {}
        self.outcomes: dict[Outcome, bool] = {}  # whether the learner was given it
        self.failed: dict[Ground, dict[frozenset[Ground], set[tuple[Rational | None, ...]]]] = {}
        self.offered: dict[
            tuple[Ground, frozenset[Ground]], None
        ] = {}  # calls and atoms of all views in the states visited
        self.succeeded: set[str] = set()  # original actions that did, with whatever objects
        self.version = 0  # grows with every outcome that the model did not predict
        self._learners: dict[str, ActionModelLearner] = {}  # by split action
        self._model: NumericModel | None = None
        self._model_version = -1

    def offer(self, views: Iterable[View]) -> None:
        """Take note of the actions that there are in a state, taken or not."""
        self.offered.update(dict.fromkeys([(view.call, view.atoms) for view in views]))

    def add(self, call: Ground, before: State, after: State) -> bool:
        """Take in a step; one that left the state as it was has failed. Returns whether its view
        was new.

        Args:
            call: split (`ConstantCalls.split`).
            before, after: the whole states.

        Raises:
            DatasetError: something changed that is not over the action's objects.
        """
        view = self.views.view(call, before)
        changed = before.atoms != after.atoms or before.values != after.values
        outcome = (view, self.views.view(call, after) if changed else None)
        times = self.tries[view] = self.tries.get(view, 0) + 1
        if changed:
            self.succeeded.add(self.views.calls.base(call[0]))
        if outcome not in self.outcomes:
            self.outcomes[outcome] = not self._predicted(call, before, after, changed)
            if not changed:
                self.failed.setdefault(view.call, {}).setdefault(view.atoms, set()).add(view.values)
            if self.outcomes[outcome]:
                self._learner(call[0]).observe_transition(before, call, after, changed)
                self.version += 1
        return times == 1

    def add_failure(self, call: Ground, state: State) -> None:
        """An action that a model foresaw and that the environment does not even offer in this
        state.
        """
        self.add(call, state, state)

    def unknown_actions(self) -> list[str]:
        """The split actions of which no variant, with whatever constants, ever succeeded."""
        calls = self.views.calls
        return [name for name in calls.vocabulary.actions if calls.base(name) not in self.succeeded]

    def model(self) -> NumericModel:
        """The model of all that was seen, in split actions; the same object until something new is."""
        if self._model is None or self._model_version != self.version:
            before = self._refuted()
            self._model = self._learn()
            if self._refuted() != before and self._hand_in():
                self._model = self._learn()
            self._model_version = self.version
        return self._model

    def known_to_fail(self, view: View) -> bool:
        """Whether an action is sure to fail: it failed where it looked the same or, where all its
        numbers are declared to be resources, with no less of anything.
        """
        failed = self.failed.get(view.call, {}).get(view.atoms)
        if not failed:
            return False
        if view.values in failed:
            return True
        signs = self._signs(view.call[0])
        return signs is not None and any(_no_better(view.values, one, signs) for one in failed)

    def _signs(self, action: str) -> tuple[int, ...] | None:
        """The declared direction of each fluent of a monotone action that the data have not
        refuted.
        """
        declaration = self._declaration(action)
        if (
            declaration.preconditions != "monotone"
            or declaration.precondition_fluents is not None
            or action in self._refuted()
        ):
            return None
        parameters = self.views.calls.vocabulary.actions[action]
        return tuple(
            declaration.directions.get(fluent_text(fluent, parameters), 1)
            for fluent in self.views.fluents(action)
        )

    def _declaration(self, action: str) -> Declaration:
        return self.views.calls.declared(action, self._declarations[self.views.calls.base(action)])

    def _learner(self, action: str) -> ActionModelLearner:
        if action not in self._learners:
            vocabulary = self.views.calls.vocabulary
            alone = replace(vocabulary, actions={action: vocabulary.actions[action]})
            self._learners[action] = ActionModelLearner(alone, default=self._declaration(action))
        return self._learners[action]

    def _learn(self) -> NumericModel:
        actions: dict[str, NumericAction] = {}
        reports = []
        for learner in self._learners.values():
            model = learner.model()
            actions |= {
                name: self.views.calls.apart(action) for name, action in model.actions.items()
            }
            reports.append(model.detail["report"])
        merged = {
            one.name: {
                name: value
                for report in reports
                for name, value in getattr(report, one.name).items()
            }
            for one in fields(LearningReport)
        }
        return NumericModel(
            self.views.calls.vocabulary, actions, {"report": LearningReport(**merged)}
        )

    def _refuted(self) -> Mapping[str, str]:
        return {} if self._model is None else self._model.detail["report"].refuted

    def _predicted(self, call: Ground, before: State, after: State, changed: bool) -> bool:
        """Whether the last model knows a success already; failures are always news."""
        action = None if self._model is None or not changed else self._model.actions.get(call[0])
        return (
            action is not None
            and action.applicable(call[1:], before)
            and action.successor(call[1:], before) == after
        )

    def _hand_in(self) -> bool:
        """Give the learner all successes that had seemed to teach nothing."""
        late = [outcome for outcome, given in self.outcomes.items() if not given]
        for outcome in late:
            self._give(outcome)
            self.outcomes[outcome] = True
        return bool(late)

    def _give(self, outcome: Outcome) -> None:
        before, after = outcome
        state = self.views.state(before)
        self._learner(before.call[0]).observe_transition(
            state,
            before.call,
            state if after is None else self.views.state(after),
            after is not None,
        )

    def state_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, from which `load_state_dict` makes an equal experience."""
        outcomes = [
            (_plain(before), after and _plain(after), given)
            for (before, after), given in self.outcomes.items()
        ]
        patterns = [list(call) for call in self.views.calls.patterns()]
        offered = [
            (list(call), [list(atom) for atom in sorted(atoms)]) for call, atoms in self.offered
        ]
        return {
            "offered": offered,
            "patterns": patterns,
            "outcomes": outcomes,
            "tries": [(_plain(view), count) for view, count in self.tries.items()],
            "version": self.version,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over into a fresh experience what `state_dict` gave."""
        for call in state["patterns"]:
            self.views.calls.split(tuple(call))
        for first, second, given in state["outcomes"]:
            before = _view(first)
            outcome = (before, second and _view(second))
            self.outcomes[outcome] = given
            if outcome[1] is not None:
                self.succeeded.add(self.views.calls.base(before.call[0]))
            else:
                self.failed.setdefault(before.call, {}).setdefault(before.atoms, set()).add(
                    before.values
                )
            if given:
                self._give(outcome)
        self.offered = {
            (tuple(call), frozenset(map(tuple, atoms))): None for call, atoms in state["offered"]
        }
        self.tries = {_view(view): count for view, count in state["tries"]}
        self.version = state["version"]


def _no_better(
    values: tuple[Rational | None, ...], than: tuple[Rational | None, ...], signs: tuple[int, ...]
) -> bool:
    """Whether a point lies on the worse side of another in every declared direction, and is equal
    where none is declared.
    """
    return all(
        a is not None and b is not None and (a <= b if sign > 0 else a >= b if sign < 0 else a == b)
        for a, b, sign in zip(values, than, signs, strict=True)
    )


def _plain(view: View) -> list[Any]:
    values = [
        f"{value.numerator}/{value.denominator}" if isinstance(value, Fraction) else value
        for value in view.values
    ]
    return [list(view.call), [list(atom) for atom in sorted(view.atoms)], values]


def _view(plain: Any) -> View:
    call, atoms, values = plain
    return View(
        tuple(call),
        frozenset(map(tuple, atoms)),
        tuple(exact(value) if isinstance(value, str) else value for value in values),
    )
