"""The plots of a run as figures of a page: title, how to read them, what they show in words."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worldplan.milp.errors import DatasetError
from worldplan.output.page.drawing import read_drawing
from worldplan.output.page.terms import ACTIONS, ACTIONS_CURVE, PLOTS, RAMP, RAMP_CURVE, Kind
from worldplan.runs import Run

_CURVES = {ACTIONS: ACTIONS_CURVE, RAMP: RAMP_CURVE}
_PNG = b"\x89PNG\r\n\x1a\n"
_TALL = 1000.0  # px
_NARROW = 400.0  # px; a drawing up to this width is legible when it is scaled to a phone


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot on the page.

    Args:
        title: of the plot.
        reading: how to read it; empty for plots of others.
        description: what it shows, with values.
        markup: of a vector drawing; empty for a PNG file.
        data: data URL of a PNG file; empty for a drawing.
        width: px as drawn; a wide drawing scrolls on a phone.
        wide: whether it is.
        tall: whether it has many panels.
        file: the table behind it, in the run folder; empty if there is none.
    """

    title: str
    reading: str
    description: str
    markup: str
    data: str
    width: int
    wide: bool
    tall: bool
    file: str


def pictures(run: Run, of: Kind, prefix: str, say: Callable[[str], None]) -> list[Picture]:
    """The plots in plots/ of the run, those of `PLOTS` first and in its order.

    Of two files with the same name, the SVG file is taken: the PNG file is of an older worldplan.

    Args:
        run: the run folder.
        of: the kind of the run.
        prefix: of the ids of this run's drawings.
        say: called with a line for every plot that cannot be read.
    """
    files = {
        path.stem: path
        for kind in ("*.png", "*.svg")
        for path in sorted(run.plots.glob(kind))
        if path.is_file() and path.name[0] != "."
    }
    kinds = list(PLOTS)

    def rank(path: Path) -> tuple[int, str]:
        kind = _kind(path.stem)
        return (len(kinds) if kind is None else kinds.index(kind)), path.name

    shown = []
    for number, path in enumerate(sorted(files.values(), key=rank)):
        try:
            shown.append(_picture(run, path, of, f"{prefix}{number}-"))
        except (DatasetError, OSError) as error:
            say(str(error))
    return shown


def _kind(stem: str) -> str | None:
    """The key of PLOTS that a plot belongs to: the longest with which its name begins."""
    fitting = [kind for kind in PLOTS if stem == kind or stem.startswith(f"{kind}_")]
    return max(fitting, key=len, default=None)


def _picture(run: Run, path: Path, of: Kind, prefix: str) -> Picture:
    kind = _kind(path.stem)
    if kind is None:
        words = re.sub(r"[_\-\s]+", " ", path.stem).strip()
        title, reading, table = words[:1].upper() + words[1:], "", ""
    else:
        curve = _CURVES.get(of) if kind == "learning_curve" else None
        title, reading, table = curve or PLOTS[kind]
        if rest := path.stem.removeprefix(kind).strip("_"):
            title = f"{title}: {rest}"
    file = table if table and (run.path / table).is_file() else ""
    if path.suffix == ".svg":
        drawing = read_drawing(path, prefix)
        return Picture(
            title,
            reading,
            drawing.description,
            drawing.markup,
            "",
            round(drawing.width),
            drawing.width > _NARROW,
            drawing.height > _TALL,
            file,
        )
    content = path.read_bytes()
    if not content.startswith(_PNG):
        raise DatasetError(
            f"{path}: not a PNG file: delete it and repeat the command that made the run"
        )
    data = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    values = f"its values are in {file}" if file else "its values are not recorded"
    return Picture(
        title, reading, f"{title}: a picture; {values}.", "", data, 640, True, False, file
    )
