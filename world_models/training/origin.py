"""What a training comes from, as names and short texts that can be stored and compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import networkx as nx
import numpy as np
import torch

_NAMED = 3  # differences in a message


def origin(**parts: Any) -> dict[str, str]:
    """Describe `parts` so that equal descriptions mean equal values.

    Dataclasses and mappings are flattened ("settings.batch"); numbers and texts are written out;
    arrays, tensors and graphs are hashed.
    """
    flat: dict[str, str] = {}
    for name, value in parts.items():
        entries = _entries(value)
        if entries is None:
            flat[name] = _text(value)
        else:
            nested = origin(**{str(key): entry for key, entry in entries.items()})
            flat |= {f"{name}.{key}": text for key, text in nested.items()}
    return flat


def differences(saved: Any, now: Mapping[str, str]) -> str:
    """Name what differs between a stored origin and that of the training at hand; "" if equal."""
    if not isinstance(saved, dict):
        return "saved by another version of worldplan"
    names = [name for name in sorted(saved.keys() | now.keys()) if saved.get(name) != now.get(name)]
    texts = [f"{name} was {saved.get(name)}, is {now.get(name)}" for name in names[:_NAMED]]
    return ", ".join(texts) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _entries(value: Any) -> dict[Any, Any] | None:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return dict(value) if isinstance(value, Mapping) and value else None


def _text(value: Any) -> str:
    if isinstance(value, (bool, int, float, str, bytes, type(None), np.generic)):
        return repr(value)
    if isinstance(value, Sequence) and all(isinstance(item, (int, float, str)) for item in value):
        return repr(list(value))
    digest = hashlib.sha256()
    _add(digest, value)
    return f"{type(value).__name__} {digest.hexdigest()[:12]}"


def _add(digest: Any, value: Any) -> None:
    """Feed a value into the hash, part by part."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(
            f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
        )
    elif isinstance(value, nx.Graph):
        digest.update(
            repr((sorted(map(repr, value.nodes)), sorted(map(repr, value.edges)))).encode()
        )
    elif (entries := _entries(value)) is not None:
        for key, entry in entries.items():
            digest.update(repr(key).encode())
            _add(digest, entry)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _add(digest, item)
    elif isinstance(value, (bool, int, float, str, bytes, type(None), np.generic)):
        digest.update(repr(value).encode())
    else:  # what has no value of its own, such as a function, is known by its name
        digest.update(getattr(value, "__qualname__", type(value).__qualname__).encode())
