"""Every kind of file that a command reads: valid files, and the command that reads them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[2]
DELIVERY = ROOT / "configs" / "actions" / "delivery"
Main = Callable[[list[str]], int]

ARMS, STATES = "abcd", 2
TABLES = {
    "rewards.csv": "arm,state,reward\n" + "".join(f"{a},{s},{s}\n" for a in ARMS for s in (0, 1)),
    "transitions.csv": "arm,state,action,next_state,probability\n"
    + "".join(
        f"{a},{s},{k},{t},{0.3 + 0.4 * (t == k)}\n"
        for a in ARMS
        for s in (0, 1)
        for k in (0, 1)
        for t in (0, 1)
    ),
    "today.csv": "arm,state\na,0\nb,1\nc,0\nd,1\n",
    "start.csv": "arm,state\na,1\nb,1\nc,0\nd,1\n",
    "costs.csv": "arm,cost\na,2\nb,3\nc,4\nd,1\n",
    "workers.csv": "worker,capacity\nx,4\ny,3\n",
    "slots.csv": "arm,slot\na,9:00\na,10:00\nb,9:00\nb,10:00\nc,9:00\nd,10:00\n",
    "shifts.csv": "worker,slot\nx,9:00\nx,10:00\ny,9:00\n",
    "links.csv": "from,to\na,b\nb,c\nc,d\n",
    "stations.csv": "id,name,latitude,longitude\n"
    + "".join(f"{a},{a},{51.5 + number / 10},{number / 7:.3f}\n" for number, a in enumerate(ARMS)),
    "log.csv": "arm,state,action,next_state\na,0,1,1\nb,1,0,0\nc,1,1,1\n",
}
CONSTRAINTS: dict[str, dict[str, Any]] = {
    "budget": {"kind": "budget", "budget": 1},
    "capacity": {"kind": "capacity", "costs": "costs.csv", "workers": "workers.csv"},
    "schedule": {
        "kind": "schedule",
        "arm_slots": "slots.csv",
        "workers": "shifts.csv",
        "visits": 1,
    },
    "path": {
        "kind": "path",
        "connections": "links.csv",
        "stations": "stations.csv",
        "source": "a",
        "budget": 2,
    },
}
SOURCES = {
    "transitions": {"transitions": "transitions.csv"},
    "log": {"log": "log.csv", "members": 2, "prior_strength": 2.0},
}
SEQUOIA = {
    "hidden": [4],
    "pretrain_steps": 2,
    "updates": 2,
    "solves": 1,
    "episodes": 2,
    "batch": 4,
    "pool": 8,
    "replay": 20,
    "check_every": 2,
    "check_episodes": 1,
}
STUDY = {
    "name": "tiny",
    "plane": {"goal": [0.4, 0.1], "width": 0.4, "height": 1.0},
    "settings": {
        "critics": 2,
        "diversity": 0.0,
        "hidden": [4, 4],
        "batch": 4,
        "horizon": 2,
        "starts": 4,
        "retain": 1,
        "updates": 1,
        "real_share": 0.0,
        "discount": 0.97,
    },
    "seeds": 1,
    "side_by_side": 1,
    "epochs": 1,
    "check_every": 1,
    "save_every": 1,
    "check_episodes": 1,
    "episodes": 1,
    "methods": {"base": {}, "mopo": {"pessimism": {"penalty": "ensemble_std", "weight": 2.0}}},
}
FIT = {
    "seed_everything": 0,
    "model": {
        "class_path": "worldplan.world_models.ensemble.training.for_dataset",
        "init_args": {
            "data": "data.npz",
            "settings": {
                "members": 2,
                "elites": 1,
                "hidden": [4],
                "weight_decay": [1e-4, 1e-4],
                "batch": 8,
                "epochs": 1,
            },
        },
    },
    "trainer": {"default_root_dir": "trained", "enable_progress_bar": False},
}


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        name: of the reader.
        file: the file that is mutated, in the folder of the valid files.
        argv: the command.
        slow: whether a run takes more than a second.
    """

    name: str
    file: str
    argv: tuple[str, ...]
    slow: bool = False

    @property
    def is_text(self) -> bool:
        return Path(self.file).suffix not in (".npz", ".hdf5", ".ckpt", ".pt", ".png", ".svg")


def _scenario(source: str, constraint: str) -> str:
    programme = {
        **SOURCES[source],
        "rewards": "rewards.csv",
        "start": "start.csv",
        "horizon": 4,
        "constraint": CONSTRAINTS[constraint],
    }
    rest = {"policies": ["random", "whittle", "fluid", None], "seeds": "0..1", "episodes": 2}
    solver = {"name": "highs", "gap": 0.001, "time_limit": 10.0}
    return yaml.safe_dump({"name": "s", "programme": programme, "solver": solver, **rest})


