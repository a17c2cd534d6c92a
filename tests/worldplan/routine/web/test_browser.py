"""The coordinator's pages in a real browser, on a phone and on a desk."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.worldplan.routine.builders import NAMES, rows

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

DAY = "/days/2026-11-04"
PAGES = (
    DAY,
    f"{DAY}/why",
    f"{DAY}/what-if",
    f"{DAY}/outcomes",
    "/week",
    "/new",
    "/audit",
    f"{DAY}/ahead",
)
WIDTHS = (390, 1280)

# luminance and contrast by WCAG 2.2; the background is that of the nearest ancestor that has one
FAINT = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const back = (element) => {
    for (; element; element = element.parentElement) {
      const [r, g, b, a = 1] = numbers(getComputedStyle(element).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")].filter((element) => {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !element.checkVisibility()) return false;
    const [a, b] = [light(numbers(getComputedStyle(element).color)), light(back(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
  }).map((element) => element.outerHTML.slice(0, 80));
}"""
NAMELESS = """() => [...document.querySelectorAll("input:not([type=hidden]), select, button, a")]
  .filter((e) => !(e.labels?.length || e.ariaLabel || e.textContent.trim()))
  .map((e) => e.outerHTML)"""


def open_page(browser: sync_api.Browser, address: str, width: int) -> sync_api.Page:
    """A page whose scripts may not fail, and may load nothing from elsewhere."""
    page = browser.new_page(base_url=address, viewport={"width": width, "height": 800})
    page.problems = []  # type: ignore[attr-defined]
    page.on("console", lambda message: page.problems.append(message.text))  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.problems.append(str(error)))  # type: ignore[attr-defined]
    page.on("request", lambda request: page.problems.extend(_foreign(request.url, address)))  # type: ignore[attr-defined]
    return page


def _foreign(url: str, address: str) -> list[str]:
    return [] if url.startswith(address) else [url]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_can_be_read_and_is_labelled(
    browser: sync_api.Browser, address: str, width: int
) -> None:
    page = open_page(browser, address, width)
    for path in PAGES:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate(FAINT) == [], path
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(FAINT) == [], path
        page.emulate_media(color_scheme="light")
        assert page.evaluate(NAMELESS) == [], path
        assert page.locator("h1").count() == 1
        small = page.locator("nav a, button, .button").evaluate_all(
            "all => all.map((e) => e.getBoundingClientRect().height).filter((h) => h && h < 24)"
        )
        assert small == [], path
    assert page.problems == []  # type: ignore[attr-defined]
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_coordinators_day(
    browser: sync_api.Browser, address: str, clinic: Path, width: int
) -> None:
    page = open_page(browser, address, width)
    page.goto("/")
    chosen = page.locator("section.list tbody th").all_text_contents()
    page.get_by_role("link", name="Why this list?").click()
    assert "This list is worth" in page.locator("main").inner_text()
    page.get_by_role("link", name="What if?").click()
    page.get_by_role("checkbox", name=chosen[0], exact=True).check()
    sync_api.expect(page.locator("#answer")).to_contain_text("Removed")
    sync_api.expect(page.locator(".result")).to_contain_text("Costs")
    page.get_by_role("slider").first.focus()
    page.keyboard.press("ArrowRight")
    sync_api.expect(page.locator("#answer")).to_contain_text("change of the programme's files")
    page.keyboard.press("ArrowLeft")
    page.get_by_label("Your name").fill("Zoë")
    page.get_by_role("button", name="Make this the list").click()
    sync_api.expect(page.locator("main")).to_contain_text(f"Forced out: {chosen[0]}")
    assert chosen[0] not in page.locator("section.list tbody th").all_text_contents()
    page.get_by_role("link", name="Outcomes", exact=True).click()
    assert page.get_by_label("Your name").input_value() == "Zoë"
    for name in NAMES:
        page.get_by_label(f"{name}: state after").select_option("2")
    page.get_by_role("button", name="Save").click()
    sync_api.expect(page.get_by_role("status")).to_contain_text("5 saved")
    page.get_by_role("link", name="Next day").click()
    page.get_by_label("Date").fill("2026-11-05")
    page.get_by_label("Bob: today").select_option(label="absent")
    page.get_by_role("button", name="Decide").click()
    sync_api.expect(page.locator("main")).to_contain_text("Absent: Bob")
    page.get_by_role("link", name="Audit").click()
    assert "Zoë" in page.locator("main").inner_text()
    assert page.problems == []  # type: ignore[attr-defined]
    page.close()
    what = rows(clinic, "select what, by from events order by id desc limit 2")
    assert what == [("decided", "Zoë"), ("outcome entered", "Zoë")]


def test_two_users_who_enter_the_same_outcome(browser: sync_api.Browser, address: str) -> None:
    pages = [open_page(browser, address, 1280) for _ in range(2)]
    for page in pages:
        page.goto(f"{DAY}/outcomes")
    for state, page in enumerate(pages):
        page.get_by_label("Ann: state after").select_option(str(state))
        page.get_by_label("Bob: note").fill(f"from {state}")
        page.get_by_role("button", name="Save").click()
    text = pages[1].locator("main").inner_text()
    assert text.count("was changed meanwhile") == 2 and "Your entry was: state 1" in text
    assert pages[1].get_by_label("Ann: state after").input_value() == "0"
    pages[1].get_by_label("Ann: state after").select_option("1")
    pages[1].get_by_role("button", name="Save").click()
    sync_api.expect(pages[1].get_by_role("status")).to_contain_text("1 saved")
    for page in pages:
        page.close()


def test_the_keyboard_and_the_printer(browser: sync_api.Browser, address: str) -> None:
    page = open_page(browser, address, 390)
    page.goto(DAY)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Tab")
    style = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(style) == "solid"
    page.goto(f"{DAY}/outcomes")
    page.get_by_label("Find a client").fill("bo")
    assert page.locator("#outcomes tbody tr:visible").count() == 1
    page.goto(DAY)
    page.emulate_media(media="print")
    assert not page.locator("header").is_visible()
    assert page.locator("section.list").first.is_visible()
    page.close()


def test_another_site_changes_nothing(
    browser: sync_api.Browser, address: str, clinic: Path
) -> None:
    attack = (
        f'<form id="f" method="post" action="{address}{DAY}/redo">'
        '<input name="revision" value="1"><input name="out" value="Ann"></form>'
        "<script>f.submit()</script>"
    )

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"<!doctype html><title>x</title>{attack}".encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_url(re.compile("redo"))
        assert "another site" in page.content()
        page.close()
        server.shutdown()
    assert rows(clinic, "select max(revision) from days") == [(1,)]
