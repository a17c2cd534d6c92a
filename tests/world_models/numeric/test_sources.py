"""Trajectories as programs write them: several forms, no problem file, any file name; what is only
partially observed is refused.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.milp.errors import DatasetError
from worldplan.world_models.action_model.learner import learn
from worldplan.world_models.numeric.domain import State, Vocabulary
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.numeric.logs import read_trajectories
from worldplan.world_models.numeric.sources.log_files import trajectory_files
from worldplan.world_models.numeric.sources.object_types import inferred_types
from worldplan.world_models.numeric.sources.observed_problem import observed_problem
from worldplan.world_models.numeric.trajectories import Trajectory, read_trajectory

TRUCKS = Vocabulary(
    "trucks",
    {"truck": "object", "place": "object", "depot": "place", "yard": "place"},
    {"home": "depot"},
    {"at": ("truck", "place"), "ready": (), "open": ("depot",)},
    {"fuel": ("truck",)},
    {"drive": (("t", "truck"), ("a", "place"), ("b", "place"))},
)
FIRST, SECOND = "(= (fuel t1) 3) (at t1 p)", "(= (fuel t1) 2.5) (at t1 q)"
FORMS = [
    f"((:init {FIRST}) (operator: (drive t1 p q)) (:state {SECOND}))",
    f"(:trajectory (:state {FIRST}) (:action (drive t1 p q)) (:state {SECOND}))",
    f"(:trajectory (:objects t1 - truck p q - place) (:init {FIRST}) (:action (drive t1 p q)) "
    f"(:state {SECOND}))",
    f"(trajectory (:state (and {FIRST})) (:action drive t1 p q) (:state (and {SECOND})))",
    f"; written by a program\r\n(observation\r\n(:state {FIRST})\r\n(action: (Drive T1 p q))\r\n"
    f"(:state {SECOND}))\r\n",
    f"\ufeff(:observation (:state {FIRST}) (:operator (drive t1 p q)) (:state {SECOND}))",
]


def write(folder: Path, text: str, name: str = "one.trajectory") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("text", FORMS)
def test_every_form_gives_the_same_trajectory(tmp_path: Path, text: str) -> None:
    (trajectory,) = read_trajectories([write(tmp_path, text)], TRUCKS)
    assert trajectory.calls == (("drive", "t1", "p", "q"),)
    assert trajectory.states[0] == State(frozenset({("at", "t1", "p")}), {("fuel", "t1"): 3})
    assert trajectory.states[1] == State(frozenset({("at", "t1", "q")}), {("fuel", "t1"): 2.5})
    assert dict(trajectory.objects) == {"t1": "truck", "p": "place", "q": "place", "home": "depot"}


def test_the_narrowest_type_that_is_required(tmp_path: Path) -> None:
    text = FORMS[0].replace("(at t1 p)", "(at t1 p) (open p)")
    assert read_trajectory(write(tmp_path, text), TRUCKS).objects["p"] == "depot"
    text = FORMS[0].replace("(at t1 p)", "(at t1 p) (open t1)")
    with pytest.raises(DatasetError, match=r"'t1' is used as depot and as truck; name its type in"):
        read_trajectory(write(tmp_path, text), TRUCKS)
    write(tmp_path, "(define (problem x) (:objects t1 - truck p q - yard))", "one.pddl")
    assert read_trajectory(write(tmp_path, FORMS[0]), TRUCKS).objects["p"] == "yard"


@settings(deadline=None)
@given(data=st.data())
def test_inferred_types_are_supertypes_of_the_true_ones(data: st.DataObject) -> None:
    parents: dict[str, str] = {}
    for number in range(data.draw(st.integers(1, 6))):
        parents[f"k{number}"] = data.draw(st.sampled_from(["object", *parents]))
    kinds = st.sampled_from(["object", *parents])
    predicates = data.draw(
        st.dictionaries(
            st.sampled_from(["p", "q", "r"]), st.lists(kinds, min_size=1, max_size=3).map(tuple)
        )
    )
    vocabulary = Vocabulary("random", parents, {}, predicates, {}, {})
    true = data.draw(st.dictionaries(st.sampled_from("abcd"), kinds, min_size=1))
    atoms = [
        (name, *arguments)
        for name, expected in predicates.items()
        for arguments in product(true, repeat=len(expected))
        if all(vocabulary.is_a(true[a], k) for a, k in zip(arguments, expected, strict=True))
    ]
    inferred = inferred_types(vocabulary, (("predicate", atom) for atom in atoms), Path("x"))
    assert inferred.keys() == {argument for atom in atoms for argument in atom[1:]}
    for argument, kind in inferred.items():
        assert vocabulary.is_a(true[argument], kind)  # never narrower than the truth
        for name, *arguments in atoms:  # and as narrow as each place requires
            for place, expected in zip(arguments, predicates[name], strict=True):
                assert place != argument or vocabulary.is_a(kind, expected)


def test_files_of_any_name(tmp_path: Path) -> None:
    for name in ("0_trucks_traj", "b.trace", "c.traj", "notes", "domain.pddl", "d.txt"):
        write(tmp_path, FORMS[1], name)
    write(tmp_path, "action;fuel t1\n;3\n", "e.txt")
    names = [path.name for path in trajectory_files([tmp_path])]
    assert names == ["0_trucks_traj", "b.trace", "c.traj"]
    alone = [tmp_path / "notes", tmp_path / "d.txt"]
    assert len(read_trajectories(alone, TRUCKS)) == 2
    write(tmp_path, "(define (domain trucks))", "domain.pddl")
    with pytest.raises(DatasetError, match=r"domain.pddl: a PDDL domain or problem: give logs"):
        read_trajectories([tmp_path / "domain.pddl"], TRUCKS)
    with pytest.raises(DatasetError, match=r"line 1: a PDDL domain or problem, where a trajectory"):
        read_trajectory(tmp_path / "domain.pddl", TRUCKS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(at t1 p)", "(at t1 p) (not (at t1 q))", r"\(at t1 home\) is neither true nor false"),
        ("(at t1 p)", "(at t1 p) (not (at t1 p))", r"\(at t1 p\) is both true and false"),
        ("(= (fuel t1) 3)", "(= (fuel t1) ?)", r"\(fuel t1\) is '\?': partially observed"),
        ("(:action (drive t1 p q))", "", "in turn, but no action leads to this state"),
        ("(:action (drive t1 p q))", "(operators: (drive t1 p q))", "several agents"),
        ("(:action (drive t1 p q))", "(:action)", "'\\[\\]' is not a action|takes"),
        ("(:state (= (fuel t1) 2.5)", "(:goal (= (fuel t1) 2.5)", "line 1: expected"),
    ],
)
def test_what_is_not_completely_observed_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in FORMS[1]
    with pytest.raises(DatasetError, match=message):
        read_trajectory(write(tmp_path, FORMS[1].replace(old, new, 1)), TRUCKS)


def test_a_state_that_lists_every_atom_is_complete(tmp_path: Path) -> None:
    false = "(not (ready)) (not (open home)) (not (at t1 home))"
    text = FORMS[1].replace("(at t1 q)", f"{false} (at t1 q) (not (at t1 p))")
    text = text.replace("(= (fuel t1) 3) (at t1 p)", f"{FIRST} {false} (not (at t1 q))")
    trajectory = read_trajectory(write(tmp_path, text), TRUCKS)
    assert trajectory.states == read_trajectory(write(tmp_path, FORMS[1]), TRUCKS).states


def test_a_fluent_that_loses_its_value_is_refused() -> None:
    words = Vocabulary("d", {}, {}, {}, {"fuel": (), "load": ()}, {"go": ()})
    states = tuple(
        State(frozenset(), {("load",): k} | ({("fuel",): 1} if k < 2 else {})) for k in range(3)
    )
    trajectory = Trajectory({}, states, (("go",), ("go",)), (None, None), "log")
    with pytest.raises(DatasetError, match=r"log: state 2: \(fuel\) has no value, but had one in"):
        learn(words, [trajectory])


def test_the_problem_of_a_trajectory(tmp_path: Path) -> None:
    trajectory = read_trajectory(write(tmp_path, FORMS[1]), TRUCKS)
    problem = observed_problem(trajectory)
    assert problem is not None and problem.goal.positive == {("at", "t1", "q")}
    assert problem.goal.negative == {("at", "t1", "p")} and not problem.goal.comparisons
    assert problem.goal.holds(trajectory.states[-1]) and not problem.goal.holds(problem.initial)
    assert is_valid(learn(TRUCKS, [trajectory]), problem, trajectory.calls)
    first = trajectory.states[0]
    still = Trajectory(trajectory.objects, (first, first), trajectory.calls, (None,))
    assert observed_problem(still) is None
    spent = State(first.atoms, {("fuel", "t1"): 1})
    numbers = observed_problem(
        Trajectory(trajectory.objects, (first, spent), trajectory.calls, (True,))
    )
    assert numbers is not None and not numbers.goal.positive
    assert numbers.goal.holds(spent) and not numbers.goal.holds(first)
