"""Safe action models from trajectories, learned incrementally and in exact numbers.

The atoms follow the SAM rules (Juba, Le, Stern: "Safe Learning of Lifted Action Models", KR 2021),
the numbers NSAM (Mordoch, Juba, Stern: "Learning Safe Numeric Action Models", AAAI 2023). Every
plan of the learned model is valid in the true model and reaches the same states, provided that the
true preconditions lie in the declared class (convex by default) and the effects are affine. An
action whose data contradict this is left out and named in the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.action_model.action_learner import ActionLearner
from worldplan.world_models.action_model.bounded_learner import BoundedActionLearner
from worldplan.world_models.action_model.bounded_numerics import NoiseTooSmall
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.numeric.bounded import BoundedModel
from worldplan.world_models.numeric.domain import Ground, NumericModel, State, Vocabulary
from worldplan.world_models.numeric.noise import Noise
from worldplan.world_models.numeric.precision import (
    Precision,
    Rounding,
    check_functions,
    rounded_state,
    rounded_trajectory,
)
from worldplan.world_models.numeric.trajectories import Trajectory, check_facts


@dataclass(frozen=True)
class LearningReport:
    """The outcome for each action.

    Args:
        excluded: actions that are not in the model, with the reason.
        refuted: actions whose declared class the data contradict, with the evidence; a weaker class
            was used.
        observations: number of successful transitions used, per action.
        skipped: number of transitions without information, per action: an object stands for two
            parameters that must differ, or nothing changed and it is unknown whether the action
            succeeded.
    """

    excluded: Mapping[str, str]
    refuted: Mapping[str, str]
    observations: Mapping[str, int]
    skipped: Mapping[str, int]


class ActionModelLearner:
    """Collects transitions and learns a model from them, at any time.

    Args:
        vocabulary: the declarations of the domain.
        declarations: what is known about the numbers of single actions, by action name.
        default: the declaration of all other actions.
        precision: every observed number is rounded to it; None: numbers are taken as they are.
        noise: bounds of the errors of the observed numbers; None: they are exact. With bounds,
            `bounded_model` has the result.

    Raises:
        DatasetError: a declaration is given for an unknown action.
        ConfigError: a declaration names a fluent that its action does not have, or precision or
            noise a function that the domain does not have; or both are given.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        declarations: Mapping[str, Declaration] | None = None,
        default: Declaration | None = None,
        *,
        precision: Precision | None = None,
        noise: Noise | None = None,
    ) -> None:
        checks.of_type(vocabulary, "vocabulary", Vocabulary, error=DatasetError)
        if precision is not None:
            checks.of_type(precision, "precision", Precision)
            check_functions(precision.steps, vocabulary.functions, "precision")
        if noise is not None:
            checks.of_type(noise, "noise", Noise)
            check_functions(noise.bounds, vocabulary.functions, "noise")
            if precision is not None:
                raise ConfigError(
                    "precision and noise are both declared: a noise bound includes rounding, so "
                    "give the noise alone"
                )
        self.precision, self.rounding, self.noise = precision, Rounding(), noise
        declarations = {
            name.lower(): declaration for name, declaration in (declarations or {}).items()
        }
        for name in declarations:
            if name not in vocabulary.actions:
                raise DatasetError(
                    f"a declaration is given for '{name}', which is not an action of domain "
                    f"'{vocabulary.name}'"
                )
        self.vocabulary = vocabulary
        self._learners: dict[str, ActionLearner] = {}
        for name in vocabulary.actions:
            declaration = declarations.get(name, default or Declaration())
            self._learners[name] = (
                ActionLearner(vocabulary, name, declaration)
                if noise is None
                else BoundedActionLearner(vocabulary, name, declaration, noise)
            )

    def observe(self, trajectory: Trajectory) -> None:
        """Add the transitions of a trajectory.

        Raises:
            DatasetError: it is no trajectory of this domain, or a transition contradicts itself
                (see `observe_transition`); the message names it.
        """
        check_facts(trajectory, self.vocabulary)
        if self.precision is not None:
            trajectory, rounding = rounded_trajectory(trajectory, self.precision)
            self.rounding += rounding
        for i, call in enumerate(trajectory.calls):
            try:
                self._observe(
                    trajectory.states[i], call, trajectory.states[i + 1], trajectory.succeeded[i]
                )
            except DatasetError as error:
                raise DatasetError(
                    f"{trajectory.source}: transition {i + 1}, ({' '.join(call)}): {error}"
                ) from error

    def observe_all(self, trajectories: Iterable[Trajectory]) -> ActionModelLearner:
        """Add the transitions of several trajectories; returns the learner itself.

        Raises:
            DatasetError: as in `observe`.
        """
        for trajectory in trajectories:
            self.observe(trajectory)
        return self

    def observe_transition(
        self, before: State, call: Ground, after: State, succeeded: bool | None = None
    ) -> None:
        """Add one transition.

        Args:
            before: the state before the action.
            call: the ground action.
            after: the state after it.
            succeeded: whether the action was applicable; None if unknown. An unknown transition
                without a change is skipped.

        Raises:
            DatasetError: the action is unknown, it failed and the state changed, or something
                changed that is not over the action's objects.
        """
        if self.precision is not None:
            before, rounding_before = rounded_state(before, self.precision)
            after, rounding_after = rounded_state(after, self.precision)
            self.rounding += rounding_before + rounding_after
        self._observe(before, call, after, succeeded)

    def _observe(self, before: State, call: Ground, after: State, succeeded: bool | None) -> None:
        """Add a transition whose numbers are rounded already.

        Raises:
            DatasetError: as in `observe_transition`.
        """
        learner = self._learners.get(call[0])
        if learner is None:
            raise DatasetError(f"domain '{self.vocabulary.name}' has no action '{call[0]}'")
        changed = before.atoms != after.atoms or (
            before.values != after.values
            if self.noise is None
            else bool(self.noise.changed(before, after))
        )
        if succeeded is False and changed:
            raise DatasetError("the action is marked as failed and yet the state changed")
        binding = call[1:]
        if learner.repeats(binding) or (succeeded is None and not changed):
            learner.skipped += 1
        elif succeeded is False:
            learner.fail(binding, before)
        else:
            learner.succeed(binding, before, after)

    @property
    def learners(self) -> Mapping[str, ActionLearner]:
        """The observations of each action."""
        return self._learners

    def model(self) -> NumericModel:
        """The model of all transitions so far, with its `LearningReport` as `detail["report"]` and,
        if a precision is declared, what it changed as `detail["rounding"]`, a `Rounding`.

        Only actions with new information are learned again.

        Raises:
            ConfigError: noise is declared; `bounded_model` has the result.
        """
        if self.noise is not None:
            raise ConfigError("noise is declared: use bounded_model() in place of model()")
        return self._model()

    def bounded_model(self) -> BoundedModel:
        """The model of all transitions so far, with the certified errors of its effects.

        Raises:
            ConfigError: no noise is declared.
            DatasetError: the data scatter more than the declared bounds allow.
        """
        if self.noise is None:
            raise ConfigError("no noise is declared: use model(), or give noise=Noise(...)")
        try:
            model = self._model()
        except NoiseTooSmall as error:
            raise DatasetError(
                f"{error}: give a larger bound, or leave the action out of the domain"
            ) from error
        errors = {
            name: learner.errors
            for name, learner in self._learners.items()
            if isinstance(learner, BoundedActionLearner)
            and name in model.actions
            and learner.errors
        }
        return BoundedModel(model, errors, self.noise)

    def _model(self) -> NumericModel:
        """The learned actions, with the report."""
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
            {"report": report} | ({"rounding": self.rounding} if self.precision else {}),
        )


