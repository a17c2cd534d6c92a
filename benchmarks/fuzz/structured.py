"""Mutations that keep a file well formed: one value, array, column or cell is replaced."""

from __future__ import annotations

import csv
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml
from numpy.lib import format as npy

VALUES: list[Any] = [
    *(None, True, False, [], {}, "", "x", "null", [None], [[]], {"a": 1}, {1: 2}, [1, "a"]),
    *(0, -1, 1, 2, 3, 7, 10**12, 10**19, -(10**19), 2**53 + 1, 10**400),
    *(0.0, -0.0, 0.5, -0.5, 1.0, 1.5, 1e-320, 1e308, -1e308, float("inf"), float("nan")),
    *("9" * 50, "0..999999999999", "../nowhere", "[/]", "{}", "%s", "a:b", "os:getcwd", "\udcff"),
    *("json:loads", "builtins:exit", "nowhere:Nothing", "größe", "a b", "-", "=", "/dev/zero"),
    *(list(range(1000)), ["x"] * 1000, {str(i): i for i in range(1000)}),
]


def mutate_structure(file: str, data: bytes, rng: random.Random) -> tuple[bytes, str] | None:
    """A well-formed mutant of the content `data` of `file`, and the name of the mutation; None
    where the structure of such files is not known here.
    """
    mutation: Callable[[bytes, random.Random], bytes] | None = {
        ".yaml": _yaml,
        ".json": _json,
        ".csv": _csv,
        ".npz": _npz,
        ".hdf5": _hdf5,
    }.get(Path(file).suffix)
    return None if mutation is None else (mutation(data, rng), f"structured{mutation.__name__}")


def _yaml(data: bytes, rng: random.Random) -> bytes:
    tree = yaml.safe_load(data)
    _replace(tree, rng)
    return yaml.dump(tree, allow_unicode=True).encode("utf-8", errors="surrogatepass")


def _json(data: bytes, rng: random.Random) -> bytes:
    tree = json.loads(data)
    _replace(tree, rng)
    return json.dumps(tree).encode()


