"""`worldplan actions`, end to end: the how-to of the README, cross validation, and bad input in one
clear line.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.places import ROOT
from worldplan.cli import main
from worldplan.commands.actions import jobs as action_jobs
from worldplan.commands.actions import solve as actions_solve
from worldplan.milp.errors import DatasetError
from worldplan.planners.numeric.task.result import PlanResult
from worldplan.world_models.action_model.files import load_model
from worldplan.world_models.numeric.domain import is_valid
from worldplan.world_models.numeric.logs import read_trajectories
from worldplan.world_models.numeric.trajectories import Trajectory, write_trajectory
from worldplan.world_models.pddl.plans import read_plan, validate_with_unified_planning
from worldplan.world_models.pddl.reading import read_model, read_problem, read_vocabulary
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
    """A folder with the example in it, and the command line."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.files = folder / DELIVERY

    def run(self, command: str, code: int = 0) -> str:
        """What a command prints; it must end with the given code and say nothing but warnings and
        progress besides.
        """
        assert main(["actions", *command.split()]) == code
        printed = self.capsys.readouterr()
        self.warnings = printed.err
        assert "Traceback" not in printed.err
        return printed.out

    def refuses(self, command: str, *words: str) -> None:
        """One line that holds these words, exit code 2, and no new file."""
        before = sorted(self.folder.rglob("*"))
        assert main(["actions", *command.split()]) == 2
        printed = self.capsys.readouterr()
        assert printed.err.count("\n") == 1 and not printed.out, printed.err
        for word in words:
            assert word in printed.err, printed.err
        assert sorted(self.folder.rglob("*")) == before

    def edit(self, name: str, old: str, new: str, count: int = 1) -> None:
        """Replace a text of one of the example's files."""
        path = self.files / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    shutil.copytree(ROOT / DELIVERY, tmp_path / DELIVERY)
    (tmp_path / "true.pddl").write_text(TRUE)
    return Desk(tmp_path, capsys)


# --- the how-to -----------------------------------------------------------------------------------


def test_the_three_commands_of_the_readme(desk: Desk) -> None:
    shown = desk.run(LEARN)
    assert "4 of 4 actions learned, written to vans.json" in shown and not desk.warnings
    printed = desk.run(SOLVE)
    plan = read_plan("plan.txt")
    (desk.folder / "printed.txt").write_text(printed)
    assert read_plan("printed.txt") == plan and len(plan) >= 11
    assert "worldplan: valid" in desk.run(VALIDATE)
    problem = desk.files / "problem.pddl"
    assert validate_with_unified_planning("true.pddl", problem, plan).valid
    true = read_model("true.pddl")
    assert is_valid(true, read_problem(problem, true.vocabulary), plan)


@pytest.mark.parametrize("command", [LEARN, SOLVE, VALIDATE])
def test_the_readme_shows_them(command: str) -> None:
    text = re.sub(
        r" \\\n\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8")
    )  # long lines go on after a backslash
    assert f"worldplan actions {command}\n" in text


def test_the_example_log_is_true(desk: Desk) -> None:
    true = read_model("true.pddl")
    assert read_vocabulary(desk.files / "domain.pddl") == true.vocabulary
    outcomes = []
    for episode in read_trajectories([desk.files / "log.csv"], true.vocabulary):
        for i, (name, *binding) in enumerate(episode.calls):
            action, before, after = true.actions[name], episode.states[i], episode.states[i + 1]
            outcomes.append(action.applicable(tuple(binding), before))
            assert outcomes[-1] == episode.succeeded[i]
            assert after == (action.successor(tuple(binding), before) if outcomes[-1] else before)
    assert outcomes.count(True) == 36 and outcomes.count(False) == 13


def test_without_declarations_the_model_is_more_careful(desk: Desk) -> None:
    desk.run(LEARN.replace(f"--declare {DELIVERY}/declarations.yaml ", ""))
    printed = desk.run(SOLVE, code=1)
    assert (
        "NO PLAN: unsolvable in this model" in printed
        and "the world may have a plan all the same" in printed
    )
    assert not Path("plan.txt").exists()
    answer = json.loads(desk.run(SOLVE + " --json", code=1))
    assert (
        answer["status"] == "unsolvable"
        and answer["plan"] is None
        and answer["learned_model"] is True
    )


