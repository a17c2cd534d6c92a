"""Everyday logs: tables of spreadsheets, names that PDDL does not allow, dictionaries of Python."""

from __future__ import annotations

import copy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.milp.errors import DatasetError
from worldplan.planners.numeric.planning import solve
from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.action_model.learner import learn
from worldplan.world_models.numeric.domain import Linear, NumericProblem, State, Vocabulary
from worldplan.world_models.numeric.logs import read_log, read_trajectories
from worldplan.world_models.numeric.metrics import Metric
from worldplan.world_models.numeric.sources.observed_problem import observed_problem
from worldplan.world_models.numeric.sources.plain_names import PlainNames, plain_names
from worldplan.world_models.numeric.sources.python_logs import trajectories_from_steps
from worldplan.world_models.numeric.sources.written_facts import Spellings, written_fact
from worldplan.world_models.numeric.trajectories import read_trajectory, write_trajectory
from worldplan.world_models.pddl.plans import read_plan, write_plan
from worldplan.world_models.pddl.writing import NAME, problem_text

TRUCKS = Vocabulary(
    "trucks",
    {"truck": "object", "place": "object"},
    {"home": "place"},
    {"at": ("truck", "place")},
    {"fuel": ("truck",), "total": ()},
    {"drive": (("t", "truck"), ("a", "place"), ("b", "place"))},
)
ROWS = [
    ["action", "at t1 p", "at t1 q", "fuel t1", "total"],
    ["drive t1 p q", "1", "0", "3.5", "0"],
    ["drive t1 q p", "0", "1", "2.25", "1.25"],
    ["", "1", "0", "1", "2.5"],
]