def learn(
    vocabulary: Vocabulary,
    trajectories: Iterable[Trajectory],
    declarations: Mapping[str, Declaration] | None = None,
    default: Declaration | None = None,
    *,
    precision: Precision | None = None,
) -> NumericModel:
    """A safe model from trajectories in one call.

    Args:
        vocabulary: the declarations of the domain.
        trajectories: what was observed.
        declarations: as in `ActionModelLearner`.
        default: as in `ActionModelLearner`.
        precision: as in `ActionModelLearner`.

    Raises:
        DatasetError: a transition contradicts itself, or a declaration is given for an unknown
            action.
        ConfigError: a declaration names a fluent that its action does not have, or the precision
            a function that the domain does not have.
    """
    learner = ActionModelLearner(vocabulary, declarations, default, precision=precision)
    return learner.observe_all(trajectories).model()


def learn_with_noise(
    vocabulary: Vocabulary,
    trajectories: Iterable[Trajectory],
    noise: Noise,
    declarations: Mapping[str, Declaration] | None = None,
    default: Declaration | None = None,
) -> BoundedModel:
    """A safe model from trajectories whose numbers are off by at most the bounds of `noise`.

    Args:
        vocabulary: the declarations of the domain.
        trajectories: what was observed.
        noise: the bounds.
        declarations: as in `ActionModelLearner`.
        default: as in `ActionModelLearner`.

    Raises:
        DatasetError: a transition contradicts itself, a declaration is given for an unknown action,
            or the data scatter more than the bounds allow.
        ConfigError: a declaration names a fluent that its action does not have, or the noise a
            function that the domain does not have.
    """
    learner = ActionModelLearner(vocabulary, declarations, default, noise=noise)
    return learner.observe_all(trajectories).bounded_model()