def test_export_to_pddl(desk: Desk) -> None:
    desk.run(LEARN)
    shown = desk.run(LEARN.replace("vans.json", "vans.pddl"))
    assert shown.count("exact") == 4 and "inner" not in shown
    desk.run(SOLVE)
    for domain in ("vans.pddl", "true.pddl"):
        verdict = desk.run(VALIDATE.replace("vans.json", domain))
        assert "worldplan: valid" in verdict and "unified-planning: valid" in verdict
    answer = json.loads(desk.run(SOLVE.replace("vans.json", "vans.pddl") + " --json"))
    exact_model = load_model("vans.json")
    problem = read_problem(desk.files / "problem.pddl", exact_model.vocabulary)
    assert (
        is_valid(exact_model, problem, [tuple(step) for step in answer["plan"]])
        and answer["learned_model"] is False
    )


def test_an_export_over_the_budget_says_so(desk: Desk) -> None:
    plain = f"learn {DELIVERY}/log.csv --domain {DELIVERY}/domain.pddl -o vans.pddl --budget 12"
    assert "inner approximation" in desk.run(plain)
    found = json.loads(desk.run(plain + " --json"))["actions"]
    assert [found[name]["exact"] for name in ("drive", "charge")] == [False, True]
    assert found["drive"]["observations"] == 15 and found["drive"]["points"] == 14
    true, learned = read_model("true.pddl"), read_model("vans.pddl")
    assert set(learned.actions) == set(true.actions)
    assert sum(len(learned.actions[name].comparisons) for name in found) == sum(
        one["half_spaces"] for one in found.values()
    )


def test_validate_names_step_and_reason(desk: Desk) -> None:
    desk.run(LEARN)
    for plan, reason in (
        (
            "(drive red depot mill)",
            (
                "step 1, (drive red depot mill): (battery red) is 12|(battery red) - (distance "
                "depot mill) >= 0 does not hold"
            ),
        ),
        ("(drive red depot school)\n(fly red)", "step 2, (fly red): the model has no action 'fly'"),
        (
            "",
            (
                "the goal is not reached: (at books school) is false; (at desk school) is false; "
                "(at flour school) is false"
            ),
        ),
    ):
        Path("plan.txt").write_text(plan)
        for domain in ("true.pddl", "vans.json"):
            said = desk.run(VALIDATE.replace("vans.json", domain), code=1)
            assert said.startswith("worldplan: not valid: ")
            assert (
                any(part in said for part in reason.split("|"))
                or "outside the learned region" in said
            )
            assert ("unified-planning: not valid" in said) == (domain == "true.pddl")
    answer = json.loads(desk.run(VALIDATE.replace("vans.json", "true.pddl") + " --json", code=1))
    assert answer["valid"] is False and set(answer["faults"]) == {"worldplan", "unified-planning"}


# --- what may go wrong ----------------------------------------------------------------------------


def test_wrong_logs(desk: Desk) -> None:
    log = desk.files / "log.csv"
    original = log.read_text()
    for old, new, *words in (
        ("battery van1", "bttery van1", "log.csv, column 'bttery van1'", "no predicate 'bttery'"),
        ("at lamp depot", "at lamp lamp", "'lamp' is used as"),
        (
            "pick-up lamp van1 depot",
            "fetch lamp van1 depot",
            "log.csv, row 2, column 'action'",
            "no action 'fetch'",
        ),
        ("pick-up lamp van1 depot", "pick-up van1 lamp depot", "is used as"),
        (
            "pick-up lamp van1 depot,1,40,",
            "pick-up lamp van1 depot,1,forty,",
            "row 2, column 'battery van1'",
            "'forty' is not a number",
        ),
        (
            "north,1,32.5,60,2.5",
            "north,1,32.5,59,2.5",
            "episode 1: transition 2, (drive van1 depot north)",
            "does not follow",
        ),
        (
            "\n1,,,0,60,2.5",
            "\n1,,,0,60,2",
            "transition 8, (drive van1 north depot)",
            "marked as failed and yet the state changed",
        ),
    ):
        assert old in original, old
        log.write_text(original.replace(old, new, 1))
        desk.refuses(LEARN, *words)
    log.unlink()
    desk.refuses(LEARN.replace(f"{DELIVERY}/log.csv", "log.csv"), "log.csv", "no such file")
    desk.refuses(LEARN.replace("/log.csv", "", 1), "holds no .trajectory and no .csv file")


