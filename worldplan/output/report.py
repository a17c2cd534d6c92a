"""One self-contained HTML file from one or several run folders: results, plots, films, terms.

The page loads nothing and works without its few lines of script, which sort the tables. It names no
folder of the machine. A run that is not finished, or whose files are damaged, has a page as well,
which says what is missing.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from worldplan.files import write_text
from worldplan.milp.errors import ConfigError
from worldplan.output.page.sections import read_section
from worldplan.output.page.tables import comparison_table
from worldplan.runs import REPORT, Run


def write_report(
    paths: Sequence[Path], output: Path | None = None, say: Callable[[str], None] | None = None
) -> Path:
    """Write the report of one or several run folders and return the path of the HTML file.

    Args:
        paths: run folders. Each may hold summary.csv (policy, mean, low, high, score, bound_share,
            q, decision_ms, cpu_minutes, episodes, reference, note) and other tables, plots/ with
            SVG and PNG files and films, bound.txt and notes.txt. The page says what is missing.
        output: the HTML file to write. If None, report.html in the run folder, or, for several
            runs, comparison.html in the folder that contains them all.
        say: called with a line for every run in which something is missing or damaged.

    Raises:
        ConfigError: a folder is not a run folder, `output` is a folder, or `paths` is empty.
    """
    if not paths:
        raise ConfigError(
            "a report needs at least one run folder: give one like runs/<name>/<time>"
        )
    runs = [Run.open(path) for path in paths]
    target = Path(output) if output is not None else _default_output(runs)
    if target.is_dir():
        raise ConfigError(f"{target}: is a folder: give the name of an HTML file")
    sections = [read_section(run, f"r{place}-", target) for place, run in enumerate(runs)]
    if say is not None:
        for section in sections:
            if section.missing:
                more = len(section.missing) - 1
                rest = f" ({more} more: the page lists them)" if more else ""
                say(f"{section.title}: {section.missing[0]}{rest}")
    script = _part("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(_part("report_template.html"))
    text = page.render(
        title=sections[0].title if len(sections) == 1 else f"{len(sections)} runs compared",
        sections=sections,
        comparison=comparison_table(
            [section.title for section in sections], [section.summary for section in sections]
        )
        if len(sections) > 1
        else None,
        written=f"{datetime.now():%Y-%m-%d %H:%M}",
        style=_part("report.css"),
        script=script,
        digest=digest,
    )
    return write_text(target, text)


def _part(name: str) -> str:
    """A part of the page that comes with worldplan."""
    return resources.files("worldplan.output").joinpath(name).read_text(encoding="utf-8")


def _default_output(runs: list[Run]) -> Path:
    if len(runs) == 1:
        return runs[0].path / REPORT
    return Path(os.path.commonpath([run.path.resolve().parent for run in runs])) / "comparison.html"
