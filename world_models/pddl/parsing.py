"""PDDL text to unified-planning problems: small repairs to what its reader does not take, and one
kind of error for all that fails.
"""

from __future__ import annotations

import re
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.domain import Vocabulary

if TYPE_CHECKING:
    from unified_planning.io import PDDLReader
    from unified_planning.model import Problem

SCALE = re.compile(r"\(\s*scale-(up|down)\b", re.IGNORECASE)
INIT = re.compile(r"\(\s*:init\b", re.IGNORECASE)
METRIC = re.compile(r"\(\s*:metric\b", re.IGNORECASE)
OPERATOR = re.compile(
    r"\(\s*(not|assign|increase|decrease|scale-up|scale-down|>=|<=|=|>|<)(?=[\s()])", re.IGNORECASE
)
PARENTHESIS = re.compile(r"[()]")
EXPRESSION = re.compile(r"\s*(\(|[^\s()]+)")
EMPTY_SECTION = re.compile(
    r"\(\s*:(?:types|constants|predicates|functions|objects|requirements)\s*\)", re.IGNORECASE
)


def read_text(path: str | Path) -> str:
    """The text of a file.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error


def parse(domain: str, problem: str | None, where: str | Path) -> Problem:
    """The unified-planning problem that PDDL texts describe, in its global environment: its engines
    can work in no other.

    A metric is left out; `scale-up` and `scale-down` become assignments.

    Args:
        domain: text of a domain.
        problem: text of a problem in it, or None.
        where: what errors should name.

    Raises:
        DatasetError: unified-planning cannot make sense of it; the message is its own, with the
            line where it names one.
    """
    from unified_planning.environment import get_environment

    texts = [None if text is None else repaired(text, where) for text in (domain, problem)]
    environment = get_environment()
    strict = environment.error_used_name
    environment.error_used_name = False  # a type, a predicate and an object may share a name
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=".*(already defined|already used)", category=UserWarning
            )
            read = _reader().parse_problem_string(texts[0], texts[1])
            for fluent, value in read.explicit_initial_values.items():
                if not value.is_constant():  # (/ 1 3), which its engines take for no number
                    read.set_initial_value(fluent, value.simplify())
            return read
    except (
        Exception
    ) as error:  # it raises everything from KeyError to AssertionError for a faulty file
        raise DatasetError(
            f"{where}: {_reason(error, texts[1] if texts[1] is not None else texts[0] or '')}"
        ) from error
    finally:
        environment.error_used_name = strict


@cache
def _reader() -> PDDLReader:
    """Kept, because building its grammar takes as long as reading a problem."""
    from unified_planning.io import PDDLReader

    return PDDLReader()


def repaired(text: str, where: str | Path) -> str:
    """Text without comments, metric and empty sections, and with `(scale-up f e)` as `(assign f (*
    f e))`; lines keep their numbers.

    Raises:
        DatasetError: an operator with the wrong number of arguments (the reader would pass over
            what is too much).
    """
    text = re.sub(r";[^\n]*", "", text)
    text = EMPTY_SECTION.sub(lambda match: "\n" * match[0].count("\n"), text)
    while match := METRIC.search(text):
        end = _closing(text, match.start(), where)
        text = text[: match.start()] + "\n" * text.count("\n", match.start(), end) + text[end:]
    for match in OPERATOR.finditer(text):
        found, wanted = len(_arguments(text, match, where)), 1 if match[1].lower() == "not" else 2
        if found != wanted:
            raise DatasetError(
                f"{where}: line {_line(text, match.start())}: '{match[1].lower()}' takes {wanted} arguments, not {found}"
            )
    while match := SCALE.search(text):
        fluent, factor = _arguments(text, match, where)
        scaled = f"(assign {' '.join(fluent.split())} ({'*' if match[1].lower() == 'up' else '/'} {fluent} {factor}))"
        text = text[: match.start()] + scaled + text[_closing(text, match.start(), where) :]
    return text


def check_initial(text: str, vocabulary: Vocabulary, where: str | Path) -> None:
    """See that a problem's initial state gives values to functions only, and lists predicates only.

    Raises:
        DatasetError: it does not (unified-planning would not say which entry is wrong).
    """
    text = re.sub(r";[^\n]*", "", text)
    init = INIT.search(text)
    for entry in _arguments(text, init, where) if init else []:
        equation, name = (
            re.findall(r"^\(\s*(?:not\s*\(\s*)?(=\s*\(?)?\s*([^\s()]*)", entry)[0]
            if entry[0] == "("
            else ("", entry)
        )
        if name.lower() in (vocabulary.predicates if equation else vocabulary.functions):
            kinds = ("predicate", "function") if equation else ("function", "predicate")
            raise DatasetError(
                f"{where}: initial state, {' '.join(entry.split())}: '{name.lower()}' is a {kinds[0]}, not a {kinds[1]}"
            )


def _closing(text: str, start: int, where: str | Path) -> int:
    """Where the parenthesis opened at `start` has been closed."""
    depth = 0
    for match in PARENTHESIS.finditer(text, start):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return match.end()
    raise DatasetError(
        f"{where}: the parenthesis opened in line {_line(text, start)} is never closed"
    )


def _arguments(text: str, operator: re.Match[str], where: str | Path) -> list[str]:
    """The expressions after an operator, up to the parenthesis that closes it."""
    found, at, end = [], operator.end(), _closing(text, operator.start(), where) - 1
    while match := EXPRESSION.match(text, at, end):
        at = _closing(text, match.start(1), where) if match[1] == "(" else match.end()
        found.append(text[match.start(1) : at])
    return found


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _reason(error: Exception, text: str) -> str:
    """What went wrong in words, with the line of the file if the error tells its number."""
    reason = " ".join(str(error).split())
    if isinstance(error, KeyError):
        reason = f"unknown name {reason}"
    elif isinstance(error, IndexError):
        reason = "an expression is empty or incomplete"
    if line := re.search(r"\bline:? ?(\d+)", reason):
        shown = text.splitlines()[int(line[1]) - 1 : int(line[1])]
        reason += f"; there: {' '.join(' '.join(shown).split())!r}"
    return f"not PDDL that unified-planning can read: {reason or type(error).__name__}"
