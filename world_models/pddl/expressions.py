"""Expressions of unified-planning in, exact literals, comparisons and affine sums out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.domain import Comparison, Lifted, Linear
from worldplan.world_models.numeric.normal_forms import (
    IMPOSSIBLE,
    canonical,
    combined,
    linear,
    minus,
)
from worldplan.world_models.numeric.products import Term
from worldplan.world_models.pddl.beyond import BeyondModels, beyond_message
from worldplan.world_models.pddl.names import decoded

if TYPE_CHECKING:
    from unified_planning.model import FNode


@dataclass
class Conditions:
    """A conjunction that is being read.

    Attributes:
        positive: atoms that must be true.
        negative: atoms that must be false.
        distinct: pairs of terms that must stand for different objects.
        comparisons: numeric conditions, in the order of reading.
    """

    positive: set[Lifted] = field(default_factory=set)
    negative: set[Lifted] = field(default_factory=set)
    distinct: set[tuple[int | str, int | str]] = field(default_factory=set)
    comparisons: dict[Comparison, None] = field(default_factory=dict)

    def compare(self, comparison: Comparison) -> None:
        """Add a comparison, unless it holds in every state."""
        comparison = canonical(comparison)
        if comparison.expression.terms or not comparison.holds((), {}):
            self.comparisons[comparison] = None


@dataclass(frozen=True)
class ExpressionReader:
    """Reads the expressions of one action, or of a goal, which has no parameters.

    Args:
        where: what errors name.
        positions: the position of each parameter.
        constants: the objects that occurred so far, in order; filled while reading.
    """

    where: str
    positions: Mapping[str, int]
    constants: dict[str, None] = field(default_factory=dict)

    def refuse(self, node: object, what: str) -> DatasetError:
        """The error for an expression that exact linear planning cannot represent.

        Args:
            node: the expression.
            what: its kind, in words.
        """
        return BeyondModels(beyond_message(self.where, what, str(node)))

    def term(self, node: FNode) -> int | str:
        """The position of a parameter, or the name of an object.

        Raises:
            DatasetError: the argument is neither.
        """
        if node.is_parameter_exp():
            return self.positions[decoded(node.parameter().name)]
        if node.is_object_exp():
            name = decoded(str(node.object().name))
            self.constants[name] = None
            return name
        raise self.refuse(node, "an argument that is neither a parameter nor an object")

    def lifted(self, node: FNode) -> Lifted:
        """A predicate or function with its arguments.

        Raises:
            DatasetError: the expression is neither.
        """
        if not node.is_fluent_exp():
            raise self.refuse(node, "this expression")
        return (decoded(str(node.fluent().name)), *(self.term(argument) for argument in node.args))

    def affine(self, node: FNode) -> Linear:
        """An affine sum with exact coefficients; products of fluents are multiplied out.

        Raises:
            DatasetError: the expression is no number, or divides by zero.
        """
        terms, constant = self._affine(node)
        return linear(terms, constant)

    def _affine(self, node: FNode) -> tuple[dict[Term, Fraction], Fraction]:
        if node.is_int_constant() or node.is_real_constant():
            return {}, Fraction(node.constant_value())
        if node.is_fluent_exp():
            return {self.lifted(node): Fraction(1)}, Fraction(0)
        kinds = {
            "+": node.is_plus(),
            "-": node.is_minus(),
            "*": node.is_times(),
            "/": node.is_div(),
        }
        operator = next((operator for operator, is_it in kinds.items() if is_it), None)
        if operator is None:
            raise self.refuse(node, "this number")
        try:
            return combined(operator, [self._affine(argument) for argument in node.args])
        except ZeroDivisionError:
            raise DatasetError(f"{self.where}: division by zero in {node}") from None

    def conditions(self, node: FNode, into: Conditions, *, holds: bool = True) -> None:
        """Add a condition to a conjunction.

        Args:
            node: the condition.
            into: the conjunction, which is changed.
            holds: False for the negation of `node`.

        Raises:
            DatasetError: the condition is not a conjunction of literals and linear comparisons.
        """
        if node.is_bool_constant():
            if node.bool_constant_value() != holds:
                into.compare(IMPOSSIBLE)
        elif node.is_not():
            self.conditions(node.arg(0), into, holds=not holds)
        elif (node.is_and() and holds) or (node.is_or() and not holds):
            for argument in node.args:
                self.conditions(argument, into, holds=holds)
        elif node.is_implies() and not holds:
            self.conditions(node.arg(0), into)
            self.conditions(node.arg(1), into, holds=False)
        elif node.is_fluent_exp():
            (into.positive if holds else into.negative).add(self.lifted(node))
        elif node.is_le() or node.is_lt():
            self._order(node, into, holds)
        elif node.is_equals():
            self._equality(node, into, holds)
        else:
            raise self.refuse(
                node,
                "a disjunction"
                if node.is_and() or node.is_or() or node.is_implies()
                else "a quantifier or another condition",
            )

    def _order(self, node: FNode, into: Conditions, holds: bool) -> None:
        low, high = (self.affine(argument) for argument in node.args)
        strict = node.is_lt() == holds  # not (a <= b) is b < a, not (a < b) is b <= a
        into.compare(
            Comparison(minus(high, low) if holds else minus(low, high), ">" if strict else ">=")
        )

    def _equality(self, node: FNode, into: Conditions, holds: bool) -> None:
        left, right = node.args
        if not left.type.is_user_type():
            if not holds:
                raise self.refuse(node, "a number that must differ from another (a disjunction)")
            into.compare(Comparison(minus(self.affine(left), self.affine(right)), "="))
            return
        a, b = self.term(left), self.term(right)
        if a == b or (isinstance(a, str) and isinstance(b, str)):
            if (a == b) != holds:
                into.compare(IMPOSSIBLE)
        elif holds:
            raise self.refuse(node, "the demand that two parameters be the same object")
        else:
            into.distinct.add(pair(a, b))


def pair(a: int | str, b: int | str) -> tuple[int | str, int | str]:
    """The normal form of two terms that must differ: positions before names, in
    increasing order.
    """
    first, second = sorted((a, b), key=lambda term: (isinstance(term, str), term))
    return first, second
