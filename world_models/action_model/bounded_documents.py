"""The noise bounds and certified errors of a model as a part of its JSON document."""

from __future__ import annotations

from typing import Any

from worldplan.world_models.action_model.documents import (
    MalformedModel,
    checked_list,
    checked_mapping,
    checked_number,
    checked_record,
    written_number,
)
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.bounded import BoundedModel
from worldplan.world_models.numeric.domain import Lifted, NumericModel
from worldplan.world_models.numeric.noise import Noise


def noise_document(bounded: BoundedModel) -> dict[str, Any]:
    """The bounds and errors as plain values."""
    return {
        "bound": written_number(bounded.noise.bound),
        "bounds": {name: written_number(bound) for name, bound in bounded.noise.bounds.items()},
        "errors": {
            name: [
                [list(fluent), written_number(low), written_number(high)]
                for fluent, (low, high) in errors.items()
            ]
            for name, errors in bounded.errors.items()
            if errors
        },
    }


def bounded_from_document(document: Any, model: NumericModel) -> BoundedModel:
    """The model with the bounds and errors of a document.

    Raises:
        MalformedModel: a field is wrong.
    """
    checked_record(document, "noise", ("bound", "bounds", "errors"))
    bounds = {
        name: _from_zero(value, f"noise.bounds.{name}")
        for name, value in checked_mapping(document["bounds"], "noise.bounds").items()
    }
    for name in bounds:
        if name not in model.vocabulary.functions:
            raise MalformedModel(f"noise.bounds.{name}: domain.functions does not declare it")
    errors: dict[str, dict[Lifted, tuple[Rational, Rational]]] = {}
    for name, entries in checked_mapping(document["errors"], "noise.errors").items():
        where = f"noise.errors.{name}"
        action = model.actions.get(name)
        changed = {fluent for fluent, _ in action.effects} if action else set()
        for entry in checked_list(entries, where):
            parts = checked_list(entry, where)
            fluent = tuple(parts[0]) if parts and isinstance(parts[0], list) else ()
            if len(parts) != 3 or fluent not in changed:
                raise MalformedModel(
                    f"{where}: {entry!r:.60} is no [fluent, least, greatest] of an effect"
                )
            low, high = (checked_number(value, where) for value in parts[1:])
            if low > high:
                raise MalformedModel(f"{where}: {entry!r:.60}: the least error is the greater one")
            errors.setdefault(name, {})[fluent] = low, high
    return BoundedModel(model, errors, Noise(_from_zero(document["bound"], "noise.bound"), bounds))


def _from_zero(value: Any, where: str) -> Rational:
    number = checked_number(value, where)
    if number < 0:
        raise MalformedModel(f"{where}: {value!r:.60} is below 0")
    return number
