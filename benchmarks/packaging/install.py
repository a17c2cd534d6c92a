"""What each extra installs, from a built wheel into an empty environment: distributions, megabytes,
seconds, and seconds to a first decision; and the CPU seconds of every command's --help.

    python -m benchmarks.packaging.install

Packages come from the machine's index, in the versions of constraints.txt; a pip cache makes the
seconds of an installation shorter, and a busy machine makes all seconds longer.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from worldplan.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results")
EXTRAS = ("", "sequoia", "serve", "gurobi", "pddl", "video", "ray", "rl", "tensorboard", "hub")
EXTRAS += ("adroit", "engines", "docs", "all")
LOG = "configs/bandits/example_log"
DECISION = ("bandits", "decide", "configs/bandits/clinic.yaml", "--state", f"{LOG}/today.csv")
REPEATS = 3  # of --help; the least counts


def build_wheel(folder: Path) -> Path:
    """The wheel of this repository, in `folder`."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


def measure(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """(seconds, CPU seconds) of a command with its children, in `folder`.

    Raises:
        CalledProcessError: it fails.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


def installed(extra: str, wheel: Path, folder: Path) -> dict[str, object]:
    """The row of an extra; "" for the core."""
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    target = f"worldplan[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
    install = [str(programs / "pip"), "install", "-q", "-c", str(ROOT / "constraints.txt"), target]
    seconds, _ = measure(install, folder)
    packages = next(folder.glob("lib/python*/site-packages"))
    ours = ("pip", "setuptools", "wheel")
    names = [path for path in packages.glob("*.dist-info") if not path.name.startswith(ours)]
    size = sum(file.lstat().st_size for file in packages.rglob("*") if file.is_file())
    size -= sum(file.lstat().st_size for file in (packages / "pip").rglob("*") if file.is_file())
    with tempfile.TemporaryDirectory() as empty:
        first, cpu = measure([str(programs / "worldplan"), *DECISION], Path(empty))
        again, _ = measure([str(programs / "worldplan"), *DECISION], Path(empty))
    return {
        "extra": extra or "(none)",
        "distributions": len(names),
        "megabytes": round(size / 1e6),
        "install_seconds": round(seconds, 1),
        "first_decision_seconds": round(first, 1),
        "second_decision_seconds": round(again, 1),
        "first_decision_cpu_seconds": round(cpu, 1),
    }


def help_seconds(program: Path) -> pd.DataFrame:
    """CPU seconds of `worldplan COMMAND --help`, the least of three, by command."""
    rows = []
    with tempfile.TemporaryDirectory() as empty:
        for name in ("", *COMMANDS):
            words = [str(program), *name.split(), "--help"]
            least = min(measure(words, Path(empty))[1] for _ in range(REPEATS))
            rows.append({"command": name or "(none)", "help_cpu_seconds": round(least, 2)})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", nargs="*", default=EXTRAS, help="'' is the core")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as place:
        wheel = build_wheel(Path(place))
        print(f"wheel: {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
        for extra in options.extras:
            with tempfile.TemporaryDirectory(dir=place) as folder:
                rows.append(installed(extra, wheel, Path(folder)))
                print(rows[-1], flush=True)
                pd.DataFrame(rows).to_csv(options.results / "install.csv", index=False)
                if not extra:
                    table = help_seconds(Path(folder) / "bin" / "worldplan")
                    table.to_csv(options.results / "help.csv", index=False)


if __name__ == "__main__":
    main()
