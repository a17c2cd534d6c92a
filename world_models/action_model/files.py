"""Action models as JSON files: exact (a number is an int or "p/q"), versioned, and checked field by
field when read.

A file holds the vocabulary, the known actions and, for a learned model, its `LearningReport`. Other
entries of `detail` are not saved.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.user_files import read_user_text, unique_keys
from worldplan.world_models.action_model.bounded_documents import (
    bounded_from_document,
    noise_document,
)
from worldplan.world_models.action_model.documents import (
    DECLARED,
    FORMAT,
    REPORT,
    VERSION,
    MalformedModel,
    model_from_document,
    written_number,
)
from worldplan.world_models.action_model.hypothesis_classes import SeenPoints
from worldplan.world_models.exact.numbers import Point
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.bounded import BoundedModel
from worldplan.world_models.numeric.domain import Linear, NumericAction, NumericModel, Region
from worldplan.world_models.numeric.products import Product, Term
from worldplan.world_models.storage import replace_file


def save_model(model: NumericModel | BoundedModel, path: str | Path) -> None:
    """Write a model to a JSON file, atomically.

    Args:
        model: its regions must be `Polyhedron` or `SeenPoints`. With bounded errors, its file is
            read by `load_any_model`.
        path: the file.

    Raises:
        ConfigError: a region has another shape.
    """
    bounded = model if isinstance(model, BoundedModel) else None
    model = model.model if isinstance(model, BoundedModel) else model
    report = model.detail.get("report")
    document: dict[str, Any] = {
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
    if bounded is not None:
        document["noise"] = noise_document(bounded)
    text = json.dumps(document, ensure_ascii=False) + "\n"
    replace_file(Path(path), lambda draft: draft.write_text(text, encoding="utf-8"))


def load_model(path: str | Path) -> NumericModel:
    """Read an exact model; a learned one has its `LearningReport` as `detail["report"]`.

    Args:
        path: a file written by `save_model`.

    Raises:
        DatasetError: the file is missing, is no model file, has another version, or has a wrong
            field, which the message names; or it has noise bounds.
    """
    model = load_any_model(path)
    if isinstance(model, BoundedModel):
        raise DatasetError(
            f"{path}: has noise bounds, and exact numbers are needed here: learn it without "
            "--noise (in Python, load_any_model reads it)"
        )
    return model


def load_any_model(path: str | Path) -> NumericModel | BoundedModel:
    """Read an exact model, or one with noise bounds.

    Args:
        path: a file written by `save_model`.

    Raises:
        DatasetError: the file is missing, is no model file, has another version, or has a wrong
            field, which the message names.
    """
    text = read_user_text(path)
    try:
        document = json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{path}: not a model file (not JSON: {error}): make one with `worldplan actions learn`"
        ) from error
    try:
        model = model_from_document(document)
        return bounded_from_document(document["noise"], model) if "noise" in document else model
    except MalformedModel as error:
        raise DatasetError(f"{path}: {error}") from error
    except RecursionError as error:  # of a deep list that stands in the place of a name
        raise DatasetError(f"{path}: nested too deep to be a model file: restore a copy") from error


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
        "terms": [[_term_document(term), written_number(c)] for term, c in linear.terms],
        "constant": written_number(linear.constant),
    }


def _term_document(term: Term) -> list[int | str] | dict[str, Any]:
    """A fluent as a list, a product as {"product": fluents, "divisors": sums}."""
    if not isinstance(term, Product):
        return list(term)
    return {
        "product": [list(factor) for factor in term.factors],
        "divisors": [_linear_document(Linear(*divisor)) for divisor in term.divisors],
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
    return [[written_number(x) for x in point] for point in points]