def test_wrong_trajectories(desk: Desk) -> None:
    path = desk.folder / "a.trajectory"
    (desk.folder / "a.pddl").write_text(
        "(define (problem a) (:domain delivery)\n (:objects red - van depot mill - place) (:init) "
        "(:goal (and)))"
    )
    good = (
        "((:init (at red depot) (= (battery red) 5))\n(operator: (charge red depot))\n"
        "(:state (at red depot) (= (battery red) 9)))"
    )
    for old, new, *words in (
        ("9)))", "9))", "a.trajectory, line 1", "never closed"),
        ("9)))", "9))))", "a.trajectory, line 3", "closes nothing"),
        (
            "(charge red depot)",
            "(charge red lake)",
            "a.trajectory, line 2",
            "'lake' in (charge red lake) is not an object",
        ),
        (
            "(charge red depot)",
            "(charge depot red)",
            "line 2",
            "'depot' in (charge depot red) is of type 'place', not 'van'",
        ),
        ("(charge red depot)", "(refuel red depot)", "line 2", "no action 'refuel'"),
        ("(at red depot) (= (battery red) 9)", "(near red depot)", "line 3", "no predicate 'near'"),
        ("(battery red) 9", "(speed red) 9", "line 3", "no function 'speed'"),
        (
            "(at red depot) (= (battery red) 9)",
            "(at red mill) (= (battery red) 9)",
            "transition 1, (charge red depot)",
            "does not follow",
        ),
    ):
        assert old in good
        path.write_text(good.replace(old, new))
        desk.refuses(f"learn a.trajectory --domain {DELIVERY}/domain.pddl -o m.json", *words)
    path.write_text(good)
    printed = desk.run(f"learn a.trajectory --domain {DELIVERY}/domain.pddl -o m.json")
    assert "1 of 4 actions learned" in printed
    assert (
        "warning: never observed, so not in the model: drive, pick-up, drop-off" in desk.warnings
        and "not learned: never observed" in printed
    )
    assert "drive (never observed)" in desk.run(f"solve m.json {DELIVERY}/problem.pddl", code=1)
    (desk.folder / "a.pddl").unlink()
    desk.refuses(
        f"learn a.trajectory --domain {DELIVERY}/domain.pddl -o m.json", "a.pddl: no such file"
    )


def test_an_effect_that_is_not_affine_excludes_its_action(desk: Desk) -> None:
    states = "".join(
        f"\n(operator: (charge red depot)) (:state (at red depot) (= (battery red) {2**k}))"
        for k in (1, 2, 4, 8)
    )
    Path("a.trajectory").write_text(f"((:init (at red depot) (= (battery red) 1)){states})")
    Path("a.pddl").write_text(
        "(define (problem a) (:domain delivery) (:objects red - van depot - place) (:init) (:goal "
        "(and)))"
    )
    command = f"learn a.trajectory {DELIVERY}/log.csv --domain {DELIVERY}/domain.pddl -o m.json"
    found = json.loads(desk.run(command + " --json"))["actions"]
    assert (
        found["charge"]["learned"] is False
        and "(battery ?v)" in found["charge"]["excluded"]
        and "not affine" in found["charge"]["excluded"]
    )
    assert all(found[name]["learned"] for name in ("drive", "pick-up", "drop-off"))
    assert "3 of 4 actions learned" in desk.run(command)
    assert "charge" not in load_model("m.json").actions
    desk.refuses(
        command.replace(f" {DELIVERY}/log.csv", ""),
        "no action could be learned from 1 trajectories",
        "charge: ",
    )


def test_wrong_declarations(desk: Desk) -> None:
    path = desk.files / "declarations.yaml"
    for text, *words in (
        ("actions: {drive: {preconditions: [", "declarations.yaml", "not valid YAML"),
        ("- 1", "must hold settings"),
        ("drive: {}", "'drive' is unknown: give 'default' and 'actions'"),
        ("actions: [drive]", "'actions' must map"),
        ("actions: {drive: monotone}", "drive: must hold settings"),
        ("actions: {fly: {}}", "'fly' is not an action of", "drive, charge, pick-up, drop-off"),
        ("actions: {drive: {preconditions: concave}}", "drive", "'concave' is unknown"),
        ("actions: {drive: {precondition: convex}}", "drive", "precondition"),
        ("actions: {drive: {directions: [1]}}", "drive", "directions"),
        (
            "actions: {drive: {preconditions: monotone, directions: {fuel: 1}}}",
            "declarations.yaml",
            "'drive' has no numeric fluent 'fuel'",
        ),
        (
            'actions: {drive: {precondition_fluents: ["fuel ?v"]}}',
            "declarations.yaml",
            "'drive' has no numeric fluent 'fuel ?v'",
            "battery ?v",
        ),
        ("default: {size: two}", "default", "size"),
        ("default: {groups: 3}", "default", "groups"),
        ("default: {effect_fluents: [battery]}", "default", "effect_fluents"),
    ):
        path.write_text(text)
        desk.refuses(LEARN, *words)
    path.unlink()
    command = LEARN.replace(f"{DELIVERY}/declarations.yaml", "declarations.yaml")
    desk.refuses(command, "declarations.yaml: no such file")