def table(folder: Path, text: str, name: str = "log.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def joined(delimiter: str, end: str = "\n") -> str:
    return "".join(delimiter.join(row) + end for row in ROWS)


@pytest.mark.parametrize(
    "text",
    [
        joined(","),
        joined(";"),
        joined("\t"),
        joined(";", "\r\n"),
        joined(",", "\r"),
        "\ufeff" + joined(","),
        "\ufeffsep=;\r\n" + joined(";", "\r\n"),
        "\n\n" + joined(",", "\n\n") + ",,,,\n",
        joined(";").replace("at t1 p", '"at t1 p"').replace("action", "ACTION"),
        joined(";").replace("at t1 p", "at(t1, p)").replace("drive t1 p q", "Drive(t1, p, q)"),
        joined(",").replace("drive t1 p q", "(drive t1 p q)").replace("fuel t1", "Fuel T1"),
    ],
)
def test_tables_of_spreadsheets(tmp_path: Path, text: str) -> None:
    (trajectory,) = read_log(table(tmp_path, text), TRUCKS)
    assert trajectory.calls == (("drive", "t1", "p", "q"), ("drive", "t1", "q", "p"))
    assert trajectory.states[1] == State(
        frozenset({("at", "t1", "q")}), {("fuel", "t1"): Fraction(9, 4), ("total",): 1.25}
    )
    assert len(read_trajectories([table(tmp_path, text, "log.txt")], TRUCKS)) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2.25", "2,25", r"row 3, column 'fuel t1': '2,25' has a decimal comma: write 2.25$"),
        ("2.25", "1.002,25", r"'1.002,25' has a decimal comma: write 1002.25$"),
        ("2.25", "?", r"row 3, column 'fuel t1': '\?': partially observed states"),
        ("2.25", "NaN", r"row 3, column 'fuel t1': 'NaN': partially observed states"),
        ("0;1;2.25", "0;;2.25", r"row 3, column 'at t1 q': '' is neither 1 nor 0"),
        ("fuel t1", "fuel Truck 1", r"takes 1 objects, not 2; write a name .* fuel\(Truck 1\)"),
        ("fuel t1", "fuel( )", "function 'fuel' takes 1 objects, not 0"),
        ("at t1 q", "at(t1,)", "column 3: 'at.t1,.' has an object without a name"),
        ("at t1 q", "AT t1  p", "the column 'at t1 p' is there more than once"),
        ("action", "acted", "needs a row per state and a column 'action'"),
        ("total", "Action", "the column 'action' is there more than once"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = joined(";")
    assert old in text
    with pytest.raises(DatasetError, match=message):
        read_log(table(tmp_path, text.replace(old, new, 1)), TRUCKS)


def test_decimal_commas_between_commas_and_other_encodings(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"row 3: has 6 cells, the header 5: write 3.5 and not"):
        read_log(table(tmp_path, joined(",").replace("2.25", "2,25")), TRUCKS)
    for encoding in ("utf-16", "latin-1"):
        path = table(tmp_path, joined(",").replace("t1", "tür"), encoding=encoding)
        with pytest.raises(DatasetError, match=r"not a UTF-8 text file.*: save it in UTF-8"):
            read_log(path, TRUCKS)


def test_names_that_pddl_does_not_allow_stay_as_they_are(tmp_path: Path) -> None:
    names = ("Truck 1 (old)", "Łódź", "7th street, west")
    header = [f'"at({names[0]}, {names[1]})"', f'"at({names[0]}, ""{names[2]}"")"']
    text = (
        f"action,{','.join(header)},fuel({names[0]}),total\n"
        f'"drive({names[0]}, {names[1]}, ""{names[2]}"")",1,0,3,0\n,0,1,2,1\n'
    )
    (trajectory,) = read_log(table(tmp_path, text), TRUCKS)
    assert trajectory.calls == (("drive", *names),)
    assert trajectory.objects[names[0]] == "truck" and trajectory.objects[names[2]] == "place"
    assert learn(TRUCKS, [trajectory]).actions.keys() == {"drive"}


def test_capitals_tell_objects_apart_only_where_the_columns_do(tmp_path: Path) -> None:
    text = "action;fuel A;fuel a;at(A, P);at(a, P)\n{};3;4;1;1\n;3;4;1;1\n"
    (trajectory,) = read_log(table(tmp_path, text.format("drive a p HOME")), TRUCKS)
    assert trajectory.calls == (("drive", "a", "P", "home"),)
    assert trajectory.states[0].values == {("fuel", "A"): 3, ("fuel", "a"): 4}
    one = Spellings(["home"], [("at", "A", "Depot"), ("fuel", "a")])
    assert one.fact(("at", "a", "depot")) == ("at", "A", "Depot")
    assert one.fact(("at", "A", "HOME")) == ("at", "A", "home")
    two = Spellings([], [("fuel", "Ab"), ("fuel", "aB")])
    with pytest.raises(ValueError, match="'AB' is Ab or aB: write it as one of these"):
        two.fact(("at", "AB"))


NAMES = st.text(
    st.characters(exclude_characters='"', exclude_categories=["Cc", "Cs", "Z"]), min_size=1
)


@settings(deadline=None)
@given(st.lists(NAMES, max_size=4))
def test_quoted_names_are_read_back(names: list[str]) -> None:
    written = " ".join(["at", *(f'"{name}"' for name in names)])
    assert written_fact(written) == ("at", *names)
    inside = ", ".join(f'"{name}"' for name in names)
    assert written_fact(f"AT({inside})") == ("at", *names)


def steps() -> list[dict[str, Any]]:
    def state(place: str, fuel: float) -> dict[Any, Any]:
        return {
            ("at", "Truck 1", "P"): place == "P",
            "at(Truck 1, p)": np.bool_(place == "p"),
            ("Fuel", "Truck 1"): fuel,
            "total": np.float32(0.5),
        }

    return [
        {
            "state": state("P", 3.5),
            "action": ("Drive", "Truck 1", "P", "p"),
            "next_state": state("p", 2),
            "success": True,
        },
        {
            "state": state("p", 2),
            "action": "drive(Truck 1, p, P)",
            "next_state": state("P", Fraction(1, 2)),
        },
        {"state": state("p", 9), "action": "drive(Truck 1, p, P)", "next_state": state("P", 7.5)},
    ]


def test_dictionaries_of_python() -> None:
    first, second = trajectories_from_steps(steps(), TRUCKS)
    assert first.calls == (("drive", "Truck 1", "P", "p"), ("drive", "Truck 1", "p", "P"))
    assert first.succeeded == (True, None) and len(second.calls) == 1
    assert first.objects == {"home": "place", "Truck 1": "truck", "P": "place", "p": "place"}
    assert first.states[0] == State(
        frozenset({("at", "Truck 1", "P")}),
        {("fuel", "Truck 1"): Fraction(7, 2), ("total",): Fraction(1, 2)},
    )
    assert learn(TRUCKS, [first, second]).actions["drive"].adds == {("at", 0, 2)}
    apart = [step | {"episode": number} for number, step in enumerate(steps())]
    assert [len(t.calls) for t in trajectories_from_steps(apart, TRUCKS)] == [1, 1, 1]
    kinds = {"Truck 1": "truck", "P": "place", "p": "place"}
    assert trajectories_from_steps(steps(), TRUCKS, kinds)[0].states == first.states


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[1].pop("action"), "steps: step 2: 'action' is missing"),
        (lambda s: s[0].update(reward=1), "step 1: 'reward' is unknown: give state, action"),
        (lambda s: s[0].update(success=1), "step 1: success is 1: give True or False"),
        (lambda s: s[0].update(state=[1]), r"step 1: state is \[1\]: give a mapping"),
        (lambda s: s[0]["state"].update({"total": None}), r"state: \(total\) is None: partially"),
        (lambda s: s[0]["state"].update({"total": np.nan}), r"state: \(total\) is nan: partially"),
        (lambda s: s[0]["state"].update({"total": True}), r"\(total\) is True: a fluent needs"),
        (lambda s: s[0]["state"].update({"total": "3"}), r"\(total\) is '3': give a finite"),
        (lambda s: s[0]["state"].update({"at a b": 2}), r"\(at a b\) is 2: an atom is True or"),
        (
            lambda s: s[0]["next_state"].update({"fuel(Truck 1)": 9}),
            r"step 1: next_state: \(fuel Truck 1\) has two values in one state",
        ),
        (lambda s: s[0]["state"].update({7: 2}), "step 1: state: 7: give a tuple of names"),
        (lambda s: s[0].update(action=()), r"step 1: action: \(\): give a tuple of names"),
        (lambda s: s[0].update(action="fly"), "call 1: the domain declares no action 'fly'"),
        (lambda s: s[0]["state"].update({"speed a": 2}), "speed a. is 2: an atom is True"),
        (lambda s: s[0].update(action="drive P P P"), "'P' is used as place and as truck"),
        (lambda s: s.clear(), "steps: no step"),
        (lambda s: s.append(3), "step 4 is 3: give a dictionary"),
    ],
)
def test_wrong_dictionaries(change: Any, message: str) -> None:
    log = copy.deepcopy(steps())
    change(log)
    with pytest.raises(DatasetError, match=message) as error:
        trajectories_from_steps(log, TRUCKS)
    assert "\n" not in str(error.value)