def write_files(folder: Path, main: Main, *, slow: bool) -> None:
    """Write all valid files into the folder, with the commands themselves.

    Args:
        folder: is empty.
        main: runs a command in the folder.
        slow: whether slow commands may be run.
    """
    for name, text in TABLES.items():
        (folder / name).write_text(text)
    for source in SOURCES:
        for constraint in CONSTRAINTS:
            name = f"{source}-{constraint}.yaml"
            (folder / name).write_text(_scenario(source, constraint))
    generated = {
        "name": "g",
        "programme": {"domain": "capacity", "arms": 4, "budget": 2, "states": 3, "horizon": 3},
        "policies": ["random", "sequoia"],
        "seeds": 0,
        "episodes": 2,
        "sequoia": SEQUOIA,
        "fluid_window": 2,
        "samples": 3,
    }
    (folder / "generated.yaml").write_text(yaml.safe_dump(generated))
    (folder / "states.csv").write_text("arm,state\n" + "".join(f"{arm},0\n" for arm in range(4)))
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    (folder / "fit.yaml").write_text(yaml.safe_dump(FIT, sort_keys=False))
    _write_datasets(folder)
    _write_planning(folder, main)
    runs = [(["bandits", "run", "generated.yaml", "--jobs", "1"], "bandit")]
    if slow:
        runs.append((["run", "study.yaml", "--jobs", "1"], "study"))
    for command, name in runs:
        assert main([*command, "--runs", "made"]) == 0
        run = next((folder / "made").rglob("config.yaml")).parent
        (folder / "runs").mkdir(exist_ok=True)
        shutil.move(run, folder / "runs" / name)
        shutil.rmtree(folder / "made")


def _write_datasets(folder: Path) -> None:
    from worldplan.world_models.data.files import save_transitions
    from worldplan.world_models.data.transitions import Transitions

    rng = np.random.default_rng(0)
    lengths = [3, 4, 5]
    states = [rng.standard_normal((length + 1, 2)) for length in lengths]
    last = np.concatenate([np.arange(length) == length - 1 for length in lengths])
    episode = np.repeat(np.arange(3), lengths)
    data = Transitions(
        observation=np.concatenate([rows[:-1] for rows in states]),
        next_observation=np.concatenate([rows[1:] for rows in states]),
        action=rng.uniform(-1, 1, (12, 1)),
        reward=rng.standard_normal(12),
        terminated=last & (episode == 1),
        truncated=last & (episode != 1),
        episode=episode,
        state=rng.standard_normal((12, 3)),
        metadata={
            "env_id": "Pendulum-v1",
            "seed": 0,
            "policy": "random",
            "qpos_size": 1,
            "ref_min_score": -1.0,
            "ref_max_score": 5.5,
            "action_low": [-1.0],
            "action_high": [1.0],
        },
    )
    for name in ("data.npz", "data.hdf5", "fuzz/data-v0"):
        save_transitions(data, folder / name if "." in name else name)  # the last is a Minari id


def _write_planning(folder: Path, main: Main) -> None:
    for name in ("log.csv", "declarations.yaml"):
        shutil.copy(DELIVERY / name, folder / f"delivery-{name}")
    shutil.copy(DELIVERY / "domain.pddl", folder / "vocabulary.pddl")
    learn = ["actions", "learn", "delivery-log.csv", "--domain", "vocabulary.pddl"]
    for output in ("model.json", "domain.pddl"):
        known = ["--declare", "delivery-declarations.yaml"]
        assert main([*learn, *known, "-o", output]) == 0
    shutil.copy(DELIVERY / "problem.pddl", folder / "problem.pddl")
    assert main(["actions", "solve", "model.json", "problem.pddl", "-o", "plan.txt"]) == 0
    (folder / "walk.trajectory").write_text(
        "((:init (at red depot) (at books depot) (charger depot) (= (battery red) 12) "
        "(= (full red) 35.5) (= (cargo red) 0) (= (limit red) 20) (= (weight books) 15/2)\n"
        "(= (distance depot school) 3) (= (distance school depot) 3))\n"
        "(operator: (drive red depot school))\n"
        "(:state (at red school) (at books depot) (charger depot) (= (battery red) 9) "
        "(= (full red) 35.5) (= (cargo red) 0) (= (limit red) 20) (= (weight books) 7.5)\n"
        "(= (distance depot school) 3) (= (distance school depot) 3))\n)\n"
    )
    (folder / "walk.pddl").write_text(
        "(define (problem walk) (:domain delivery)\n(:objects depot school - place red - van books"
        " - parcel)\n(:init)\n(:goal (and)))\n"
    )