def test_a_refuted_declaration_is_named(desk: Desk) -> None:
    desk.edit(
        "declarations.yaml",
        '"battery ?v": 1, "distance ?a ?b": -1',
        '"battery ?v": -1, "distance ?a ?b": 1',
    )
    shown = desk.run(LEARN)
    assert "weaker class used" in shown and "it failed at" in shown
    found = json.loads(desk.run(LEARN + " --json"))["actions"]
    assert "not as declared" in found["drive"]["refuted"] and "refuted" not in found["pick-up"]


def test_wrong_problems_and_models(desk: Desk) -> None:
    desk.run(LEARN)
    problem = desk.files / "problem.pddl"
    original = problem.read_text()
    for old, new, *words in (
        ("(at flour school)", "(at flour harbour)", "problem.pddl", "harbour"),
        ("(at flour school)", "(on flour station)", "problem.pddl", "on"),
        ("(at red depot)", "(at red books)", "problem.pddl"),
        ("(= (weight desk) 18)", "(= (height desk) 18)", "problem.pddl", "height"),
        ("desk - parcel)", "desk - parcel", "problem.pddl"),
        ("red blue - van", "red blue - lorry", "problem.pddl", "lorry"),
    ):
        assert old in original
        problem.write_text(original.replace(old, new))
        desk.refuses(SOLVE, *words)
    problem.write_text(original)
    desk.refuses(SOLVE.replace("vans.json", "no.json"), "no.json: no such file")
    desk.refuses(SOLVE.replace("vans.json", "no.pddl"), "no.pddl")
    desk.refuses(SOLVE.replace("problem.pddl", "no.pddl"), "no.pddl")
    desk.refuses(SOLVE.replace("vans.json", f"{DELIVERY}/declarations.yaml"), "declarations.yaml")
    desk.refuses(VALIDATE, "plan.txt")
    Path("plan.txt").write_text("(drive red depot school)\ndrive blue\n")
    desk.refuses(VALIDATE, "plan.txt: line 2")
    Path("vans.json").write_text(
        Path("vans.json").read_text().replace('"version": 1', '"version": 7')
    )
    desk.refuses(SOLVE, "vans.json: version: 7")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", ["the following arguments are required: verb"]),
        ("forget", ["invalid choice: 'forget'"]),
        (LEARN.replace("vans.json", "vans.txt"), ["-o vans.txt", "end it in .json"]),
        (LEARN + " --budget 9", ["--budget 9", "for a .pddl output only"]),
        (LEARN.replace("vans.json", "vans.pddl") + " --budget 0", ["--budget 0"]),
        (LEARN.replace("domain.pddl", "town.pddl"), ["town.pddl"]),
        (SOLVE + " --time-limit 0", ["--time-limit 0"]),
        (SOLVE + " --planner guess", ["invalid choice: 'guess'"]),
        (f"evaluate {DELIVERY} --domain true.pddl", ["delivery: holds no .trajectory file"]),
    ],
)
def test_wrong_arguments(desk: Desk, command: str, words: list[str]) -> None:
    desk.refuses(command, *words)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("time_limit", "within 7 s"),
        ("memory_limit", "within 99 MB"),
        ("no_plan_found", "nothing is proven"),
    ],
)
def test_no_plan_for_other_reasons(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, status: str, words: str
) -> None:
    desk.run(LEARN)
    monkeypatch.setattr(
        actions_solve,
        "solve",
        lambda *_, **__: PlanResult(None, status, "search", 1.0, detail={"reason": "because"}),
    )
    printed = desk.run(SOLVE + " --time-limit 7 --memory-limit 99", code=1)
    assert (
        "NO PLAN" in printed
        and words in printed
        and "because" in printed
        and "unsolvable" not in printed
    )


def test_the_planner_keeps_its_time_limit(desk: Desk) -> None:
    desk.run(LEARN)
    desk.edit(
        "problem.pddl", "(at flour school))", "(at flour school) (< (battery red) 0))"
    )  # impossible, which takes the search long to prove
    answer = json.loads(desk.run(SOLVE + " --planner search --time-limit 0.3 --json", code=1))
    assert answer["status"] in ("time_limit", "unsolvable") and answer["seconds"] < 10


# --- cross validation -----------------------------------------------------------------------------


