"""The documentation site in a real browser: every page that the start page leads to loads nothing
from a network, is silent, fits a phone, and has no serious fault of accessibility.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.places import ROOT

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)
pytest.importorskip("sphinx", reason="Sphinx is not installed: pip install -e '.[docs]'")
pytestmark = pytest.mark.slow
SEEN = {(390, "light"): 0, (1280, "dark"): 1}  # width and colours; every page in both


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    subprocess.run(
        [*command, str(ROOT / "docs"), str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        check=True,
    )
    return folder


@pytest.mark.parametrize(("width", "colours"), SEEN)
def test_every_page(browser: Any, site: Path, width: int, colours: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colours)
    page, problems = context.new_page(), list[str]()
    page.on("console", lambda message: problems.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on(
        "request",
        lambda request: problems.extend(
            [] if request.url.startswith(("file:", "data:")) else [request.url]
        ),
    )
    start = (site / "index.html").as_uri()
    waiting, visited, faults = [start], set[str](), list[tuple[str, ...]]()
    while waiting:
        address = waiting.pop()
        if address in visited:
            continue
        visited.add(address)
        page.goto(address)
        links = page.locator("a[href]").evaluate_all(
            "all => all.map((a) => a.getAttribute('href'))"
        )
        for link in links:
            target = urljoin(address, link).partition("#")[0]
            if target.startswith(start.removesuffix("index.html")) and target.endswith(".html"):
                waiting.append(target)
        name = address.removeprefix(start.removesuffix("index.html"))
        if (found := page.evaluate("document.documentElement.scrollWidth")) > width:
            faults.append((name, f"{found} px wide"))
        faults += [
            (name, fault["id"], fault["nodes"][0]["html"])
            # without preload: it would fetch the styles of a page of files, which no browser allows
            for fault in axe.Axe().run(page, options={"preload": False}).response["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        faults += [(name, problem) for problem in problems]
        problems.clear()
    context.close()
    assert len(visited) > 30, visited
    assert faults == []
