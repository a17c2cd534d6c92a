"""Goals and conditions as texts: right, or refused in one line that names text and place."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.milp.errors import DatasetError
from worldplan.planners.numeric import solve
from worldplan.world_models.numeric import (
    Comparison,
    Goal,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
    Vocabulary,
    read_goal,
)
from worldplan.world_models.pddl import read_problem, write_problem

WORDS = Vocabulary(
    "farm",
    {"cell": "object", "truck": "object"},
    {},
    {"open": ("cell",), "at": ("truck", "cell"), "done": ()},
    {"water": ("cell",), "fuel": ("truck",), "total": ()},
    {"pour": (("c", "cell"),)},
)
OBJECTS = {"c1": "cell", "c2": "cell", "c-3": "cell", "t0": "truck"}
FLUENTS = (("water", "c1"), ("water", "c-3"), ("fuel", "t0"), ("total",))
WORDS_OF_GOALS = "water c1 total done and not ( ) >= = + - * / 3 0.1 or ?c é ; <"
NUMBERS = ("0", "3", "0.1", "2.50", "1e-3", "7/3", "12345678901234567890.5")
COMPARE = {
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}

numbers = st.sampled_from(NUMBERS)
terms = st.tuples(st.sampled_from(FLUENTS), numbers, st.sampled_from("+-"))
sums = st.tuples(st.lists(terms, max_size=3), numbers)
values = st.fixed_dictionaries(
    {fluent: st.fractions(-5, 5, max_denominator=10) for fluent in FLUENTS}
)


def infix(terms: Any, constant: str) -> str:
    text = constant
    for fluent, number, sign in terms:
        text += f" {sign} {number} * {' '.join(fluent)}"
    return text


def in_pddl(terms: Any, constant: str) -> str:
    text = number(constant)
    for fluent, factor, sign in terms:
        text = f"({sign} {text} (* {number(factor)} ({' '.join(fluent)})))"
    return text


def number(text: str) -> str:
    """PDDL has neither exponents nor slashes in numbers."""
    value = Fraction(text)
    return f"(/ {value.numerator} {value.denominator})"


def value(terms: Any, constant: str, of: dict[Any, Fraction]) -> Fraction:
    return Fraction(constant) + sum(
        (
            Fraction(factor) * of[fluent] * (1 if sign == "+" else -1)
            for fluent, factor, sign in terms
        ),
        Fraction(0),
    )


@settings(max_examples=200, deadline=None)
@given(left=sums, right=sums, relation=st.sampled_from(sorted(COMPARE)), state=values)
def test_a_comparison_is_exact_in_both_forms(
    left: Any, right: Any, relation: str, state: dict[Any, Fraction]
) -> None:
    goal = read_goal(f"{infix(*left)} {relation} {infix(*right)}", WORDS, OBJECTS)
    expected = COMPARE[relation](value(*left, state), value(*right, state))
    assert goal.holds(State(frozenset(), state)) is bool(expected)
    assert goal == read_goal(f"({relation} {in_pddl(*left)} {in_pddl(*right)})", WORDS, OBJECTS)


@pytest.mark.parametrize(
    "text",
    [
        "water c1 >= 3 and not open c2 and at t0 c1",
        "water c1 >= 3\nnot open c2\n\n; a comment\nat t0 c1",
        "(and (>= (water c1) 3) (not (open c2)) (at t0 c1))",
        "(water c1 >= 3) and (not open c2) and (at t0 c1)",
        "(at t0 c1) AND 3 <= Water C1\nand not (open c2)",
        "at t0 c1 and not water c1 < 3 and not (open c2)",
    ],
)
def test_the_same_goal_in_several_words(text: str, tmp_path: Path) -> None:
    goal = read_goal(text, WORDS, OBJECTS)
    assert goal == Goal(
        frozenset({("at", "t0", "c1")}),
        frozenset({("open", "c2")}),
        (Comparison(Linear(((("water", "c1"), 1),), -3), ">="),),
    )
    problem = NumericProblem("p", OBJECTS, State(frozenset(), dict.fromkeys(FLUENTS, 0)), goal)
    write_problem(problem, WORDS, tmp_path / "p.pddl")
    assert read_problem(tmp_path / "p.pddl", WORDS).goal == goal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 1: it is empty"),
        ("watr c1 >= 3", "character 1: .*no function 'watr': did you mean 'water'"),
        ("total >= 1 and water c9 >= 3", "character 16: 'c9' .*choose c1, c2, c-3, t0"),
        ("total >= 1\nwater t0 >= 3", "line 2, character 1: .*of type 'truck', not 'cell'"),
        ("water >= 3", "takes 1 objects, not 0"),
        ("water c1", "'water c1' is a number: compare it"),
        ("open c1 >= 3", "'open c1' is no number"),
        ("water c1 >=", "character 12: a number or a name is expected, not 'the end'"),
        ("water c1 => 3", "the relations are"),
        ("water c1 ≥ 3", "character 10: '≥'"),
        ("done or total >= 1", "'and' is expected, not 'or'"),
        ("(or (done) (open c1))", "no 'or', 'imply' or quantifier"),
        ("fuel t0 * total >= 1", "character 9: a product of fluents is not linear"),
        ("1 / total >= 1", "division by a fluent"),
        ("total / 0 >= 1", "division by zero"),
        ("1 <= total <= 3", "one relation for each condition"),
        ("not total = 3", "is a disjunction"),
        ("not (done and open c1)", "is a disjunction"),
        ("(total >= 3", "is expected, not 'the end'"),
        ("total >= 3)", "character 11"),
        ("total >= nan", "no function 'nan'"),
        ("total >= 1e999", "too large a number"),
        ("total >= " + "9" * 500, "too long"),
        ("(" * 200 + "total", "nested deeper"),
        ("total >= ?c", "'\\?c' is a parameter"),
        ("total >= 1 and", "missing after 'and'"),
        ("x" * 200_000, "at most 100000"),
        (3, "give a text"),
    ],
)
def test_what_is_no_goal_is_refused(text: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read_goal(text, WORDS, OBJECTS)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([*WORDS_OF_GOALS.split(), "\n"]),
        max_size=12,
    )
)
def test_any_text_is_a_goal_or_one_line(words: list[str]) -> None:
    message = ""
    try:
        read_goal(" ".join(words), WORDS, OBJECTS)
    except DatasetError as error:
        message = str(error)
    assert "\n" not in message


POUR = NumericAction(
    "pour",
    (("c", "cell"),),
    comparisons=("total >= 0.5", "water ?c < 9"),  # type: ignore[arg-type]
    effects=(
        (("water", 0), Linear(((("water", 0), 1),), 1)),
        (("total",), Linear(((("total",), 1),), -0.5)),  # type: ignore[arg-type]
    ),
)


def test_texts_stand_where_goals_and_conditions_do() -> None:
    start = State(frozenset(), {("water", "c1"): 0, ("total",): 1.5})  # type: ignore[dict-item]
    objects = {"c1": "cell"}
    problem = NumericProblem("p", objects, start, "water c1 >= 3")  # type: ignore[arg-type]
    assert problem.goal == read_goal("water c1 >= 3", WORDS, objects)
    result = solve(NumericModel(WORDS, {"pour": POUR}), problem)
    assert result.plan == (("pour", "c1"),) * 3
    with pytest.raises(DatasetError, match="no function 'watr': did you mean 'water'"):
        NumericProblem("p", objects, start, "watr c1 >= 3")  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="there is no parameter '\\?d': choose \\?c"):
        NumericAction("pour", (("c", "cell"),), comparisons=("water ?d < 9",))  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="is an atom"):
        Goal(comparisons=("done",))  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 9_999, 10_000])
def test_any_number_of_negations_and_signs(count: int) -> None:
    plain = ("at a b", "not at a b")[count % 2]
    assert read_goal("not " * count + "at a b") == read_goal(plain)
    sign = ("", "-")[count % 2]
    assert read_goal("- " * count + "w a >= 3") == read_goal(f"{sign}w a >= 3")
    assert read_goal(f"(>= {'-' * count}2 (w a))") == read_goal(f"(>= {sign}2 (w a))")
