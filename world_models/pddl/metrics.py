"""`(:metric minimize ...)` in PDDL text, as exact metrics, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from worldplan.milp.errors import DatasetError
from worldplan.nearest import did_you_mean
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Ground, Vocabulary
from worldplan.world_models.numeric.metrics import SENSES, TOTAL_TIME, Metric
from worldplan.world_models.numeric.normal_forms import (
    affine_sum,
    linear,
    product_sum,
    quotient_sum,
)
from worldplan.world_models.numeric.products import Term
from worldplan.world_models.numeric.s_expressions import SExpression, line_of, parse
from worldplan.world_models.pddl.formatting import sum_text

SECTION = ":metric"
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?")
OPERATORS = ("+", "-", "*", "/")

Sum = tuple[dict[Term, Fraction], Fraction]  # coefficient of each term, constant


def read_metric(
    text: str, vocabulary: Vocabulary, objects: Mapping[str, str], where: str | Path
) -> Metric | None:
    """The metric of a problem; None if it has none.

    Args:
        text: PDDL text of the problem.
        vocabulary: the declarations of its domain.
        objects: type of each object of the problem.
        where: what errors name.

    Raises:
        DatasetError: the metric is malformed, or has a function or an object that is not declared.
    """
    if SECTION not in text.lower():
        return None
    sections = [
        section
        for section in parse(text, str(where))
        if isinstance(section, SExpression) and section[:1] == [SECTION]
    ]
    if not sections:
        return None
    section = sections[-1]
    place = f"{where}: line {line_of(text, section.offset)}: metric"
    if len(sections) > 1:
        raise DatasetError(f"{place}: the problem has {len(sections)} metrics: keep one")
    if len(section) != 3 or section[1] not in SENSES:
        raise DatasetError(
            f"{place}: {_shown(section)}: write (:metric minimize EXPRESSION) or (:metric maximize "
            "EXPRESSION)"
        )
    terms, constant = _Reader(vocabulary, objects, place).sum(section[2])
    return Metric(section[1], linear(terms, constant))


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

    def sum(self, part: Any) -> Sum:
        """An expression as a sum over ground fluents.

        Raises:
            DatasetError: it is malformed, or has a name that is not declared.
        """
        if isinstance(part, str):
            if NUMBER.fullmatch(part):
                return {}, Fraction(self._number(part))
            return {self._fluent([part]): Fraction(1)}, Fraction(0)
        if not part or not isinstance(part[0], str):
            raise DatasetError(f"{self.place}: {_shown(part)} is no expression")
        operator, *arguments = part
        if operator not in OPERATORS:
            return {self._fluent(part): Fraction(1)}, Fraction(0)
        if not arguments or (operator == "/" and len(arguments) != 2):
            count = "two arguments" if operator == "/" else "at least one argument"
            raise DatasetError(f"{self.place}: {_shown(part)}: '{operator}' takes {count}")
        sums = [self.sum(argument) for argument in arguments]
        if operator == "+":
            return affine_sum(sums, [Fraction(1)] * len(sums))
        if operator == "-":
            signs = [Fraction(1 if n == 0 and len(sums) > 1 else -1) for n in range(len(sums))]
            return affine_sum(sums, signs)
        if operator == "/":
            varying, divisor = sums[1]
            if any(varying.values()):
                return quotient_sum(sums[0], sums[1])
            if not divisor:
                raise DatasetError(f"{self.place}: {_shown(part)}: division by zero")
            return affine_sum(sums[:1], [1 / divisor])
        total: Sum = ({}, Fraction(1))
        for part_sum in sums:
            total = product_sum(total, part_sum)
        return total

    def _number(self, text: str) -> Rational:
        try:
            return exact(text)
        except ValueError as error:
            raise DatasetError(f"{self.place}: {error}") from error

    def _fluent(self, part: Any) -> Ground:
        """A ground fluent whose function and objects are declared, or `TOTAL_TIME`.

        Raises:
            DatasetError: they are not.
        """
        name, *arguments = part
        functions = self.vocabulary.functions
        if name not in functions:
            if (name,) == TOTAL_TIME and not arguments:
                return TOTAL_TIME
            what = "preferences are" if name == "is-violated" else ""
            if what:
                raise DatasetError(f"{self.place}: {_shown(part)}: {what} beyond the planners here")
            near = did_you_mean(str(name), [*functions, *TOTAL_TIME])
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
            kind = self.objects.get(argument) if isinstance(argument, str) else None
            if kind is None:
                raise DatasetError(
                    f"{self.place}: unknown object {_shown(argument)} in {_shown(part)}: declare "
                    "it in the problem"
                )
            if not self.vocabulary.is_a(kind, expected):
                raise DatasetError(
                    f"{self.place}: {_shown(part)}: '{argument}' is a {kind}, not a {expected}"
                )
        return (name, *arguments)


def _shown(part: Any) -> str:
    """An expression as text, at most 120 characters of it."""
    text = f"({' '.join(map(_shown, part))})" if isinstance(part, list) else str(part)
    return text if len(text) <= 120 else f"{text[:120]}..."