def _replace(tree: Any, rng: random.Random) -> None:
    """Replace, remove, rename or copy an entry of nested mappings and lists."""
    places = _places(tree) or [([None], 0)]
    container, key = rng.choice(places)
    action = rng.random()
    if action < 0.75:
        container[key] = rng.choice(VALUES)
    elif action < 0.85:
        del container[key]
    elif action < 0.95:
        other, other_key = rng.choice(places)
        container[key] = json.loads(json.dumps(other[other_key], default=str))
    elif isinstance(container, dict):
        container[f"{key}x"] = container.pop(key)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every entry."""
    entries: list[tuple[Any, Any]] = []
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            entries += [(tree, key), *_places(tree[key])]
    return entries


def _csv(data: bytes, rng: random.Random) -> bytes:
    rows = list(csv.reader(io.StringIO(data.decode())))
    row = rng.choice(rows)
    place = rng.randrange(len(row))
    action = rng.random()
    if action < 0.6:
        row[place] = str(rng.choice(VALUES)).encode(errors="replace").decode()
    elif action < 0.8:
        row[place] = rng.choice(rng.choice(rows) or [""])
    elif action < 0.9:
        for number in range(len(rows)):
            del rows[number][place : place + 1]
    else:
        del row[place]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _array(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """Another array in the place of this one."""
    flat = array.reshape(-1)
    if array.dtype.kind in "fiub" and flat.size and rng.random() < 0.3:
        changed = array.astype(np.float64)
        evil = [np.nan, np.inf, 1e39, -1, 0.5, 1e-320, 2**62]
        changed.reshape(-1)[rng.randrange(flat.size)] = rng.choice(evil)
        return changed
    makers: list[Callable[[], np.ndarray]] = [
        lambda: array[:-1] if array.ndim else array,
        lambda: np.concatenate([array, array]) if array.ndim else array,
        lambda: array[..., None],
        lambda: flat,
        lambda: array.reshape(-1)[0] if flat.size else array,
        lambda: np.zeros(0, array.dtype),
        lambda: np.zeros((0, 3), array.dtype),
        lambda: np.zeros((len(flat), 0)),
        lambda: array.astype("S8"),
        lambda: array.astype("U8"),
        lambda: array.astype(np.complex128) if array.dtype.kind in "fiub" else array,
        lambda: np.arange(flat.size).astype("datetime64[s]").reshape(array.shape),
        lambda: np.zeros(array.shape, [("a", "f4"), ("b", "i4")]),
        lambda: array[::-1] if array.ndim else array,
        lambda: np.array(json.dumps(rng.choice(VALUES), default=str)),
        lambda: array.astype(">f8") if array.dtype.kind in "fiub" else array,
        lambda: array.astype(np.float16) if array.dtype.kind in "fiub" else array,
    ]
    return rng.choice(makers)()


def _npz(data: bytes, rng: random.Random) -> bytes:
    with np.load(io.BytesIO(data)) as file:
        arrays = {name: file[name] for name in file.files}
    name = rng.choice(list(arrays))
    if rng.random() < 0.2:
        return _lying_npz(arrays, name, rng)
    if rng.random() < 0.3:
        metadata = json.loads(str(arrays["metadata"]))
        _replace(metadata, rng)
        arrays["metadata"] = np.array(json.dumps(metadata))
    elif rng.random() < 0.1:
        del arrays[name]
    else:
        arrays[name] = _array(arrays[name], rng)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _lying_npz(arrays: dict[str, np.ndarray], name: str, rng: random.Random) -> bytes:
    """A file one of whose headers declares another shape or type than its data have."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            header = npy.header_data_from_array_1_0(np.ascontiguousarray(array))
            if key == name:
                shapes = [(10**13, 2), (10**9,), (2**62, 2**62), (0, 10**12), (-1, 2), (3, -4)]
                header["shape"] = rng.choice(shapes)
                header["descr"] = rng.choice([header["descr"], "|O", "<f8", "|S99999999", "|V8"])
            stream = io.BytesIO()
            npy.write_array_header_1_0(stream, header)
            archive.writestr(f"{key}.npy", stream.getvalue() + array.tobytes())
            if key == name and rng.random() < 0.2:
                archive.writestr(f"{key}.npy", stream.getvalue() + array.tobytes())
    return buffer.getvalue()


def _hdf5(data: bytes, rng: random.Random) -> bytes:
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        name = rng.choice(names)
        value = file[name][()]
        text = isinstance(value, bytes)
        array = np.asarray(value)
        del file[name]
        action = rng.randrange(10)
        if text and action > 5:
            try:
                tree = json.loads(value)
                _replace(tree, rng)
                file[name] = json.dumps(tree)
            except (ValueError, IndexError):
                file[name] = "x"
        elif action == 0:
            pass
        elif action == 1:
            file.create_group(name)
        elif action == 2:
            file[name] = h5py.SoftLink(rng.choice(["/nowhere", f"/{name}", "/"]))
        elif action == 3:
            file[name] = h5py.ExternalLink(rng.choice(["nowhere.h5", "data.hdf5"]), "/x")
        elif action == 4:
            file.create_dataset(name, shape=(10**13, 2), chunks=(1000, 2), dtype="f4")
        elif action == 5:
            file.create_dataset(name, data=h5py.Empty("f4"))
        elif action == 6:
            layout = h5py.VirtualLayout(array.shape or (1,), "f4")
            file.create_virtual_dataset(name, layout)
        elif action == 7:
            file.create_dataset(name, data=[str(x) for x in array.reshape(-1)[:100]])
        else:
            other = _array(array, rng)
            if other.dtype.kind in "UM":
                other = other.astype("S40")
            file[name] = other
    return buffer.getvalue()
