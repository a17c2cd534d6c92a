"""The metric of a problem: the number that a plan should make as small, or as large, as it can.

A metric is a sum over the values of ground fluents after the plan. `(total-time)` stands for the
number of actions: actions here are executed one after another and each takes one unit of time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import Rational

if TYPE_CHECKING:
    from worldplan.world_models.numeric.domain import Linear

SENSES = ("minimize", "maximize")
TOTAL_TIME = ("total-time",)  # a fluent of the domain has this name only where it declares it


@dataclass(frozen=True, slots=True)
class Metric:
    """The quality of plans.

    Args:
        sense: "minimize" or "maximize".
        expression: over ground fluents and `TOTAL_TIME`.

    Raises:
        DatasetError: another sense, or no `Linear`.
    """

    sense: str
    expression: Linear

    def __post_init__(self) -> None:
        from worldplan.world_models.numeric.domain import Linear  # domain.py imports this module

        checks.choice(self.sense, "sense", SENSES, error=DatasetError)
        checks.of_type(self.expression, "expression", Linear, error=DatasetError)

    @property
    def sign(self) -> int:
        """1 where less is better, -1 where more is better."""
        return 1 if self.sense == "minimize" else -1

    def value(self, values: Mapping[tuple[str, ...], Rational], steps: int) -> Rational:
        """The metric of a plan.

        Args:
            values: the values of the fluents after the plan.
            steps: number of its actions.

        Raises:
            DatasetError: a fluent of the metric has no value; names it.
        """
        known: dict[tuple[str, ...], Rational] = {TOTAL_TIME: steps, **values}
        try:
            return self.expression.value((), known)
        except KeyError as error:
            name: Any = error.args[0]
            text = f"({' '.join(name)})" if isinstance(name, tuple) else str(name)
            raise DatasetError(
                f"metric: {text} has no value: give it an initial value, such as (= {text} 0) in "
                ":init"
            ) from error