def make_data(folder: Path) -> None:
    """Trajectories with problems, out of the example's episodes: each ends where its problem wants
    to be.
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
        one = type(problem)(f"p{number}", episode.objects, states[0], goal)
        write_problem(one, true.vocabulary, folder / f"p{number}.pddl")


def test_evaluate(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(Path("data"))
    command = (
        "evaluate data --domain true.pddl --folds 2 --counts 1,2 --problems 1 --walk-steps 30 "
        "--jobs 1 --time-limit 5 --name vans"
    )
    done: list[tuple[int, int]] = []
    real = action_jobs._plan_row

    def interrupted(study: action_jobs.CrossValidation, *rest: object) -> dict:
        done.append((0, 0))
        if len(done) == 2:
            raise KeyboardInterrupt
        return real(study, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(action_jobs, "_plan_row", interrupted)
    assert main(["actions", *command.split()]) == 130
    (run,) = Path("runs/vans").iterdir()
    assert len(list((run / "jobs").glob("fold?-?.csv"))) == 1 and not (run / "summary.csv").exists()
    monkeypatch.setattr(action_jobs, "_plan_row", real)
    began = (run / "jobs" / "fold0-1.csv").stat().st_mtime_ns
    shown = desk.run(command)
    assert (
        "continuing" in desk.warnings and (run / "jobs" / "fold0-1.csv").stat().st_mtime_ns == began
    )
    assert "self-consistency" in shown and "run folder: runs/vans/" in shown
    metrics = pd.read_csv(run / "metrics.csv")
    assert metrics[["fold", "count"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    assert (
        (metrics["self_consistency"] == 1).all()
        and (metrics["precondition_precision"] == 1).all()
        and (metrics["effect_precision"] == 1).all()
    )
    assert (metrics["false_plans"] == 0).all() and (metrics["disagreements"] == 0).all()
    assert metrics["precondition_recall"].between(0, 1).all() and (metrics["problems"] == 1).all()
    for file in (
        "config.yaml",
        "versions.json",
        "actions.csv",
        "problems.csv",
        "results.csv",
        "report.html",
        "plots/learning_curve.png",
    ):
        assert (run / file).stat().st_size > 0, file
    actions = pd.read_csv(run / "actions.csv")
    assert len(actions) == 4 * 4 and (actions["precondition_learned_only"] == 0).all()
    answer = json.loads(desk.run(command + " --fresh --json"))
    assert [row["count"] for row in answer["results"]] == [1, 2] and answer["run"] != str(run)
    again = pd.read_csv(Path(answer["run"]) / "metrics.csv")
    times = ["learn_seconds", "plan_seconds"]
    pd.testing.assert_frame_equal(again.drop(columns=times), metrics.drop(columns=times))


def test_evaluate_finds_false_plans(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(Path("data"))

    def careless(model: object, problem: object, *_: object, **__: object) -> PlanResult:
        return PlanResult((("charge", "van1", "north"),), "satisficing", "careless", 0.1)

    monkeypatch.setattr(action_jobs, "solve", careless)
    answer = json.loads(
        desk.run(
            "evaluate data --domain true.pddl --folds 2 --counts 2 --problems 1 --walk-steps 5 "
            "--jobs 1 --json"
        )
    )
    (row,) = answer["results"]
    assert (
        row["false_plans"] == 2
        and row["false_plan_ratio_mean"] == 1
        and row["solved_mean"] == 0
        and row["satisficing"] == 2
    )


def test_evaluate_refuses(desk: Desk) -> None:
    make_data(Path("data"))
    base = "evaluate data --domain true.pddl --jobs 1"
    desk.refuses(base + " --folds 9", "--folds 9: there are 5 trajectories only")
    desk.refuses(base + " --folds 1", "--folds 1: give at least 2")
    desk.refuses(base + " --counts 5", "--counts 5: each fold leaves 4 trajectories")
    desk.refuses(base + " --counts few", "--counts few")
    desk.refuses(base + " --time-limit 0", "--time-limit 0")
    desk.refuses(base + " --jobs -1", "--jobs -1")
    desk.refuses(base.replace("true.pddl", f"{DELIVERY}/no.pddl"), "no.pddl")
    Path("data/p3.pddl").unlink()
    desk.refuses(base, "p3.pddl: no such file; a trajectory needs its problem beside it")


def test_fold_split_covers_everything_once() -> None:
    files = tuple(Path(f"p{i}") for i in range(11))
    study = action_jobs.CrossValidation(files, Path("d"), (1, 8), 4, 2, 5, 42, "search", 1.0, 100)
    held = [study.split(fold) for fold in range(4)]
    assert sorted(file for _, out in held for file in out) == sorted(files)
    assert all(
        not set(training) & set(out) and len(training) + len(out) == 11 for training, out in held
    )
    assert held == [study.split(fold) for fold in range(4)]
    with pytest.raises(DatasetError, match="nowhere"):
        action_jobs.true_model(Path("nowhere"))
