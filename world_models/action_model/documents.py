"""The JSON document of an action model in, the model out, with every field checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from typing import Any

from worldplan.world_models.action_model.hypothesis_classes import SeenPoints
from worldplan.world_models.action_model.learner import LearningReport
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.domain import (
    Comparison,
    Lifted,
    Linear,
    NumericAction,
    NumericModel,
    Region,
    Vocabulary,
)
from worldplan.world_models.numeric.products import Product, Sum, Term

FORMAT, VERSION = "worldplan action model", 1
DECLARED = ("predicates", "functions", "actions")  # sections of the domain
REPORT = ("excluded", "refuted", "observations", "skipped")  # sections of the report
QUOTIENT = re.compile(r"-?\d+/0*[1-9]\d*")


class MalformedModel(Exception):
    """A field of a model's document is wrong; the message names it."""


def model_from_document(document: Any) -> NumericModel:
    """The model of a document, with its `LearningReport`, if any, as `detail["report"]`.

    Args:
        document: the parsed JSON.

    Raises:
        MalformedModel: it is no model, has another version, or has a wrong field.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise MalformedModel("not a model file: make one with `worldplan actions learn`")
    if document.get("version") != VERSION:
        raise MalformedModel(
            f"version: {document.get('version')!r}, and this worldplan reads version {VERSION}: "
            "learn the model again, or update worldplan"
        )
    parts = ("format", "version", "domain", "actions", "report")
    checked_record(document, "the file", (*parts, *(["noise"] if "noise" in document else [])))
    vocabulary = _vocabulary(document["domain"])
    actions = {}
    for name, entry in checked_mapping(document["actions"], "actions").items():
        if name not in vocabulary.actions:
            raise MalformedModel(f"actions.{name}: domain.actions does not declare it")
        actions[name] = _ActionReader(vocabulary, name).action(entry)
    if document["report"] is None:
        return NumericModel(vocabulary, actions)
    return NumericModel(vocabulary, actions, {"report": _report(document["report"], vocabulary)})


def _vocabulary(document: Any) -> Vocabulary:
    checked_record(document, "domain", ("name", "types", "constants", *DECLARED))
    types = {
        name: _text(parent, f"domain.types.{name}")
        for name, parent in checked_mapping(document["types"], "domain.types").items()
    }
    for name in types:
        ancestor, visited = name, {"object"}
        while ancestor not in visited:
            visited.add(ancestor)
            if ancestor not in types:
                raise MalformedModel(
                    f"domain.types.{name}: its parent '{ancestor}' is not declared"
                )
            ancestor = types[ancestor]
        if ancestor != "object":
            raise MalformedModel(f"domain.types.{name}: lies below itself")

    def kind(value: Any, where: str) -> str:
        if not isinstance(value, str) or (value != "object" and value not in types):
            raise MalformedModel(f"{where}: type {value!r:.60} is not declared")
        return str(value)

    def kinds(section: str) -> dict[str, tuple[str, ...]]:
        where = f"domain.{section}"
        entries = checked_mapping(document[section], where)
        return {
            name: tuple(
                kind(entry_kind, f"{where}.{name}")
                for entry_kind in checked_list(argument_kinds, f"{where}.{name}")
            )
            for name, argument_kinds in entries.items()
        }

    actions = {}
    for name, entries in checked_mapping(document["actions"], "domain.actions").items():
        where = f"domain.actions.{name}"
        actions[name] = tuple(
            (_text(parameter, where), kind(parameter_type, where))
            for parameter, parameter_type in (
                _pair(entry, where) for entry in checked_list(entries, where)
            )
        )
    constants = {
        name: kind(entry_kind, f"domain.constants.{name}")
        for name, entry_kind in checked_mapping(document["constants"], "domain.constants").items()
    }
    return Vocabulary(
        _text(document["name"], "domain.name"),
        types,
        constants,
        kinds("predicates"),
        kinds("functions"),
        actions,
    )


class _ActionReader:
    """Reads one action and checks it against the vocabulary."""

    def __init__(self, vocabulary: Vocabulary, name: str) -> None:
        self.vocabulary, self.name, self.where = vocabulary, name, f"actions.{name}"
        self.parameters = vocabulary.actions[name]

    def action(self, document: Any) -> NumericAction:
        sets = ("positive", "negative", "adds", "deletes")
        checked_record(
            document,
            self.where,
            ("parameters", "distinct", "comparisons", "regions", "effects", *sets),
        )
        if document["parameters"] != [list(entry) for entry in self.parameters]:
            raise MalformedModel(
                f"{self.where}.parameters: not those of domain.actions.{self.name}"
            )
        atoms = {
            kind: frozenset(
                self._lifted(part, self.vocabulary.predicates, f"{self.where}.{kind}")
                for part in self._entries(document, kind)
            )
            for kind in sets
        }
        effects = tuple(
            self._effect(part, f"{self.where}.effects")
            for part in self._entries(document, "effects")
        )
        if len({fluent for fluent, _ in effects}) < len(effects):
            raise MalformedModel(f"{self.where}.effects: a fluent comes twice")
        return NumericAction(
            self.name,
            self.parameters,
            distinct=frozenset(
                self._distinct_pair(part) for part in self._entries(document, "distinct")
            ),
            comparisons=tuple(
                self._comparison(part, f"{self.where}.comparisons")
                for part in self._entries(document, "comparisons")
            ),
            regions=tuple(
                self._region(part, f"{self.where}.regions")
                for part in self._entries(document, "regions")
            ),
            effects=effects,
            **atoms,
        )

    def _entries(self, document: Mapping[str, Any], kind: str) -> list[Any]:
        return checked_list(document[kind], f"{self.where}.{kind}")

    def _lifted(self, value: Any, declared: Mapping[str, tuple[str, ...]], where: str) -> Lifted:
        entries = checked_list(value, where)
        name = entries[0] if entries else None
        if not isinstance(name, str) or name not in declared:
            raise MalformedModel(f"{where}: {value!r} names nothing that the domain declares there")
        kinds = declared[name]
        if len(entries) != len(kinds) + 1:
            raise MalformedModel(f"{where}: {value!r}: '{name}' takes {len(kinds)} terms")
        for term, expected in zip(entries[1:], kinds, strict=True):
            if not self.vocabulary.is_a(self._kind(term, where), expected):
                raise MalformedModel(
                    f"{where}: {value!r}: {term!r} is of type '{self._kind(term, where)}', not "
                    f"'{expected}'"
                )
        return tuple(entries)

    def _kind(self, term: Any, where: str) -> str:
        if type(term) is int and 0 <= term < len(self.parameters):
            return self.parameters[term][1]
        if isinstance(term, str) and term in self.vocabulary.constants:
            return self.vocabulary.constants[term]
        raise MalformedModel(
            f"{where}: {term!r} is neither the position of a parameter nor a constant"
        )

    def _distinct_pair(self, value: Any) -> tuple[int | str, int | str]:
        where = f"{self.where}.distinct"
        first, second = _pair(value, where)
        self._kind(first, where)
        self._kind(second, where)
        return first, second

    def _linear(self, document: Mapping[str, Any], where: str) -> Linear:
        entries = checked_list(document["terms"], f"{where}.terms")
        terms = (_pair(entry, f"{where}.terms") for entry in entries)
        linear_terms = tuple(
            (
                self._term(term, f"{where}.terms"),
                checked_number(c, f"{where}.terms"),
            )
            for term, c in terms
        )
        return Linear(linear_terms, checked_number(document["constant"], f"{where}.constant"))

    def _term(self, value: Any, where: str) -> Term:
        """A fluent, or a product of fluents divided by sums.

        Raises:
            MalformedModel: it is neither.
        """
        if not isinstance(value, dict):
            return self._lifted(value, self.vocabulary.functions, where)
        checked_record(value, where, ("product", "divisors"))
        factors = tuple(
            self._lifted(factor, self.vocabulary.functions, f"{where}.product")
            for factor in checked_list(value["product"], f"{where}.product")
        )
        divisors: list[Sum] = []
        for entry in checked_list(value["divisors"], f"{where}.divisors"):
            checked_record(entry, f"{where}.divisors", ("terms", "constant"))
            divisor = self._linear(entry, f"{where}.divisors")
            divisors.append((divisor.terms, divisor.constant))
        if len(factors) + 2 * len(divisors) < 2:
            raise MalformedModel(f"{where}.product: needs two fluents, or a divisor")
        return Product(factors, tuple(divisors))

    def _comparison(self, document: Any, where: str) -> Comparison:
        checked_record(document, where, ("terms", "constant", "relation"))
        if document["relation"] not in (">=", ">", "="):
            raise MalformedModel(
                f"{where}.relation: {document['relation']!r} is none of '>=', '>', '='"
            )
        return Comparison(self._linear(document, where), document["relation"])

    def _effect(self, document: Any, where: str) -> tuple[Lifted, Linear]:
        checked_record(document, where, ("fluent", "terms", "constant"))
        return self._lifted(
            document["fluent"], self.vocabulary.functions, f"{where}.fluent"
        ), self._linear(document, where)

    def _region(self, document: Any, where: str) -> Region:
        kind = document.get("shape") if isinstance(document, dict) else None
        if kind not in ("polyhedron", "points"):
            raise MalformedModel(f"{where}.shape: {kind!r} is neither 'polyhedron' nor 'points'")
        checked_record(
            document,
            where,
            ("fluents", "shape", "points", *(["directions"] if kind == "polyhedron" else [])),
        )
        fluents = tuple(
            self._lifted(fluent, self.vocabulary.functions, f"{where}.fluents")
            for fluent in checked_list(document["fluents"], f"{where}.fluents", nonempty=True)
        )
        place = f"{where}.points"
        points = [
            tuple(checked_number(x, place) for x in checked_list(point, place))
            for point in checked_list(document["points"], place, nonempty=True)
        ]
        if any(len(point) != len(fluents) for point in points):
            raise MalformedModel(
                f"{where}.points: a point has not one number for each of the {len(fluents)} fluents"
            )
        if kind == "points":
            return Region(fluents, SeenPoints(frozenset(points)))
        directions = checked_list(document["directions"], f"{where}.directions")
        if len(directions) != len(fluents) or any(
            type(sign) is not int or sign not in (-1, 0, 1) for sign in directions
        ):
            raise MalformedModel(
                f"{where}.directions: needs -1, 0 or 1 for each of the {len(fluents)} fluents"
            )
        return Region(fluents, Polyhedron(points, directions))


def _report(document: Any, vocabulary: Vocabulary) -> LearningReport:
    checked_record(document, "report", REPORT)
    sections: dict[str, dict[str, Any]] = {}
    for kind in REPORT:
        value_type = str if kind in ("excluded", "refuted") else int
        sections[kind] = checked_mapping(document[kind], f"report.{kind}")
        for name, value in sections[kind].items():
            if name not in vocabulary.actions or type(value) is not value_type:
                raise MalformedModel(
                    f"report.{kind}.{name}: not an action of the domain with "
                    f"{'a reason' if value_type is str else 'a count'}"
                )
    return LearningReport(**sections)


def checked_record(value: Any, where: str, keys: tuple[str, ...]) -> None:
    """Check that a mapping has exactly these keys.

    Raises:
        MalformedModel: it is no mapping, or a key is missing or unknown.
    """
    present = set(checked_mapping(value, where))
    if missing := [key for key in keys if key not in present]:
        raise MalformedModel(f"{where}: '{missing[0]}' is missing")
    if extra := sorted(present - set(keys)):
        raise MalformedModel(f"{where}: '{extra[0]}' is unknown")


def checked_mapping(value: Any, where: str) -> dict[str, Any]:
    """A mapping.

    Raises:
        MalformedModel: it is none.
    """
    if not isinstance(value, dict):
        raise MalformedModel(f"{where}: must be a mapping, is {value!r:.60}")
    return value


def checked_list(value: Any, where: str, *, nonempty: bool = False) -> list[Any]:
    """A list.

    Raises:
        MalformedModel: it is none, or empty and `nonempty` is set.
    """
    if not isinstance(value, list) or (nonempty and not value):
        raise MalformedModel(
            f"{where}: must be a {'non-empty ' if nonempty else ''}list, is {value!r:.60}"
        )
    return value


def _pair(value: Any, where: str) -> tuple[Any, Any]:
    if len(checked_list(value, where)) != 2:
        raise MalformedModel(f"{where}: must be a pair, is {value!r:.60}")
    return value[0], value[1]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise MalformedModel(f"{where}: must be a name, is {value!r:.60}")
    return value


def written_number(number: Rational) -> int | str:
    """An exact number as `checked_number` reads it."""
    number = exact(number)
    return number if isinstance(number, int) else str(number)


def checked_number(value: Any, where: str) -> Rational:
    """An exact number.

    Raises:
        MalformedModel: it is neither a whole number nor "p/q".
    """
    if type(value) is int:
        return value
    if isinstance(value, str) and QUOTIENT.fullmatch(value):
        with suppress(ValueError):  # more digits than Python reads
            return exact(Fraction(value))
    raise MalformedModel(
        f'{where}: {value!r:.60} is not an exact number: write a whole number or "p/q"'
    )
