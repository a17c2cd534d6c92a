"""Reports in a real browser: on a phone and on a desk, light and dark, by mouse and keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from worldplan.opening import create_run
from worldplan.output import decision_plots, plots
from worldplan.output.report import write_report

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
GIF += b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with everything that a page can show; names are long and odd."""
    folder = tmp_path_factory.mktemp("runs")
    run = create_run(folder, "a-rather-long-name-of-a-run-<b>", {"programme": {"arms": 9}}, seed=1)
    policies = ["fluid", "an_unusually_long_name_of_a_policy_without_breaks", "null", "whittle"]
    summary = pd.DataFrame(
        {
            "policy": policies,
            "mean": [90.8, 9.5, -3.25, 88.0],
            "low": [89.9, 9.0, -4.0, 86.0],
            "high": [91.7, 10.0, -2.0, 91.0],
            "bound_share": [0.98, 0.12, 0.0, 0.95],
            "decision_ms": [12.5, 100.0, 0.01, np.nan],
            "cpu_minutes": [1.0, 2.0, 3.0, 4.0],
            "q": [1e6, 1.0, 2.0, 3.0],
            "episodes": 50,
            "note": ["", "12 decisions hit the time limit; " * 4, "", "b"],
        }
    )
    run.write_csv("summary.csv", summary)
    run.write_text("bound.txt", "92.5")
    run.write_text("notes.txt", "a note " * 60 + "x" * 300)
    plots.policy_comparison(summary, 92.5, run.plots / "policy_comparison.svg")
    steps = pd.DataFrame({"policy": np.repeat(policies, 5), "step": [0, 1, 2, 3, 4] * 4})
    plots.step_rewards(steps.assign(mean=np.arange(20.0)), run.plots / "step_rewards.svg")
    states = np.arange(8 * 40).reshape(40, 8) % 3
    decision_plots.arm_states(states, states[1:] == 1, run.plots / "episode_fluid.svg")
    rows = [{"arm": f"client {n}", "worker": f"w{n % 3}", "slot": n, "cost": 1} for n in range(9)]
    decision_plots.schedule_grid(rows, run.plots / "first_schedule.svg")
    decision_plots.worker_loads(
        rows, {f"w{n}": 2.5 for n in range(3)}, run.plots / "first_worker_loads.svg"
    )
    decision_plots.route_map(nx.path_graph(9), [0, 1, 2], [1], run.plots / "first_route.svg")
    decision_plots.arm_states(states[:3], states[1:3] == 1, run.plots / "old.png")
    (run.plots / "episode.gif").write_bytes(GIF)
    return write_report([run.path])


def open_page(browser: Any, file: Path, width: int, scheme: str = "light") -> Any:
    """A page that collects console messages and requests in `problems`."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.problems = []
    page.on("console", lambda message: page.problems.append(message.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "request",
        lambda request: page.problems.extend(
            [] if request.url == file.as_uri() or request.url.startswith("data:") else [request.url]
        ),
    )
    page.goto(file.as_uri())
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_fits_is_silent_and_accessible(
    browser: Any, page_file: Path, width: int, scheme: str
) -> None:
    page = open_page(browser, page_file, width, scheme)
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    faults = axe.Axe().run(page).response["violations"]
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in faults] == []
    sizes = page.locator("figure svg text").evaluate_all(
        "all => all.map((e) => e.getBoundingClientRect().height).filter((h) => h > 0)"
    )
    assert len(sizes) > 40 and min(sizes) >= 10, "px of a line of text in a plot"
    ink = page.locator("figure svg text").first.evaluate("e => getComputedStyle(e).fill")
    assert ink == {"light": "rgb(34, 38, 43)", "dark": "rgb(230, 233, 237)"}[scheme]
    assert page.problems == []
    page.close()


def column(page: Any, place: int) -> list[str]:
    rows = page.locator("table.sortable").first.locator("tbody tr")
    return [row.locator("th, td").nth(place).inner_text() for row in rows.all()]


def test_tables_sort_by_mouse_and_keyboard(browser: Any, page_file: Path) -> None:
    page = open_page(browser, page_file, 1280)
    table = page.locator("table.sortable").first
    mean = table.get_by_role("columnheader", name="mean", exact=False).first
    mean.get_by_role("button").click()
    assert mean.get_attribute("aria-sort") == "ascending"
    assert column(page, 1) == ["-3.250", "9.500", "88.00", "90.80"], "numbers, not texts"
    mean.get_by_role("button").click()
    assert mean.get_attribute("aria-sort") == "descending"
    assert column(page, 1) == ["90.80", "88.00", "9.500", "-3.250"]
    table.get_by_role("button", name="ms per decision").click()
    assert mean.get_attribute("aria-sort") is None, "one column at a time"
    assert column(page, 0)[-1].startswith("whittle"), "an empty cell is last"
    table.get_by_role("button", name="ms per decision").click()
    assert column(page, 0)[-1].startswith("whittle")
    table.get_by_role("button", name="policy").focus()
    page.keyboard.press("Enter")
    assert [name.split()[0] for name in column(page, 0)][1:] == ["fluid", "null", "whittle"]
    page.keyboard.press("Space")
    assert column(page, 0)[0].startswith("whittle")
    assert page.problems == []
    page.close()


def test_a_page_without_scripts_and_on_paper(browser: Any, page_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator("table.sortable").first.locator("tbody tr").count() == 4
    assert page.locator("thead button").count() == 0
    page.emulate_media(media="print")
    assert page.locator("h1").is_visible()
    context.close()


def test_links_lead_to_the_tables(browser: Any, page_file: Path) -> None:
    page = open_page(browser, page_file, 390)
    for address in page.locator("a").evaluate_all("all => all.map((a) => a.href)"):
        assert address.startswith(page_file.parent.as_uri()), address
        assert Path(sync_path(address)).is_file(), address
    assert page.locator("a").count() >= 3
    page.close()


def sync_path(address: str) -> str:
    from urllib.parse import unquote, urlparse

    return unquote(urlparse(address).path)