def test_odd_names_are_written_and_read_back(tmp_path: Path) -> None:
    first, _ = trajectories_from_steps(steps(), TRUCKS)
    write_trajectory(first, tmp_path / "odd.trajectory")
    back = read_trajectory(tmp_path / "odd.trajectory", TRUCKS)
    assert (back.states, back.calls, back.objects) == (first.states, first.calls, first.objects)
    plan = (*first.calls, ("drive", "a;b", "(c)", "é ü"))
    write_plan(plan, tmp_path / "plan.txt")
    with open(tmp_path / "plan.txt", "a") as file:
        file.write("; the end\n0.1: (DRIVE a b C) [1] ; of (it)\n")
    assert read_plan(tmp_path / "plan.txt") == (*plan, ("drive", "a", "b", "c"))
    with pytest.raises(DatasetError, match="double quote"):
        write_plan([("drive", 'a"b')], tmp_path / "plan.txt")


@settings(deadline=None)
@given(st.lists(NAMES, unique=True, max_size=6), st.sets(st.sampled_from(["o-a", "o", "o-2"])))
def test_plain_names_are_pddl_names_and_come_back(names: list[str], taken: set[str]) -> None:
    plain = plain_names(names, taken)
    assert plain.keys() == set(names) and len(set(plain.values())) == len(names)
    assert not taken & set(plain.values()) and all(map(NAME.fullmatch, plain.values()))


def test_planners_get_plain_names_and_plans_the_names_of_the_user() -> None:
    first, _ = trajectories_from_steps(steps(), TRUCKS)
    model = learn(TRUCKS, [first])
    problem = observed_problem(
        replace(
            first, states=first.states[:2], calls=first.calls[:1], succeeded=first.succeeded[:1]
        )
    )
    assert problem is not None
    problem = replace(problem, metric=Metric("minimize", Linear(((("fuel", "Truck 1"), 1),))))
    handed: list[NumericProblem] = []

    def planner(_: object, inside: NumericProblem, **__: object) -> PlanResult:
        handed.append(inside)
        assert set(map(NAME.fullmatch, inside.objects)).isdisjoint({None})
        problem_text(inside, TRUCKS)
        return search_plan(model, inside)

    result = solve(model, problem, planner, time_limit=20)
    assert result.plan == first.calls[:1]
    assert handed[0].goal.holds(
        model.actions["drive"].successor(
            tuple(
                name
                for step in PlainNames.of(problem, TRUCKS).plain_plan(first.calls[:1])
                for name in step[1:]
            ),
            handed[0].initial,
        )
    )
    assert handed[0].metric is not None and result.cost == 2
