"""An SVG file of a run as part of a page: harmless whatever the file holds, in the page's colours.

A run folder may come from somebody else, and a script in an SVG file would run with the page. So
the drawing is built anew from the elements, attributes and style properties that plots consist of;
everything else is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from worldplan.milp.errors import DatasetError, one_line
from worldplan.milp.user_files import read_user_text

_ELEMENTS = {"svg", "g", "defs", "clipPath", "path", "rect", "use", "text", "tspan", "image"}
_ATTRIBUTES = {
    *("d", "x", "y", "width", "height", "transform", "viewBox", "preserveAspectRatio"),
    *("id", "clip-path", "style", "fill", "stroke", "href"),
}
_PROPERTIES = {
    *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray"),
    *("stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "opacity", "font-size"),
    *("font-weight", "font-style", "text-anchor"),
}
_PICTURE = "data:image/png;base64,"
_VALUE = re.compile(r"[-\w#.,%() +]*")
_LINK = re.compile(r"url\(#([\w.-]+)\)")
# colours of plots (worldplan.output.style) that change in a dark page, by where they are used
_COLOURS = {
    "#ffffff": "paper",
    "#22262b": "ink",
    "#000000": "ink",
    "#8a9099": "axis",
    "#e3e6ea": "grid",
    "#cfd4da": "axis",
    "#f4f5f7": "empty",
    "#0072b2": "blue",
    "#d55e00": "orange",
    "#009e73": "green",
    "#8c6d00": "olive",
}
_FILLS = {"#56b4e9": "sky", "#b5dcf3": "pale"}  # texts stand on them


@dataclass(frozen=True, slots=True)
class Drawing:
    """Markup of an `svg` element, its size in px as drawn, and what it shows in words."""

    markup: str
    width: float
    height: float
    description: str


def read_drawing(path: Path, prefix: str) -> Drawing:
    """The drawing in an SVG file.

    Args:
        path: the file.
        prefix: of all ids, so that those of two drawings on a page differ.

    Raises:
        DatasetError: the file cannot be read, or is no SVG drawing.
    """
    text = read_user_text(path, DatasetError, megabytes=32)
    try:
        root = ElementTree.fromstring("" if "<!ENTITY" in text else text)  # entities may be bombs
        width, height = (float(part) for part in root.get("viewBox", "").split()[2:])
        clean = _clean(root, prefix)
    except (ElementTree.ParseError, ValueError, IndexError, RecursionError) as error:
        raise DatasetError(
            f"{path}: not a drawing ({one_line(error, 200)}): delete it and repeat the command "
            "that made the run"
        ) from error
    described = root.find(".//{http://purl.org/dc/elements/1.1/}description")
    description = "" if described is None else " ".join((described.text or "").split())
    if clean is None or clean.tag != "svg" or not 0 < width < 1e5:
        raise DatasetError(
            f"{path}: not a drawing of a plot: delete it and repeat the command that made the run"
        )
    for name in ("width", "height"):
        clean.attrib.pop(name, None)
    clean.set("aria-hidden", "true")  # the figure around it has the description
    return Drawing(ElementTree.tostring(clean, encoding="unicode"), width, height, description)


def _local(tag: object) -> str:
    """The name of an element or attribute without its namespace; "" for a comment."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _clean(element: ElementTree.Element, prefix: str) -> ElementTree.Element | None:
    """A copy with what is allowed only; None where the element itself is not."""
    name = _local(element.tag)
    if name not in _ELEMENTS:
        return None
    copy = ElementTree.Element(name)
    for key, value in element.attrib.items():
        if _local(key) in _ATTRIBUTES and (kept := _attribute(name, _local(key), value, prefix)):
            copy.set(_local(key), kept)
    copy.text, copy.tail = element.text, element.tail
    for child in element:
        kept_child = _clean(child, prefix)
        if kept_child is not None:
            copy.append(kept_child)
    return copy


def _attribute(element: str, name: str, value: str, prefix: str) -> str:
    """The value of an attribute, or "" where it is not allowed."""
    if name == "id":
        return f"{prefix}{value}" if re.fullmatch(r"[\w.-]+", value) else ""
    if name == "href":
        if element == "image":
            return "".join(value.split()) if value.startswith(_PICTURE) else ""
        return f"#{prefix}{value[1:]}" if re.fullmatch(r"#[\w.-]+", value) else ""
    if name == "clip-path":
        link = _LINK.fullmatch(value)
        return f"url(#{prefix}{link[1]})" if link else ""
    if name == "style":
        return _style(value)
    if name in ("fill", "stroke"):
        return _style(f"{name}: {value}").partition(": ")[2]
    return value


def _style(text: str) -> str:
    """The allowed properties of a style, in the page's colours and its font."""
    kept = []
    for declaration in text.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":  # of matplotlib: "10px 'DejaVu Sans', ...": the page has its own font
            size = re.search(r"([\d.]+)px", value)
            name, value = "font-size", f"{size[1]}px" if size else ""
        if name not in _PROPERTIES or not value or not _VALUE.fullmatch(value):
            continue
        if "url" in value.lower():
            continue
        colour = _COLOURS.get(value.lower())
        if name == "fill":
            colour = _FILLS.get(value.lower(), colour)
        kept.append(f"{name}: var(--{colour})" if colour else f"{name}: {value}")
    return "; ".join(kept)