def kinds(folder: Path) -> list[Kind]:
    """All kinds, for the valid files in `folder`."""
    found = [
        Kind("scenario", "transitions-capacity.yaml", _decide("transitions-capacity")),
        Kind("scenario", "log-budget.yaml", _decide("log-budget")),
        Kind("scenario", "log-path.yaml", ("bandits", "bound", "log-path.yaml")),
        Kind(
            "scenario run",
            "transitions-budget.yaml",
            ("bandits", "run", "transitions-budget.yaml", "--jobs", "1"),
            slow=True,
        ),
        Kind("scenario", "generated.yaml", ("bandits", "bound", "generated.yaml")),
        Kind("study", "study.yaml", ("run", "study.yaml", "--jobs", "1"), slow=True),
        Kind("fit", "fit.yaml", ("fit", "--config", "fit.yaml"), slow=True),
        Kind("declarations", "delivery-declarations.yaml", _learn(declared=True)),
        Kind("domain", "vocabulary.pddl", _learn()),
        Kind("domain", "domain.pddl", ("actions", "validate", "domain.pddl", *_TASK)),
        Kind("problem", "problem.pddl", ("actions", "validate", "domain.pddl", *_TASK)),
        Kind("problem", "problem.pddl", ("actions", "solve", "domain.pddl", "problem.pddl")),
        Kind("plan", "plan.txt", ("actions", "validate", "domain.pddl", *_TASK)),
        Kind("model", "model.json", ("actions", "validate", "model.json", *_TASK)),
        Kind("model", "model.json", ("actions", "solve", "model.json", "problem.pddl")),
        Kind("action log", "delivery-log.csv", _learn()),
        Kind("trajectory", "walk.trajectory", _learn("walk.trajectory")),
        Kind("trajectory", "walk.pddl", _learn("walk.trajectory")),
        Kind("npz", "data.npz", ("data", "describe", "data.npz")),
        Kind("npz", "data.npz", ("data", "convert", "data.npz", "new.hdf5")),
        Kind("hdf5", "data.hdf5", ("data", "describe", "data.hdf5")),
        Kind("hdf5", "data.hdf5", ("data", "convert", "data.hdf5", "new.npz")),
    ]
    for name in TABLES:
        constraint = {
            "costs.csv": "capacity",
            "workers.csv": "capacity",
            "slots.csv": "schedule",
            "shifts.csv": "schedule",
            "links.csv": "path",
            "stations.csv": "path",
        }.get(name, "budget")
        source = "log" if name == "log.csv" else "transitions"
        found.append(Kind("bandit table", name, _decide(f"{source}-{constraint}")))
    for file in sorted((folder / "fuzz").rglob("*.*")):
        if file.is_file() and not file.name.startswith("."):
            name = str(file.relative_to(folder))
            found.append(Kind("minari", name, ("data", "describe", "fuzz/data-v0")))
    for run in sorted(path.name for path in (folder / "runs").iterdir()):
        for name in ("config.yaml", "seed", "versions.json", "summary.csv"):
            file = f"runs/{run}/{name}"
            found.append(Kind("run folder", file, ("report", f"runs/{run}")))
        play = ("evaluate", f"runs/{run}", "--episodes", "1")
        for name in ("config.yaml", "seed"):
            found.append(Kind("run folder", f"runs/{run}/{name}", play, slow=True))
        for file in sorted((folder / "runs" / run).rglob("*.ckpt"))[:2]:
            found.append(Kind("checkpoint", str(file.relative_to(folder)), play, slow=True))
    checkpoint = next((folder / "runs" / "bandit").rglob("best.ckpt"), None)
    if checkpoint is not None:
        name = str(checkpoint.relative_to(folder))
        options = ("--state", "states.csv", "--policy", "sequoia", "--checkpoint", name)
        found.append(Kind("checkpoint", name, ("bandits", "decide", "generated.yaml", *options)))
    return found


_TASK = ("problem.pddl", "plan.txt")


def _decide(scenario: str) -> tuple[str, ...]:
    reasons = ("--reasons", "60")  # time enough that none is left out on a busy machine
    return ("bandits", "decide", f"{scenario}.yaml", "--state", "today.csv", *reasons)


def _learn(source: str = "delivery-log.csv", *, declared: bool = False) -> tuple[str, ...]:
    known = ("--declare", "delivery-declarations.yaml") if declared else ()
    options = ("--domain", "vocabulary.pddl", *known, "-o", "new.json")
    return ("actions", "learn", source, *options)


def special_files(path: Path, number: int) -> str:
    """Put something that is no plain file in the place of `path`; returns its name."""
    path.unlink()
    kind = ("folder", "pipe", "loop", "dangling", "zero", "missing", "empty")[number % 7]
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "empty":
        path.touch()
    return kind
