"""Tables on terminals of any width, and in files."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.table import Table

from worldplan.output.console import plain_console

FIGURES = ("123.25", "118.5..127.75", "-0.125", "1e-09", "99.5 %")


def figures(count: int, no_wrap: bool = False) -> Table:
    table = Table(title="mean return")
    table.add_column("method", no_wrap=no_wrap)
    for number in range(count):
        table.add_column(f"measure {number}", justify="right", no_wrap=no_wrap)
    for row in range(3):
        table.add_row(f"method_{row}", *(FIGURES[(row + i) % len(FIGURES)] for i in range(count)))
    return table


def printed(table: Table) -> str:
    console = plain_console()
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@example(width=54, count=3, no_wrap=False)
@given(
    width=st.integers(40, 200),
    count=st.integers(1, 12),
    no_wrap=st.booleans(),
)
def test_no_figure_is_cut(width: int, count: int, no_wrap: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        text = printed(figures(count, no_wrap))
    assert all(len(line) <= width for line in text.splitlines())
    for row in range(3):
        for i in range(count):
            assert text.count(FIGURES[(row + i) % len(FIGURES)].split()[0]) > 0
    assert "…" not in text
    assert sum(text.count(figure.split()[0]) for figure in FIGURES) == 3 * count


def test_a_file_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = printed(figures(12)).splitlines()
    assert len(lines) == 1 + 4 + 3  # title, frame and heading, rows


def test_a_narrow_terminal_gets_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = printed(figures(5))
    assert text.startswith("mean return\nmethod_0\n  measure 0 123.25\n")
    assert "│" not in text
