"""Films of a run, embedded in a page where they are small."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from worldplan.runs import Run

_EMBEDDED = 6 * 2**20  # bytes; larger films are linked
_TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif"}


@dataclass(frozen=True, slots=True)
class Film:
    """A film of a run; `data` is a data URL, empty where the film is too large to embed."""

    name: str
    file: str
    data: str
    moving_picture: bool
    megabytes: float


def films(run: Run) -> list[Film]:
    """The films in plots/ of the run, by name. Hidden files are unfinished."""
    files = [
        path
        for path in sorted(run.plots.glob("*"))
        if path.suffix.lower() in _TYPES and path.is_file() and path.name[0] != "."
    ]
    return [_film(path) for path in files]


def _film(path: Path) -> Film:
    kind, size = _TYPES[path.suffix.lower()], path.stat().st_size
    data = ""
    if 0 < size <= _EMBEDDED:
        data = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    name = path.stem.replace("_", " ")
    return Film(
        name[:1].upper() + name[1:],
        f"plots/{path.name}",
        data,
        kind.startswith("image/"),
        size / 2**20,
    )
