"""What a training comes from, as names and short texts that can be stored and compared."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
import torch
from scipy import sparse

from worldplan.name_lists import some

_NAMED = 3  # differences in a message
_NOTHING = repr(None)
_LONGEST = 200  # characters of a value that is written out
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_NAMED_TYPES = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.ModuleType,
    np.ufunc,
)


def origin(**parts: Any) -> dict[str, str]:
    """Describe `parts` so that equal descriptions mean equal values.

    Dataclasses and mappings are flattened ("settings.batch"); short numbers, texts and lists of
    them are written out. All else is hashed: arrays, tensors, sparse matrices, graphs with their
    attributes, sets, and objects by class and by the state that pickling would store. So a cache
    in an object of your own belongs to the description unless `__getstate__` leaves it out, or it
    is a `cached_property`. Named functions and classes are known by their names. So is an object
    that cannot be pickled, such as an open file: it is known by its class.

    Tuples count as lists, numpy scalars as Python's numbers, and the order of mappings and sets
    does not matter.
    """
    flat: dict[str, str] = {}
    for name, value in parts.items():
        _describe(flat, name, value)
    return flat


def differences(saved: Any, now: Mapping[str, str]) -> str:
    """Name what differs between a stored origin and that of the training at hand; "" if equal.

    A part that one of them lacks counts as None: a later version may have more settings, and None
    means that they are not used.
    """
    if not isinstance(saved, dict):
        return "saved by another version of worldplan"
    names = [
        name
        for name in sorted(saved.keys() | now.keys())
        if saved.get(name, _NOTHING) != now.get(name, _NOTHING)
    ]
    texts = [
        f"{name} was {saved.get(name, 'not set')}, is {now.get(name, 'not set')}" for name in names
    ]
    return some(texts, _NAMED)


def _describe(flat: dict[str, str], name: str, value: Any) -> None:
    """Add the description of a value, and those of its entries, to `flat`."""
    if _is_record(value):
        flat[name] = type(value).__qualname__
        for field in fields(value):
            _describe(flat, f"{name}.{field.name}", getattr(value, field.name))
    elif isinstance(value, Mapping) and value:
        for key, entry in value.items():
            plain = isinstance(key, str) and key.isidentifier()
            _describe(flat, f"{name}.{key}" if plain else f"{name}[{_text(key)}]", entry)
    else:
        flat[name] = _text(value)


def _is_record(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _text(value: Any) -> str:
    """The value itself if it is short, else its kind and a hash."""
    value = _plain(value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        value = [_plain(item) for item in value]
    items = value if isinstance(value, list) else [value]
    if all(isinstance(item, _SCALARS) for item in items):
        text = repr(value)
        if len(text) <= _LONGEST:
            return text
    elif isinstance(value, Mapping) and not value:
        return "{}"
    return f"{type(value).__name__} {_digest(value).hex()[:12]}"


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's number."""
    return value.item() if isinstance(value, np.generic) else value


def _digest(value: Any, within: tuple[int, ...] = ()) -> bytes:
    """A hash of a value: of its kind, its content, and the hashes of its parts.

    Args:
        value: anything.
        within: identities of the objects that it is a part of; one that contains itself is not
            followed for ever.
    """
    value = _plain(value)
    if id(value) in within:
        return hashlib.sha256(b"itself").digest()
    kind, content, parts = _taken_apart(value)
    digest = hashlib.sha256(f"{kind} {len(content)} ".encode())
    digest.update(content)  # a dataset; not copied
    hashes = [_digest(part, (*within, id(value))) for part in parts]
    for entry in sorted(hashes) if isinstance(value, (Mapping, set, frozenset)) else hashes:
        digest.update(entry)
    return digest.digest()


def _taken_apart(value: Any) -> tuple[str, bytes | memoryview, Iterable[Any]]:
    """Kind, content and parts of a value."""
    if isinstance(value, _SCALARS):
        return "scalar", repr(value).encode(), ()
    if isinstance(value, torch.Tensor):
        dense = value.detach().cpu().to_dense().contiguous().reshape(-1)
        kind = f"tensor {value.dtype} {tuple(value.shape)}"
        return kind, dense.view(torch.uint8).numpy().tobytes() if len(dense) else b"", ()
    if isinstance(value, np.ndarray):
        kind = f"array {value.dtype} {value.shape}"
        return (kind, b"", value.tolist()) if value.dtype.hasobject else (kind, _bytes(value), ())
    if sparse.issparse(value):
        rows = value.tocsr(copy=True)
        rows.sum_duplicates()
        return f"sparse {value.shape}", b"", (rows.data, rows.indices, rows.indptr)
    if isinstance(value, nx.Graph):
        return type(value).__qualname__, b"", _parts_of_graph(value)
    if isinstance(value, Mapping):
        return "mapping", b"", list(value.items())
    if isinstance(value, (set, frozenset)):
        return "set", b"", value
    if isinstance(value, Sequence):
        return "list", b"", value
    if _is_record(value):
        entries = [(field.name, getattr(value, field.name)) for field in fields(value)]
        return type(value).__qualname__, b"", entries
    return _parts_of_object(value)


def _bytes(array: np.ndarray) -> bytes | memoryview:
    """The content of an array, not copied where possible: it may be larger than memory."""
    contiguous = array.size and array.flags.c_contiguous
    return array.reshape(-1).view(np.uint8).data if contiguous else array.tobytes()


def _parts_of_graph(graph: nx.Graph) -> list[Any]:
    """Nodes in their order, edges in none, and all attributes."""
    edges = graph.edges(keys=True, data=True) if graph.is_multigraph() else graph.edges(data=True)
    ends = tuple if graph.is_directed() else frozenset
    described = frozenset(_digest((ends(edge[:2]), *edge[2:])) for edge in edges)
    return [list(graph.nodes(data=True)), described, graph.graph]


def _parts_of_object(value: Any) -> tuple[str, bytes, Iterable[Any]]:
    """Name of a function or class; class and state of anything else."""
    if isinstance(value, _NAMED_TYPES):
        name = getattr(value, "__qualname__", value.__name__)
        return "name", name.encode(), _parts_of_function(value)
    kind = type(value).__qualname__
    try:
        reduced = value.__reduce_ex__(2)
    except Exception:  # anything may refuse to be pickled, and in its own way
        return kind, b"", ()
    if isinstance(reduced, str):
        return kind, reduced.encode(), ()
    make, arguments, state, items, entries = (*reduced, None, None, None)[:5]
    if isinstance(state, dict):
        state = {name: entry for name, entry in state.items() if not _is_cached(value, name)}
    return kind, b"", [make, arguments, state, list(items or ()), dict(entries or ())]


def _is_cached(value: Any, name: str) -> bool:
    return isinstance(getattr(type(value), str(name), None), cached_property)


def _parts_of_function(value: Any) -> list[Any]:
    """What a function takes from where it was made; also its code if it has no name of its own."""
    if not isinstance(value, types.FunctionType):
        return []
    closure = [cell.cell_contents for cell in value.__closure__ or ()]
    code = _parts_of_code(value.__code__) if "<" in value.__qualname__ else []
    return [value.__defaults__, value.__kwdefaults__, closure, code]


def _parts_of_code(code: types.CodeType) -> list[Any]:
    constants = [
        _parts_of_code(item) if isinstance(item, types.CodeType) else item
        for item in code.co_consts
    ]
    return [code.co_code, code.co_names, constants]
