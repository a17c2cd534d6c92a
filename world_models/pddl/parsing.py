"""PDDL text in, unified-planning problems out: with repairs of what its reader rejects, and one
kind of error.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.domain import Vocabulary
from worldplan.world_models.numeric.s_expressions import DEEPEST

if TYPE_CHECKING:
    from unified_planning.io import PDDLReader
    from unified_planning.model import Problem

SCALE = re.compile(r"\(\s*scale-(up|down)\b", re.IGNORECASE)
INIT = re.compile(r"\(\s*:init\b", re.IGNORECASE)
METRIC = re.compile(r"\(\s*:metric\b", re.IGNORECASE)
OPERATOR = re.compile(
    r"\(\s*(not|assign|increase|decrease|scale-up|scale-down|>=|<=|=|>|<)(?=[\s()])", re.IGNORECASE
)
# a token that unified-planning gives to Fraction, with an exponent or of many digits
LONG_NUMBER = re.compile(
    r"(?<![^\s()])[-+]?[\d.](?:[\d_./]{400,}|[\d_./]*[eE]([-+]?[\d_]+))(?![^\s()])"
)
LARGEST_EXPONENT = 300
DECLARATIONS = re.compile(r"\(\s*:(?:predicates|functions)\b", re.IGNORECASE)
PARAMETERS = re.compile(r":parameters\s*(\([^()]*\))", re.IGNORECASE)
VARIABLE = re.compile(r"\?[^\s()]+")
ADVICE = re.compile(r"! Different elements of a problem can have the same name if .*? is disabled")
PARENTHESIS = re.compile(r"[()]")
EXPRESSION = re.compile(r"\s*(\(|[^\s()]+)")
EMPTY_SECTION = re.compile(
    r"\(\s*:(?:types|constants|predicates|functions|objects|requirements)\s*\)", re.IGNORECASE
)


def parse(domain: str, problem: str | None, where: str | Path) -> Problem:
    """The unified-planning problem that PDDL texts describe.

    It is made in the global environment of unified-planning, because the engines of that library
    work in no other. A metric is dropped; `scale-up` and `scale-down` become assignments.

    Args:
        domain: text of a domain.
        problem: text of a problem in it, or None.
        where: what errors name.

    Raises:
        DatasetError: unified-planning cannot read it; the message is its own, with the text of the
            line where it gives a line number.
    """
    from unified_planning.environment import get_environment

    texts = [None if text is None else repaired(text, where) for text in (domain, problem)]
    environment = get_environment()
    used_name_is_an_error = environment.error_used_name
    environment.error_used_name = False  # a type, a predicate and an object may share a name
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=".*(already defined|already used)", category=UserWarning
            )
            parsed = _reader().parse_problem_string(texts[0], texts[1])
            for fluent, value in parsed.explicit_initial_values.items():
                if not value.is_constant():  # its engines do not accept (/ 1 3) as a number
                    parsed.set_initial_value(fluent, value.simplify())
            return parsed
    except Exception as error:  # the reader raises anything from KeyError to AssertionError
        raise DatasetError(
            f"{where}: {_reason(error, texts[1] if texts[1] is not None else texts[0] or '')}"
        ) from error
    finally:
        environment.error_used_name = used_name_is_an_error


@cache
def _reader() -> PDDLReader:
    """The reader, cached because building its grammar takes as long as reading a problem."""
    from unified_planning.io import PDDLReader

    return PDDLReader()


def repaired(text: str, where: str | Path) -> str:
    """Text without comments, metric and empty sections, and with `(scale-up f e)` as `(assign f (*
    f e))`.

    Lines keep their numbers.

    Args:
        text: PDDL text.
        where: what errors name.

    Raises:
        DatasetError: a parenthesis is never closed, or an operator has the wrong number of
            arguments (the reader of unified-planning would ignore extra ones), or the parentheses
            are nested too deep, or a number is too long or too large, or a parameter is declared
            twice (unified-planning would drop one).
    """
    text = re.sub(r";[^\n]*", "", text)
    _check_numbers(text, where)
    text = EMPTY_SECTION.sub(lambda match: "\n" * match[0].count("\n"), text)
    text = _replaced(text, METRIC, lambda match, closing: _newlines(text, match, closing), where)
    closing = _closings(text, where)
    _check_parameters(text, closing, where)
    for match in OPERATOR.finditer(text):
        count = len(_arguments(text, match, closing))
        expected = 1 if match[1].lower() == "not" else 2
        if count != expected:
            raise DatasetError(
                f"{where}: line {_line(text, match.start())}: '{match[1].lower()}' takes "
                f"{expected} arguments, not {count}"
            )
    return _replaced(text, SCALE, lambda match, closing: _assignment(text, match, closing), where)


def _check_parameters(text: str, closing: Mapping[int, int], where: str | Path) -> None:
    """Check that the parameters of an action, a predicate or a function have different names.

    Raises:
        DatasetError: two have the same.
    """
    declared = [match[1] for match in PARAMETERS.finditer(text)]
    for section in DECLARATIONS.finditer(text):
        declared += _arguments(text, section, closing)
    for declaration in declared:
        names = [name.lower() for name in VARIABLE.findall(declaration)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DatasetError(
                f"{where}: line {_line(text, text.index(declaration))}: the parameter {twice} is "
                f"declared twice in {' '.join(declaration.split()):.80}: rename one"
            )


def _check_numbers(text: str, where: str | Path) -> None:
    """Check that no number takes for ever to read, as 1e999999999 does: exact arithmetic has a
    digit for each of its zeros.

    Raises:
        DatasetError: one has over 400 digits, or an exponent beyond +-300.
    """
    for match in LONG_NUMBER.finditer(text):
        exponent = (match[1] or "").replace("_", "").lstrip("+-0")
        if match[1] is None or len(exponent) > 3 or int(exponent or "0") > LARGEST_EXPONENT:
            raise DatasetError(
                f"{where}: line {_line(text, match.start())}: {match[0][:20]}... is too long or "
                f"too large a number: give at most 400 digits and exponents to {LARGEST_EXPONENT}"
            )


def _replaced(
    text: str,
    pattern: re.Pattern[str],
    replacement: Callable[[re.Match[str], Mapping[int, int]], str],
    where: str | Path,
) -> str:
    """The text with every outermost expression that begins with `pattern` replaced."""
    if pattern.search(text) is None:
        return text
    closing, parts, end = _closings(text, where), list[str](), 0
    for match in pattern.finditer(text):
        if match.start() >= end:
            parts += [text[end : match.start()], replacement(match, closing)]
            end = closing[match.start()]
    return "".join([*parts, text[end:]])


def _newlines(text: str, match: re.Match[str], closing: Mapping[int, int]) -> str:
    """The line ends of an expression."""
    return "\n" * text.count("\n", match.start(), closing[match.start()])


def _assignment(text: str, match: re.Match[str], closing: Mapping[int, int]) -> str:
    """`(assign f (* f e))` of `(scale-up f e)`, or with `/` of `(scale-down f e)`."""
    fluent, factor = _arguments(text, match, closing)
    sign = "*" if match[1].lower() == "up" else "/"
    return f"(assign {' '.join(fluent.split())} ({sign} {fluent} {factor}))"


def check_initial(text: str, vocabulary: Vocabulary, where: str | Path) -> None:
    """Check that an initial state assigns values to functions only, and lists predicates only.

    unified-planning does not say which entry is wrong.

    Args:
        text: PDDL text of a problem.
        vocabulary: the declarations of its domain.
        where: what errors name.

    Raises:
        DatasetError: an entry is wrong, or a parenthesis.
    """
    text = re.sub(r";[^\n]*", "", text)
    init = INIT.search(text)
    for entry in _arguments(text, init, _closings(text, where)) if init else []:
        equation, name = (
            re.findall(r"^\(\s*(?:not\s*\(\s*)?(=\s*\(?)?\s*([^\s()]*)", entry)[0]
            if entry[0] == "("
            else ("", entry)
        )
        if name.lower() in (vocabulary.predicates if equation else vocabulary.functions):
            kinds = ("predicate", "function") if equation else ("function", "predicate")
            raise DatasetError(
                f"{where}: initial state, {' '.join(entry.split())}: '{name.lower()}' is a "
                f"{kinds[0]}, not a {kinds[1]}"
            )


def _closings(text: str, where: str | Path) -> dict[int, int]:
    """The offset after the parenthesis that closes the one at an offset, for all of them.

    Raises:
        DatasetError: one is never closed, or they are nested too deep.
    """
    closing: dict[int, int] = {}
    opened: list[int] = []
    for match in PARENTHESIS.finditer(text):
        if match[0] == "(":
            opened.append(match.start())
            if len(opened) > DEEPEST:
                raise DatasetError(
                    f"{where}: line {_line(text, match.start())}: nested deeper than {DEEPEST} "
                    "parentheses: check the parentheses"
                )
        elif opened:  # unified-planning reports one that closes nothing
            closing[opened.pop()] = match.end()
    if opened:
        raise DatasetError(
            f"{where}: the parenthesis opened in line {_line(text, opened[-1])} is never closed"
        )
    return closing


def _arguments(text: str, operator: re.Match[str], closing: Mapping[int, int]) -> list[str]:
    """The expressions after an operator, up to the parenthesis that closes it."""
    arguments, at, end = [], operator.end(), closing[operator.start()] - 1
    while match := EXPRESSION.match(text, at, end):
        at = closing[match.start(1)] if match[1] == "(" else match.end()
        arguments.append(text[match.start(1) : at])
    return arguments


def _line(text: str, position: int) -> int:
    """The line, counted from 1, of an offset."""
    return text.count("\n", 0, position) + 1


def _reason(error: Exception, text: str) -> str:
    """The message of an error, with the text of the line that it names."""
    reason = ADVICE.sub(": rename one of the two", " ".join(str(error).split())).rstrip(".")
    if isinstance(error, KeyError):
        reason = f"unknown name {reason}"
    elif isinstance(error, RecursionError):
        reason = "its expressions are nested too deep"
    elif isinstance(error, IndexError):
        reason = "an expression is empty or incomplete"
    if line := re.search(r"\bline:? ?(\d+)", reason):
        lines = text.splitlines()[int(line[1]) - 1 : int(line[1])]
        reason += f"; there: {' '.join(' '.join(lines).split())!r}"
    return f"not PDDL that unified-planning can read: {reason or type(error).__name__}"
