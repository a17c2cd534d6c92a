"""`(:metric minimize ...)` of a problem as an exact metric, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from worldplan.milp.errors import DatasetError
from worldplan.nearest import did_you_mean
from worldplan.world_models.numeric.domain import Ground, Vocabulary
from worldplan.world_models.numeric.metrics import SENSES, TOTAL_TIME, Metric
from worldplan.world_models.numeric.normal_forms import combined, linear
from worldplan.world_models.numeric.products import Term
from worldplan.world_models.pddl.formatting import sum_text
from worldplan.world_models.pddl.formulas import ARITHMETIC
from worldplan.world_models.pddl.syntax import Group, Name, Node, at, number, shown

Sum = tuple[dict[Term, Fraction], Fraction]  # coefficient of each term, constant


def read_metric(
    section: Group | None, vocabulary: Vocabulary, objects: Mapping[str, str], where: str | Path
) -> Metric | None:
    """The metric of a problem; None if it has none.

    Args:
        section: `(:metric ...)` of the problem, if it has one.
        vocabulary: the declarations of its domain.
        objects: type of each object of the problem.
        where: what errors name.

    Raises:
        DatasetError: the metric is malformed, or has a function or an object that is not declared.
    """
    if section is None:
        return None
    place = f"{at(where, section)}: metric"
    if len(section) != 3 or section[1] not in SENSES:
        raise DatasetError(
            f"{place}: {_shown(section)}: write (:metric minimize EXPRESSION) or (:metric maximize "
            "EXPRESSION)"
        )
    terms, constant = _Reader(vocabulary, objects, place).sum(section[2])
    return Metric(str(section[1]), linear(terms, constant))


def metric_text(metric: Metric) -> str:
    """A metric in PDDL."""
    expression = metric.expression
    total = sum_text(expression.terms, expression.constant, ())
    return f"(:metric {metric.sense} {total})"


@dataclass(frozen=True)
class _Reader:
    """Reads the expression of a metric.

    Args:
        vocabulary: the declarations.
        objects: type of each object.
        place: what errors name.
    """

    vocabulary: Vocabulary
    objects: Mapping[str, str]
    place: str

    def sum(self, part: Node) -> Sum:
        """An expression as a sum over ground fluents.

        Raises:
            DatasetError: it is malformed, or has a name that is not declared.
        """
        if isinstance(part, Name):
            if part.is_number:
                return {}, self._number(part)
            return {self._fluent(Group.of([part], part.line)): Fraction(1)}, Fraction(0)
        if not part.head:
            raise DatasetError(f"{self.place}: {_shown(part)} is no expression")
        operator, arguments = part.head, part[1:]
        if operator not in ARITHMETIC:
            return {self._fluent(part): Fraction(1)}, Fraction(0)
        if not arguments or (operator == "/" and len(arguments) != 2):
            count = "two arguments" if operator == "/" else "at least one argument"
            raise DatasetError(f"{self.place}: {_shown(part)}: '{operator}' takes {count}")
        try:
            return combined(operator, [self.sum(argument) for argument in arguments])
        except ZeroDivisionError:
            raise DatasetError(f"{self.place}: {_shown(part)}: division by zero") from None

    def _number(self, text: Name) -> Fraction:
        value = number(text)
        if value is None:
            raise DatasetError(f"{self.place}: {_shown(text)} is no number")
        return value

    def _fluent(self, part: Group) -> Ground:
        """A ground fluent whose function and objects are declared, or `TOTAL_TIME`.

        Raises:
            DatasetError: they are not.
        """
        name, arguments = part.head, part[1:]
        functions = self.vocabulary.functions
        if name not in functions:
            if (name,) == TOTAL_TIME and not arguments:
                return TOTAL_TIME
            if name == "is-violated":
                raise DatasetError(
                    f"{self.place}: {_shown(part)}: preferences are beyond the planners here"
                )
            near = did_you_mean(name, [*functions, *TOTAL_TIME])
            raise DatasetError(
                f"{self.place}: unknown function '{name}' in {_shown(part)}{near}: declare it in "
                "the domain's (:functions ...)"
            )
        kinds = functions[name]
        if len(arguments) != len(kinds):
            raise DatasetError(
                f"{self.place}: function '{name}' takes {len(kinds)} objects, {_shown(part)} has "
                f"{len(arguments)}"
            )
        for argument, expected in zip(arguments, kinds, strict=True):
            kind = self.objects.get(argument) if isinstance(argument, Name) else None
            if kind is None:
                raise DatasetError(
                    f"{self.place}: unknown object {_shown(argument)} in {_shown(part)}: declare "
                    "it in the problem"
                )
            if not self.vocabulary.is_a(kind, expected):
                raise DatasetError(
                    f"{self.place}: {_shown(part)}: '{argument}' is a {kind}, not a {expected}"
                )
        return (name, *map(str, arguments))


def _shown(part: Node) -> str:
    return shown(part, 120)
