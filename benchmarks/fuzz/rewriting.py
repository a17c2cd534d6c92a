"""The same content in another spelling, by independent readers: a command must answer the same."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import yaml


def rewritten(file: Path, data: bytes) -> bytes | None:
    """The content of `file`, which is `data`, written differently; None where an independent
    reader cannot read it.
    """
    rewrite = {
        ".yaml": _yaml,
        ".csv": _csv,
        ".json": _json,
        ".pddl": _expressions,
        ".trajectory": _expressions,
        ".npz": _npz,
    }.get(file.suffix)
    if rewrite is None:
        return None
    try:
        return rewrite(data)
    except Exception:  # no reader agrees on what is not valid
        return None


def _yaml(data: bytes) -> bytes:
    value = yaml.safe_load(data.decode())
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def _csv(data: bytes) -> bytes:
    rows = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(
        row for row in rows if any(cell.strip() for cell in row)
    )
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _json(data: bytes) -> bytes:
    return json.dumps(json.loads(data), indent=3).encode()


def _expressions(data: bytes) -> bytes:
    text = re.sub(r";[^\n]*", "", data.decode())
    return "\r\n".join(re.findall(r"[()]|[^\s()]+", text)).encode()


def _npz(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        np.savez_compressed(buffer, **{name: file[name].copy(order="F") for name in file.files})
    return buffer.getvalue()
