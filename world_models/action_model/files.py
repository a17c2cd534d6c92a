"""Action models as JSON files: exact (a number is an int or "p/q"), versioned, and checked field by
field when read.

A file holds the vocabulary, the known actions and, for a learned model, its `LearningReport`. Other
entries of `detail` are not saved.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.action_model.hypothesis_classes import SeenPoints
from worldplan.world_models.action_model.learner import LearningReport
from worldplan.world_models.exact.numbers import Point, Rational, exact
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
from worldplan.world_models.numeric.s_expressions import read_text
from worldplan.world_models.storage import replace_file

FORMAT, VERSION = "worldplan action model", 1
QUOTIENT = re.compile(r"-?\d+/0*[1-9]\d*")
Parameters = tuple[tuple[str, str], ...]


def save_model(model: NumericModel, path: str | Path) -> None:
    """Write a model to a JSON file, atomically.

    Args:
        model: its regions must be `Polyhedron` or `SeenPoints`.
        path: the file.

    Raises:
        ConfigError: a region has another shape.
    """
    report = model.detail.get("report")
    document = {
        "format": FORMAT,
        "version": VERSION,
        "domain": {
            "name": model.vocabulary.name,
            "types": dict(model.vocabulary.types),
            "constants": dict(model.vocabulary.constants),
            **{
                kind: {
                    name: list(entries) for name, entries in getattr(model.vocabulary, kind).items()
                }
                for kind in DECLARED
            },
        },
        "actions": {name: _action_document(action) for name, action in model.actions.items()},
        "report": None
        if report is None
        else {name: dict(getattr(report, name)) for name in REPORT},
    }
    text = json.dumps(document, ensure_ascii=False) + "\n"
    replace_file(Path(path), lambda draft: draft.write_text(text, encoding="utf-8"))


def load_model(path: str | Path) -> NumericModel:
    """Read a model; a learned one has its `LearningReport` as `detail["report"]`.

    Args:
        path: a file written by `save_model`.

    Raises:
        DatasetError: the file is missing, is no model file, has another version, or has a wrong
            field, which the message names.
    """
    text = read_text(path)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{path}: not a model file (not JSON: {error}): make one with `worldplan actions learn`"
        ) from error
    try:
        return _model(document)
    except _Wrong as error:
        raise DatasetError(f"{path}: {error}") from error


DECLARED = ("predicates", "functions", "actions")
REPORT = ("excluded", "refuted", "observations", "skipped")


# --- writing --------------------------------------------------------------------------------------


def _action_document(action: NumericAction) -> dict[str, Any]:
    return {
        "parameters": [list(entry) for entry in action.parameters],
        **{
            kind: _ordered(getattr(action, kind))
            for kind in ("positive", "negative", "distinct", "adds", "deletes")
        },
        "comparisons": [
            {**_linear_document(comparison.expression), "relation": comparison.relation}
            for comparison in action.comparisons
        ],
        "regions": [
            {
                "fluents": [list(fluent) for fluent in region.fluents],
                **_shape_document(region, action.name),
            }
            for region in action.regions
        ],
        "effects": [
            {"fluent": list(fluent), **_linear_document(after)} for fluent, after in action.effects
        ],
    }


def _ordered(parts: Iterable[tuple[int | str, ...]]) -> list[list[int | str]]:
    return [
        list(part)
        for part in sorted(parts, key=lambda part: [(isinstance(term, str), term) for term in part])
    ]


def _linear_document(linear: Linear) -> dict[str, Any]:
    return {
        "terms": [[list(fluent), _written(c)] for fluent, c in linear.terms],
        "constant": _written(linear.constant),
    }


def _shape_document(region: Region, action: str) -> dict[str, Any]:
    shape = region.shape
    if isinstance(shape, Polyhedron):
        return {
            "shape": "polyhedron",
            "points": _points_document(shape.points),
            "directions": list(shape.directions),
        }
    if isinstance(shape, SeenPoints):
        return {"shape": "points", "points": _points_document(sorted(shape.points))}
    raise ConfigError(
        f"action '{action}': a region of shape {type(shape).__name__} cannot be saved: use a "
        "Polyhedron or SeenPoints"
    )


def _points_document(points: Iterable[Point]) -> list[list[int | str]]:
    return [[_written(x) for x in point] for point in points]


def _written(number: Rational) -> int | str:
    number = exact(number)
    return number if isinstance(number, int) else str(number)


# --- reading --------------------------------------------------------------------------------------


class _Wrong(Exception):
    """A field is wrong; the message names it."""


def _model(document: Any) -> NumericModel:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _Wrong("not a model file: make one with `worldplan actions learn`")
    if document.get("version") != VERSION:
        raise _Wrong(
            f"version: {document.get('version')!r}, and this worldplan reads version {VERSION}: "
            "learn the model again, or update worldplan"
        )
    _record(document, "the file", ("format", "version", "domain", "actions", "report"))
    vocabulary = _vocabulary(document["domain"])
    actions = {}
    for name, entry in _mapping(document["actions"], "actions").items():
        if name not in vocabulary.actions:
            raise _Wrong(f"actions.{name}: domain.actions does not declare it")
        actions[name] = _ActionReader(vocabulary, name).action(entry)
    if document["report"] is None:
        return NumericModel(vocabulary, actions)
    return NumericModel(vocabulary, actions, {"report": _report(document["report"], vocabulary)})


def _vocabulary(document: Any) -> Vocabulary:
    _record(document, "domain", ("name", "types", "constants", *DECLARED))
    types = {
        name: _text(parent, f"domain.types.{name}")
        for name, parent in _mapping(document["types"], "domain.types").items()
    }
    for name in types:
        ancestor, visited = name, {"object"}
        while ancestor not in visited:
            visited.add(ancestor)
            if ancestor not in types:
                raise _Wrong(f"domain.types.{name}: its parent '{ancestor}' is not declared")
            ancestor = types[ancestor]
        if ancestor != "object":
            raise _Wrong(f"domain.types.{name}: lies below itself")

    def kind(value: Any, where: str) -> str:
        if value != "object" and value not in types:
            raise _Wrong(f"{where}: type {value!r} is not declared")
        return str(value)

    def kinds(section: str) -> dict[str, tuple[str, ...]]:
        where = f"domain.{section}"
        entries = _mapping(document[section], where)
        return {
            name: tuple(
                kind(entry_kind, f"{where}.{name}")
                for entry_kind in _list(argument_kinds, f"{where}.{name}")
            )
            for name, argument_kinds in entries.items()
        }

    actions = {}
    for name, entries in _mapping(document["actions"], "domain.actions").items():
        where = f"domain.actions.{name}"
        actions[name] = tuple(
            (_text(parameter, where), kind(parameter_type, where))
            for parameter, parameter_type in (
                _pair(entry, where) for entry in _list(entries, where)
            )
        )
    constants = {
        name: kind(entry_kind, f"domain.constants.{name}")
        for name, entry_kind in _mapping(document["constants"], "domain.constants").items()
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
        _record(
            document,
            self.where,
            ("parameters", "distinct", "comparisons", "regions", "effects", *sets),
        )
        if document["parameters"] != [list(entry) for entry in self.parameters]:
            raise _Wrong(f"{self.where}.parameters: not those of domain.actions.{self.name}")
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
            raise _Wrong(f"{self.where}.effects: a fluent comes twice")
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
        return _list(document[kind], f"{self.where}.{kind}")

    def _lifted(self, value: Any, declared: Mapping[str, tuple[str, ...]], where: str) -> Lifted:
        entries = _list(value, where)
        name = entries[0] if entries else None
        if not isinstance(name, str) or name not in declared:
            raise _Wrong(f"{where}: {value!r} names nothing that the domain declares there")
        kinds = declared[name]
        if len(entries) != len(kinds) + 1:
            raise _Wrong(f"{where}: {value!r}: '{name}' takes {len(kinds)} terms")
        for term, expected in zip(entries[1:], kinds, strict=True):
            if not self.vocabulary.is_a(self._kind(term, where), expected):
                raise _Wrong(
                    f"{where}: {value!r}: {term!r} is of type '{self._kind(term, where)}', not "
                    f"'{expected}'"
                )
        return tuple(entries)

    def _kind(self, term: Any, where: str) -> str:
        if type(term) is int and 0 <= term < len(self.parameters):
            return self.parameters[term][1]
        if isinstance(term, str) and term in self.vocabulary.constants:
            return self.vocabulary.constants[term]
        raise _Wrong(f"{where}: {term!r} is neither the position of a parameter nor a constant")

    def _distinct_pair(self, value: Any) -> tuple[int | str, int | str]:
        where = f"{self.where}.distinct"
        first, second = _pair(value, where)
        self._kind(first, where)
        self._kind(second, where)
        return first, second

    def _linear(self, document: Mapping[str, Any], where: str) -> Linear:
        terms = (
            _pair(entry, f"{where}.terms") for entry in _list(document["terms"], f"{where}.terms")
        )
        linear_terms = tuple(
            (
                self._lifted(fluent, self.vocabulary.functions, f"{where}.terms"),
                _number(c, f"{where}.terms"),
            )
            for fluent, c in terms
        )
        return Linear(linear_terms, _number(document["constant"], f"{where}.constant"))

    def _comparison(self, document: Any, where: str) -> Comparison:
        _record(document, where, ("terms", "constant", "relation"))
        if document["relation"] not in (">=", ">", "="):
            raise _Wrong(f"{where}.relation: {document['relation']!r} is none of '>=', '>', '='")
        return Comparison(self._linear(document, where), document["relation"])

    def _effect(self, document: Any, where: str) -> tuple[Lifted, Linear]:
        _record(document, where, ("fluent", "terms", "constant"))
        return self._lifted(
            document["fluent"], self.vocabulary.functions, f"{where}.fluent"
        ), self._linear(document, where)

    def _region(self, document: Any, where: str) -> Region:
        kind = document.get("shape") if isinstance(document, dict) else None
        if kind not in ("polyhedron", "points"):
            raise _Wrong(f"{where}.shape: {kind!r} is neither 'polyhedron' nor 'points'")
        _record(
            document,
            where,
            ("fluents", "shape", "points", *(["directions"] if kind == "polyhedron" else [])),
        )
        fluents = tuple(
            self._lifted(fluent, self.vocabulary.functions, f"{where}.fluents")
            for fluent in _list(document["fluents"], f"{where}.fluents", nonempty=True)
        )
        points = [
            tuple(_number(x, f"{where}.points") for x in _list(point, f"{where}.points"))
            for point in _list(document["points"], f"{where}.points", nonempty=True)
        ]
        if any(len(point) != len(fluents) for point in points):
            raise _Wrong(
                f"{where}.points: a point has not one number for each of the {len(fluents)} fluents"
            )
        if kind == "points":
            return Region(fluents, SeenPoints(frozenset(points)))
        directions = _list(document["directions"], f"{where}.directions")
        if len(directions) != len(fluents) or any(
            type(sign) is not int or sign not in (-1, 0, 1) for sign in directions
        ):
            raise _Wrong(
                f"{where}.directions: needs -1, 0 or 1 for each of the {len(fluents)} fluents"
            )
        return Region(fluents, Polyhedron(points, directions))


def _report(document: Any, vocabulary: Vocabulary) -> LearningReport:
    _record(document, "report", REPORT)
    sections: dict[str, dict[str, Any]] = {}
    for kind in REPORT:
        value_type = str if kind in ("excluded", "refuted") else int
        sections[kind] = _mapping(document[kind], f"report.{kind}")
        for name, value in sections[kind].items():
            if name not in vocabulary.actions or type(value) is not value_type:
                raise _Wrong(
                    f"report.{kind}.{name}: not an action of the domain with "
                    f"{'a reason' if value_type is str else 'a count'}"
                )
    return LearningReport(**sections)


def _record(value: Any, where: str, keys: tuple[str, ...]) -> None:
    """Check that a mapping has exactly these keys.

    Raises:
        _Wrong: it is no mapping, or a key is missing or unknown.
    """
    present = set(_mapping(value, where))
    if missing := [key for key in keys if key not in present]:
        raise _Wrong(f"{where}: '{missing[0]}' is missing")
    if extra := sorted(present - set(keys)):
        raise _Wrong(f"{where}: '{extra[0]}' is unknown")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{where}: must be a mapping, is {value!r:.60}")
    return value


def _list(value: Any, where: str, *, nonempty: bool = False) -> list[Any]:
    if not isinstance(value, list) or (nonempty and not value):
        raise _Wrong(f"{where}: must be a {'non-empty ' if nonempty else ''}list, is {value!r:.60}")
    return value


def _pair(value: Any, where: str) -> tuple[Any, Any]:
    if len(_list(value, where)) != 2:
        raise _Wrong(f"{where}: must be a pair, is {value!r:.60}")
    return value[0], value[1]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"{where}: must be a name, is {value!r:.60}")
    return value


def _number(value: Any, where: str) -> Rational:
    if type(value) is int:
        return value
    if isinstance(value, str) and QUOTIENT.fullmatch(value):
        return exact(Fraction(value))
    raise _Wrong(f'{where}: {value!r:.60} is not an exact number: write a whole number or "p/q"')
