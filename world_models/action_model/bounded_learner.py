"""One action, learned from transitions whose numbers are known up to declared bounds only."""

from __future__ import annotations

from collections.abc import Callable

from worldplan.world_models.action_model.action_learner import ActionLearner
from worldplan.world_models.action_model.bounded_numerics import (
    NoiseTooSmall,
    NoisyTransitions,
    learn_bounded,
)
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.action_model.numeric_effects import LearnedNumerics, NumericTransitions
from worldplan.world_models.exact.erosion import box_corners
from worldplan.world_models.exact.numbers import Point
from worldplan.world_models.numeric.bounded import Errors
from worldplan.world_models.numeric.domain import Ground, Lifted, NumericAction, State, Vocabulary
from worldplan.world_models.numeric.noise import Noise


class BoundedActionLearner(ActionLearner):
    """The observations of one action with noisy numbers, and the action that is certain.

    Args:
        vocabulary: the declarations of the domain.
        name: the action.
        declaration: what is known about its numbers.
        noise: the bounds of the numbers.
    """

    def __init__(
        self, vocabulary: Vocabulary, name: str, declaration: Declaration, noise: Noise
    ) -> None:
        super().__init__(vocabulary, name, declaration)
        self.noise = noise
        self.margins = tuple(noise.of(str(fluent[0])) for fluent in self.fluents)
        self.errors: Errors = {}

    def _add_numbers(self, row: Point, label: Point) -> None:
        """Add the numbers before and after a transition; noise makes no contradictions."""
        if row not in self.rows:
            self.rows[row] = label
        elif self.rows[row] != label:
            self.others[row, label] = None
        self._changed = True

    def _changed_fluents(self, before: State, after: State) -> list[Ground]:
        """The fluents whose true values changed for certain."""
        return self.noise.changed(before, after)

    def _numerics(
        self, data: NumericTransitions, refuting: Callable[[LearnedNumerics], str]
    ) -> LearnedNumerics:
        """The numeric part that is certain; its errors are kept as `errors`.

        Raises:
            Refuted: the data contradict every class, or no state is certain.
            NoiseTooSmall: the data scatter more than the bounds allow.
        """
        try:
            numerics = learn_bounded(
                NoisyTransitions(data, self.pairs(), self.margins), self.declaration, refuting
            )
        except NoiseTooSmall as error:
            raise NoiseTooSmall(f"action '{self.name}': {error}") from error
        self.errors = numerics.errors
        return numerics

    def _accepts(self, action: NumericAction, example: tuple[frozenset[Lifted], Point]) -> bool:
        """Whether the action would be applicable in a lifted state whatever its noise."""
        atoms, numbers = example
        defined = tuple(0 if x is None else x for x in numbers)
        margins = [
            0 if x is None else margin for x, margin in zip(numbers, self.margins, strict=True)
        ]
        return all(
            super(BoundedActionLearner, self)._accepts(
                action,
                (
                    atoms,
                    tuple(None if x is None else y for x, y in zip(numbers, corner, strict=True)),
                ),
            )
            for corner in box_corners(defined, margins)
        )
