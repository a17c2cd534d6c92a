"""Products and quotients of fluents: the terms of a sum beside single fluents.

`(* (distance ?a ?b) (slow-burn ?x))` is a `Product` of two factors. With factors that no action
changes it is a number once the parameters are bound, so a sum with such terms stays linear in the
changing fluents; `unplannable` names a term for which this does not hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import Rational, exact

Ground = tuple[str, ...]  # (predicate or function or action, object, ...)
Lifted = tuple[int | str, ...]  # (predicate or function, parameter position or constant, ...)


class DivisionByZero(KeyError):
    """A quotient without a value: its divisor is 0. It counts as undefined, like a fluent without a
    value.
    """


@dataclass(frozen=True, slots=True)
class Product:
    """The product of some fluents, divided by some sums.

    Args:
        factors: the fluents, in the order of their names; lifted in an action, ground in a goal.
            There are at least two, or there is a divisor.
        divisors: (terms, constant) of each sum that divides them.

    Raises:
        DatasetError: a part of another type, or a single fluent without a divisor.
    """

    factors: tuple[Lifted, ...]
    divisors: tuple[tuple[tuple[tuple[Lifted | Product, Rational], ...], Rational], ...] = ()

    def __post_init__(self) -> None:
        for factor in checks.of_type(self.factors, "factors", tuple, error=DatasetError):
            if type(factor) is not tuple or not factor or type(factor[0]) is not str:
                raise DatasetError(
                    f"factor {checks.shown(factor)}: give a fluent such as ('fuel', 0)"
                )
        for divisor in checks.of_type(self.divisors, "divisors", tuple, error=DatasetError):
            if type(divisor) is not tuple or len(divisor) != 2 or type(divisor[0]) is not tuple:
                raise DatasetError(
                    f"divisor {checks.shown(divisor)}: give the terms and the constant of a sum"
                )
        if len(self.factors) + 2 * len(self.divisors) < 2:
            raise DatasetError("a product has two factors at least, or a divisor")


Term = Lifted | Product
Terms = tuple[tuple[Term, Rational], ...]
Sum = tuple[Terms, Rational]  # (terms, constant)


def object_for(term: int | str, binding: Sequence[str]) -> str:
    """The object that a parameter position or a constant stands for."""
    return binding[term] if isinstance(term, int) else term


def ground(lifted: Lifted, binding: Sequence[str]) -> Ground:
    """A lifted atom or fluent with the objects of `binding` in the places of its parameters."""
    return tuple(binding[term] if isinstance(term, int) else term for term in lifted)


def term_fluents(term: Term) -> Iterator[Lifted]:
    """Every fluent of a term."""
    if not isinstance(term, Product):
        yield term
        return
    yield from term.factors
    for terms, _ in term.divisors:
        for part, _ in terms:
            yield from term_fluents(part)


def fluents_in(terms: Iterable[tuple[Term, Rational]]) -> tuple[Lifted, ...]:
    """Every fluent of a sum, once, in the order of its terms."""
    return tuple(dict.fromkeys(fluent for term, _ in terms for fluent in term_fluents(term)))


def sort_key(term: Term) -> list[str]:
    """What terms are sorted by: their names, single fluents before products."""
    if not isinstance(term, Product):
        return [str(part) for part in term]
    names = [str(part) for factor in term.factors for part in factor]
    return ["~", str(len(term.factors)), *names, str(term.divisors)]


def with_factor(term: Term | None, factor: Term) -> Term:
    """The product of two terms; None stands for the number 1."""
    if term is None:
        return factor
    factors, divisors = list[Lifted](), list[Sum]()
    for part in (term, factor):
        factors += part.factors if isinstance(part, Product) else [part]
        divisors += part.divisors if isinstance(part, Product) else []
    return Product(tuple(sorted(factors, key=sort_key)), tuple(sorted(divisors, key=str)))


def divided(term: Term | None, divisor: Sum) -> Term:
    """A term divided by a sum; None stands for the number 1."""
    factors: tuple[Lifted, ...] = ()
    divisors: tuple[Sum, ...] = ()
    if isinstance(term, Product):
        factors, divisors = term.factors, term.divisors
    elif term is not None:
        factors = (term,)
    return Product(factors, tuple(sorted((*divisors, divisor), key=str)))


def term_value(term: Term, binding: Sequence[str], values: Mapping[Ground, Rational]) -> Rational:
    """The value of a term in a state.

    Args:
        term: the term.
        binding: the objects for the parameters.
        values: the values of the ground fluents.

    Raises:
        KeyError: a fluent is undefined.
        DivisionByZero: a divisor is 0; also a KeyError.
    """
    if not isinstance(term, Product):
        return values[ground(term, binding)]
    total: Rational = 1
    for factor in term.factors:
        total *= values[ground(factor, binding)]
    for divisor in term.divisors:
        number = sum_value(divisor, binding, values)
        if not number:
            raise DivisionByZero("division by zero")
        total = Fraction(total) / number
    return exact(total)


def sum_value(total: Sum, binding: Sequence[str], values: Mapping[Ground, Rational]) -> Rational:
    """The value of a sum in a state.

    Raises:
        KeyError: a fluent is undefined, or a divisor is 0.
    """
    terms, constant = total
    return exact(constant + sum(c * term_value(term, binding, values) for term, c in terms))


def unplannable(terms: Iterable[tuple[Term, Rational]], changing: Collection[str]) -> str:
    """What keeps a sum from being linear once its parameters are bound; "" if nothing does.

    Args:
        terms: the terms.
        changing: names of the functions that some action changes.
    """
    for term, _ in terms:
        if not isinstance(term, Product):
            continue
        moving = [str(fluent[0]) for fluent in term.factors if fluent[0] in changing]
        if len(moving) > 1:
            return f"a product of fluents that actions change, '{moving[0]}' and '{moving[1]}',"
        for divisor, _ in term.divisors:
            for fluent in fluents_in(divisor):
                if fluent[0] in changing:
                    return f"division by a fluent that an action changes, '{fluent[0]}',"
    return ""
