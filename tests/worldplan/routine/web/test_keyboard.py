"""The coordinator's pages with the keyboard alone: order, visible focus, and every change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.worldplan.routine.builders import NAMES, rows

DAY = "/days/2026-11-04"
OF_A_DAY = ("", "/why", "/what-if", "/outcomes", "/ahead")
PAGES = (*(DAY + path for path in OF_A_DAY), "/week", "/new", "/audit")

# what the Tab key has to reach, in the order of the document
STOPS = """() => [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']")]
  .filter((e) => e.tabIndex >= 0 && e.checkVisibility() && !e.disabled)
  .map((e, number) => { e.dataset.stop = number; return number; })"""
# the number of the element that has the focus, and what hides it or its outline
FOCUS = """() => {
  const e = document.activeElement, box = e.getBoundingClientRect(), style = getComputedStyle(e);
  const width = parseFloat(style.outlineWidth), problems = [];
  if (style.outlineStyle === "none" || !(width >= 2)) problems.push("no outline");
  const [x, y] = [box.left + box.width / 2, box.top + Math.min(box.height / 2, 20)];
  const top = document.elementFromPoint(x, y);
  if (!top || !(e.contains(top) || top.contains(e) || e.labels?.[0]?.contains(top)))
    problems.push("hidden by " + (top ? top.outerHTML.slice(0, 60) : "the edge"));
  return [Number(e.dataset.stop ?? -1), problems.join(), e.outerHTML.slice(0, 80)];
}"""


def opened(browser: Any, address: str, path: str, width: int = 1280) -> Any:
    page = browser.new_page(base_url=address, viewport={"width": width, "height": 700})
    page.goto(path)
    return page


def tab_to(page: Any, locator: Any) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(80):
        if locator.evaluate("e => e === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{locator} is not reached")


QUICK = (DAY + "/what-if", DAY + "/outcomes", "/new")
CASES = [
    pytest.param(path, width, marks=[] if path in QUICK and width == 390 else pytest.mark.slow)
    for path in PAGES
    for width in (390, 1280)
]


@pytest.mark.parametrize(("path", "width"), CASES)
def test_the_tab_key_goes_everywhere_in_order(
    browser: Any, address: str, path: str, width: int
) -> None:
    page = opened(browser, address, path, width)
    stops, seen = page.evaluate(STOPS), list[int]()
    while len(seen) < len(stops):
        page.keyboard.press("Tab")
        number, problem, element = page.evaluate(FOCUS)
        assert not problem, (problem, element)
        if not seen or seen[-1] != number:  # a date is several stops
            seen.append(number)
    assert seen == stops
    while number != stops[0]:
        before = number
        page.keyboard.press("Shift+Tab")
        number = page.evaluate(FOCUS)[0]
        assert before - number in (0, 1)
    page.close()


def test_a_what_if_by_keys(browser: Any, address: str, clinic: Path) -> None:
    page = opened(browser, address, DAY)
    chosen = page.locator("section.list tbody th").all_text_contents()
    tab_to(page, page.get_by_role("link", name="What if?"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("slider").first)
    page.keyboard.press("End")
    page.locator("#answer").get_by_text("change of the programme's files").wait_for()
    page.keyboard.press("Home")
    tab_to(page, page.get_by_role("checkbox", name=chosen[0], exact=True))
    page.keyboard.press("Space")
    page.locator("#answer").get_by_text("Removed").wait_for()
    other = next(name for name in NAMES if name not in chosen)
    tab_to(page, page.get_by_label("Somebody else"))
    page.keyboard.type(other)
    page.keyboard.press("Enter")
    page.locator("#answer strong", has_text=other).wait_for()
    tab_to(page, page.get_by_role("button", name="Make this the list"))
    page.keyboard.press("Enter")
    page.get_by_text(f"Forced out: {chosen[0]}").wait_for()
    page.close()
    assert rows(clinic, "select max(revision) from days") == [(2,)]


def test_outcomes_and_the_next_day_by_keys(browser: Any, address: str, clinic: Path) -> None:
    page = opened(browser, address, f"{DAY}/outcomes")
    tab_to(page, page.get_by_label("Find a client"))
    page.keyboard.type("Bob")
    page.keyboard.press("Enter")
    page.get_by_text("Clients 1 to 1 of 1").wait_for()
    tab_to(page, page.get_by_label("Bob: state after"))
    page.keyboard.press("2")
    tab_to(page, page.get_by_label("Bob: note"))
    page.keyboard.type("at home")
    page.keyboard.press("Enter")  # saves
    page.get_by_text("1 saved").wait_for()
    found = rows(clinic, "select next_state, note from visits where client = 'Bob'")
    assert found[-1] == (2, "at home")
    page.goto("/new")
    tab_to(page, page.get_by_label("Find a client"))
    page.keyboard.type("Ann")
    page.keyboard.press("Enter")  # finds, and decides nothing
    assert page.url.endswith("/new") and rows(clinic, "select count(*) from days") == [(3,)]
    page.get_by_role("row", name="Ann").wait_for()
    tab_to(page, page.get_by_label("Your name"))
    page.keyboard.type("Kim")
    tab_to(page, page.get_by_role("button", name="Decide").last)
    assert rows(clinic, "select count(*) from days") == [(3,)]
    tab_to(page, page.get_by_role("link", name="Next day"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Decide with the probabilities"))
    page.keyboard.press("Space")
    tab_to(page, page.get_by_role("button", name="Decide"))
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Why this list?").wait_for()
    assert rows(clinic, "select count(*) from days") == [(4,)]
    page.close()
