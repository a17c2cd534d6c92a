"""Objects with names that PDDL does not allow, under plain names for planners of others, and back.

A log or a program may call a truck `Truck 1 (old)`. Files of PDDL cannot; a problem is handed over
with plain names, and its plans come back with the names of the user.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Ground,
    Linear,
    NumericProblem,
    Product,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.metrics import Metric
from worldplan.world_models.numeric.products import Term

PLAIN = re.compile(r"[a-z][a-z0-9_-]*")
NOT_PLAIN = re.compile(r"[^a-z0-9_]+")


@dataclass(frozen=True)
class PlainNames:
    """A plain name for every object of a problem whose own name is none.

    Args:
        plain: plain name by the user's name, of the objects that are renamed.
    """

    plain: Mapping[str, str]

    @staticmethod
    def of(problem: NumericProblem, vocabulary: Vocabulary) -> PlainNames:
        """The names for a problem; constants keep theirs, which the domain declares."""
        odd = [
            name
            for name in problem.objects
            if name not in vocabulary.constants and PLAIN.fullmatch(name) is None
        ]
        taken = {*problem.objects, *vocabulary.constants, *vocabulary.types}
        taken |= {*vocabulary.predicates, *vocabulary.functions, *vocabulary.actions}
        return PlainNames(plain_names(odd, taken))

    def problem(self, problem: NumericProblem) -> NumericProblem:
        """The problem with plain names."""
        if not self.plain:
            return problem
        goal, metric = problem.goal, problem.metric
        return replace(
            problem,
            objects={self.plain.get(name, name): kind for name, kind in problem.objects.items()},
            initial=State(
                self._facts(problem.initial.atoms),
                {self._fact(fluent): value for fluent, value in problem.initial.values.items()},
            ),
            goal=Goal(
                self._facts(goal.positive),
                self._facts(goal.negative),
                tuple(
                    Comparison(self._sum(entry.expression), entry.relation)
                    for entry in goal.comparisons
                ),
            ),
            metric=None if metric is None else Metric(metric.sense, self._sum(metric.expression)),
        )

    def plan(self, plan: Iterable[Ground]) -> tuple[Ground, ...]:
        """A plan over plain names with the user's names."""
        own = {plain: name for name, plain in self.plain.items()}
        return tuple((step[0], *(own.get(name, name) for name in step[1:])) for step in plan)

    def plain_plan(self, plan: Iterable[Ground]) -> tuple[Ground, ...]:
        """A plan over the user's names with plain names."""
        return tuple(self._fact(step) for step in plan)

    def _fact(self, fact: Ground) -> Ground:
        return (fact[0], *(self.plain.get(name, name) for name in fact[1:]))

    def _facts(self, facts: Iterable[Ground]) -> frozenset[Ground]:
        return frozenset(self._fact(fact) for fact in facts)

    def _sum(self, expression: Linear) -> Linear:
        return Linear(self._terms(expression.terms), expression.constant)

    def _terms(self, terms: Iterable[tuple[Term, Rational]]) -> tuple[tuple[Term, Rational], ...]:
        return tuple((self._term(term), coefficient) for term, coefficient in terms)

    def _term(self, term: Term) -> Term:
        if not isinstance(term, Product):
            return self._fact(tuple(str(part) for part in term))
        return Product(
            tuple(self._fact(tuple(str(part) for part in factor)) for factor in term.factors),
            tuple((self._terms(terms), constant) for terms, constant in term.divisors),
        )


def plain_names(names: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """A different plain name for each name: its letters and digits, as far as PDDL allows them.

    Args:
        names: what is to be named.
        taken: names that are not used.
    """
    used, plain = set(taken), dict[str, str]()
    for name in names:
        ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        stem = f"o-{NOT_PLAIN.sub('-', ascii_name.lower()).strip('-')}".rstrip("-")
        candidate, number = stem, 2
        while candidate in used:
            candidate, number = f"{stem}-{number}", number + 1
        used.add(candidate)
        plain[name] = candidate
    return plain
