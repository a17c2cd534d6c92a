"""What the tests of `worldplan actions` share: commands, and a folder to run them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldplan.cli import main
from worldplan.world_models.numeric.logs import read_trajectories
from worldplan.world_models.numeric.trajectories import Trajectory, write_trajectory
from worldplan.world_models.pddl.reading import read_model, read_problem
from worldplan.world_models.pddl.writing import write_problem

DELIVERY = "configs/actions/delivery"


LEARN = (
    f"learn {DELIVERY}/log.csv --domain {DELIVERY}/domain.pddl "
    f"--declare {DELIVERY}/declarations.yaml -o vans.json"
)


SOLVE = f"solve vans.json {DELIVERY}/problem.pddl -o plan.txt"


VALIDATE = f"validate vans.json {DELIVERY}/problem.pddl plan.txt"


TRUE = """
(define (domain delivery)
  (:requirements :typing :fluents)
  (:types place item - object van parcel - item)
  (:predicates (at ?x - item ?p - place) (in ?c - parcel ?v - van) (charger ?p - place))
  (:functions (battery ?v - van) (full ?v - van) (cargo ?v - van) (limit ?v - van)
    (weight ?c - parcel) (distance ?a ?b - place))
  (:action drive :parameters (?v - van ?a ?b - place)
    :precondition (and (at ?v ?a) (>= (battery ?v) (distance ?a ?b)))
    :effect (and (not (at ?v ?a)) (at ?v ?b) (decrease (battery ?v) (distance ?a ?b))))
  (:action charge :parameters (?v - van ?p - place)
    :precondition (and (at ?v ?p) (charger ?p))
    :effect (assign (battery ?v) (full ?v)))
  (:action pick-up :parameters (?c - parcel ?v - van ?p - place)
    :precondition (and (at ?c ?p) (at ?v ?p) (<= (+ (cargo ?v) (weight ?c)) (limit ?v)))
    :effect (and (not (at ?c ?p)) (in ?c ?v) (increase (cargo ?v) (weight ?c))))
  (:action drop-off :parameters (?c - parcel ?v - van ?p - place)
    :precondition (and (in ?c ?v) (at ?v ?p))
    :effect (and (not (in ?c ?v)) (at ?c ?p) (decrease (cargo ?v) (weight ?c)))))
"""


class Desk:
    """Runs commands in a folder that holds the example."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.files = folder / DELIVERY

    def run(self, command: str, code: int = 0) -> str:
        """The output of a command, which must end with the given code; its stderr is kept as
        `warnings`.
        """
        assert main(["actions", *command.split()]) == code
        printed = self.capsys.readouterr()
        self.warnings = printed.err
        assert "Traceback" not in printed.err
        return printed.out

    def refuses(self, command: str, *words: str) -> None:
        """Check that a command prints one line with these words, exits with 2 and leaves no new
        file.
        """
        before = sorted(self.folder.rglob("*"))
        assert main(["actions", *command.split()]) == 2
        printed = self.capsys.readouterr()
        assert printed.err.count("\n") == 1 and not printed.out, printed.err
        for word in words:
            assert word in printed.err, printed.err
        assert sorted(self.folder.rglob("*")) == before

    def edit(self, name: str, old: str, new: str, count: int = 1) -> None:
        """Replace a text in a file of the example."""
        path = self.files / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))


def make_data(folder: Path) -> None:
    """Trajectories and their problems from the example's episodes; each goal is the episode's last
    state.
    """
    true = read_model("true.pddl")
    problem = read_problem(f"{DELIVERY}/problem.pddl", true.vocabulary)
    folder.mkdir()
    for number, episode in enumerate(read_trajectories([f"{DELIVERY}/log.csv"], true.vocabulary)):
        states, calls = [episode.states[0]], []
        for i, call in enumerate(episode.calls):
            if episode.succeeded[i]:
                states.append(episode.states[i + 1])
                calls.append(call)
        write_trajectory(
            Trajectory(episode.objects, tuple(states), tuple(calls), (None,) * len(calls)),
            folder / f"p{number}.trajectory",
        )
        goal = type(problem.goal)(frozenset(atom for atom in states[-1].atoms if atom[0] == "at"))
        episode_problem = type(problem)(f"p{number}", episode.objects, states[0], goal)
        write_problem(episode_problem, true.vocabulary, folder / f"p{number}.pddl")
