"""Return and CPU time of offline learners of other projects, from their own files, and of ours, on
the same data at the same sizes.

    python -m benchmarks.offline.peers DATASET [--python peers/bin/python] [--kit OfflineRL-Kit]
        [--corl CORL] [--methods ours/ravl kit/mopo] [--seeds 0 1 2 3] [--updates 12000]
        [--width 64] [--rates own]

DATASET is a Minari id or a file with simulator states. It is written as a D4RL-style file, from
which every method learns. --kit and --corl are checkouts of yihaosun1124/OfflineRL-Kit and
tinkoff-ai/CORL; --python is an interpreter with torch, gymnasium, h5py, tqdm, tensorboard and
pyrallis (and jax, flax, optax and chex for ReBRAC). Their training scripts run as they are, one
process per method and seed; what they import of gym, d4rl and wandb is in
benchmarks/offline/peer_modules.

Hidden layers have --width units where the script has a setting for it; TD3+BC of Kit, and IQL and
TD3+BC of CORL, have 256 fixed, so compare them with ours at --width 256. Learning rates and target
rate are those of our studies where the script has settings for them, or with --rates own the
script's. The batch is 256 everywhere. MOPO and MOBILE have the published penalty for medium-replay
data, and rollouts and ensemble of our sizes. Ours have the settings of --config, a study of
`worldplan run`, with the width, a batch of 256 and --updates. Model-based methods train their own
dynamics model, whose CPU time is part of theirs.

The return is that of the mean action in 10 episodes after the last update. CPU time is that of the
process with its children, with one thread. A finished method and seed is not repeated. Writes
benchmarks/offline/results/peers.csv and .md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from worldplan.files import read_mapping
from worldplan.planners.base import bootstrap
from worldplan.world_models.data.files import load_transitions, save_hdf5

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
KEYS = ("dataset", "method", "seed", "updates", "width", "rates")  # what a measurement is of
EPISODES = 10
EPOCHS = 4  # of Kit's scripts, which evaluate after each
# published for medium-replay data (scripts of OfflineRL-Kit): MOPO, MOBILE
PENALTIES = {"hopper": (2.5, 0.1), "halfcheetah": (0.5, 0.1), "walker2d": (2.5, 0.5)}
OUR_RATE, OUR_TARGET_RATE = 0.001, 0.03


@dataclass(frozen=True)
class Setup:
    """What all methods have in common."""

    task: str  # hopper, halfcheetah, walker2d
    environment: str
    data: Path
    updates: int
    width: int
    rates: str
    folder: Path


def kit(name: str, layers: int, extra: Callable[[Setup], dict[str, Any]]) -> Any:
    """The script and arguments of a method of OfflineRL-Kit."""

    def arguments(setup: Setup, seed: int) -> tuple[str, dict[str, Any]]:
        rates = {"actor-lr": OUR_RATE, "critic-lr": OUR_RATE, "tau": OUR_TARGET_RATE}
        if setup.rates == "ours" and name not in ("td3bc", "iql"):
            rates["alpha-lr"] = OUR_RATE
        if name == "iql":
            rates = rates | {"critic-q-lr": OUR_RATE, "critic-v-lr": OUR_RATE}
            del rates["critic-lr"]
        given = {
            "task": f"{setup.task}-own",
            "seed": seed,
            "epoch": EPOCHS,
            "step-per-epoch": setup.updates // EPOCHS,
            "eval_episodes": EPISODES,
            "device": "cpu",
            **({"hidden-dims": [setup.width] * layers} if layers else {}),
            **(rates if setup.rates == "ours" else {}),
            **extra(setup),
        }
        return f"run_example/run_{name}.py", given

    return arguments


def model_based(penalty: int) -> Callable[[Setup], dict[str, Any]]:
    """Rollouts and dynamics model of the sizes of our studies."""
    return lambda setup: {
        "rollout-freq": 250,
        "rollout-batch-size": 500,
        "rollout-length": 5,
        "model-retain-epochs": 20,
        "n-ensemble": 5,
        "n-elites": 4,
        "dynamics-hidden-dims": [64, 64],
        "dynamics-weight-decay": [2.5e-5, 5e-5, 1e-4],
        "penalty-coef": PENALTIES[setup.task][penalty],
    }


def corl(name: str, sized: bool) -> Any:
    """The script and arguments of a method of CORL; `sized` ones take width, rates and epochs."""

    def arguments(setup: Setup, seed: int) -> tuple[str, dict[str, Any]]:
        script, task = f"algorithms/offline/{name}.py", f"{setup.task}-own-v2"
        if not sized:
            steps = {"max_timesteps": setup.updates, "eval_freq": setup.updates}
            given = {"env": task, "seed": seed, "n_episodes": EPISODES, "device": "cpu", **steps}
            if setup.rates == "ours":
                given["tau"] = OUR_TARGET_RATE
            if setup.rates == "ours" and name == "iql":
                given |= dict.fromkeys(("vf_lr", "qf_lr", "actor_lr"), OUR_RATE)
            return script, given
        given = {
            "dataset_name" if name == "rebrac" else "env_name": task,
            "train_seed": seed,
            "hidden_dim": setup.width,
            "num_epochs": 1,
            "num_updates_on_epoch": setup.updates,
            "eval_every": 1,
            "eval_episodes": EPISODES,
            "batch_size": 256,
        }
        if setup.rates == "ours":
            given |= dict.fromkeys(("actor_learning_rate", "critic_learning_rate"), OUR_RATE)
            given["tau"] = OUR_TARGET_RATE
        return script, given

    return arguments


PEERS = {
    "kit/mopo": kit("mopo", 2, model_based(0)),
    "kit/mobile": kit("mobile", 2, model_based(1)),
    "kit/edac": kit("edac", 3, lambda setup: {"num-critics": 10}),
    "kit/iql": kit("iql", 2, lambda setup: {}),
    "kit/td3bc": kit("td3bc", 0, lambda setup: {}),
    "corl/edac": corl("edac", True),
    "corl/iql": corl("iql", False),
    "corl/td3_bc": corl("td3_bc", False),
    "corl/rebrac": corl("rebrac", True),
}
FIXED_WIDTH = dict.fromkeys(("kit/td3bc", "corl/iql", "corl/td3_bc"), 256)
OURS = (
    *("ours/base", "ours/mopo", "ours/mobile", "ours/ravl", "ours/layer_norm"),
    *("ours/td3_bc", "ours/iql"),
)


# --- processes ------------------------------------------------------------------------------------


def measured(command: list[str], folder: Path, log: str, extra: dict[str, str]) -> float:
    """Run a command with one thread in `folder`; its CPU seconds, with its children.

    Raises:
        SystemExit: it failed; names the file with its output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    variables = {**os.environ, **threads, "CUDA_VISIBLE_DEVICES": "", **extra}
    output = folder / log
    with output.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=file, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reasons = [line for line in lines if "Error" in line] or lines or ["no output"]
        raise SystemExit(f"{' '.join(command[:3])} failed: {reasons[-1]} ({output})")
    return usage.ru_utime + usage.ru_stime


def run_peer(
    method: str, setup: Setup, seed: int, checkout: Path, python: Path
) -> tuple[float, float]:
    """Mean return of the last episodes, and CPU seconds, of a peer's script."""
    script, given = PEERS[method](setup, seed)
    words = [
        word
        for name, value in given.items()
        for word in (f"--{name}", *map(str, value if isinstance(value, list) else [value]))
    ]
    folder = setup.folder / method / f"{setup.width}-{setup.rates}-{setup.updates}-{seed}"
    episodes = folder / "episodes.txt"
    episodes.unlink(missing_ok=True)
    extra = {
        "PYTHONPATH": os.pathsep.join((str(HERE / "peer_modules"), str(checkout))),
        "WORLDPLAN_PEER_ENVIRONMENT": setup.environment,
        "WORLDPLAN_PEER_DATA": str(setup.data),
        "WORLDPLAN_PEER_EPISODES": str(episodes),
        "JAX_PLATFORMS": "cpu",
    }
    command = [str(python), str(checkout / script), *words]
    if method == "corl/rebrac":
        command.insert(1, str(HERE / "peer_modules" / "with_jax_names.py"))
    seconds = measured(command, folder, "log.txt", extra)
    returns = np.loadtxt(episodes, ndmin=2)[:, 0]
    return float(returns[-EPISODES:].mean()), seconds


def run_ours(method: str, setup: Setup, seed: int, config: Path) -> tuple[float, float]:
    """Return and CPU seconds of a method of a study, with the training of its ensemble."""
    study = read_mapping(config)
    name = method.removeprefix("ours/")
    if name not in study["methods"]:
        raise SystemExit(
            f"{config}: has no method {name}: choose from {', '.join(study['methods'])}"
        )
    changes = {key: value for key, value in study["methods"][name].items() if key != "shares"}
    model_free = "algorithm" in changes
    ensemble, ensemble_seconds = (None, 0.0) if model_free else our_ensemble(setup)
    epochs = setup.updates // study["settings"]["updates"]
    study |= {
        "name": name,
        "data": {"dataset": str(setup.data), "threads": 1}
        | ({} if ensemble is None else {"ensemble": str(ensemble)}),
        "shares": [] if model_free else [0],
        "methods": {name: changes},
        "seeds": 1,
        "seed": seed,
        "side_by_side": 1,
        "epochs": epochs,
        "check_every": epochs,
        "save_every": epochs,
        "check_episodes": 1,
        "episodes": EPISODES,
    }
    study["settings"] |= {"hidden": [setup.width] * 2, "batch": 256}
    folder = setup.folder / method / f"{setup.width}-{setup.rates}-{setup.updates}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    command = [sys.executable, "-m", "worldplan", "run", "study.yaml", "--jobs", "1", "--fresh"]
    seconds = measured(command, folder, "log.txt", {})
    (summary, *_) = sorted((folder / "runs" / name).glob("[!.]*/summary.csv"), reverse=True)
    return float(pd.read_csv(summary)["mean"].iloc[0]), seconds + ensemble_seconds


def our_ensemble(setup: Setup) -> tuple[Path, float]:
    """The checkpoint of our ensemble for the data, trained once, and its CPU seconds."""
    folder = setup.folder / "ours" / "ensemble"
    result, seconds = folder / "ensemble.ckpt", folder / "cpu_seconds.txt"
    if not (result.exists() and seconds.exists()):
        config = HERE.parents[1] / "configs" / "ensemble" / "mujoco-small.yaml"
        command = [sys.executable, "-m", "worldplan", "fit", "--config", str(config), "--fresh"]
        command += [f"--model.init_args.data={setup.data}"]
        command += [f"--trainer.default_root_dir={folder}", "--trainer.enable_progress_bar=false"]
        used = measured(command, setup.folder / "ours", "ensemble.txt", {})
        seconds.write_text(f"{used}\n", encoding="utf-8")
    return result, float(seconds.read_text(encoding="utf-8"))


# --- table ----------------------------------------------------------------------------------------


def markdown(table: pd.DataFrame) -> str:
    """A row per method and size: mean return with interval over seeds, CPU minutes a seed."""
    lines = [
        "| dataset | method | width | rates | updates | seeds | return [95 %] "
        "| CPU minutes a seed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups = table.groupby(["dataset", "width", "rates", "updates", "method"], sort=False)
    for (dataset, width, rates, updates, method), rows in groups:
        interval = bootstrap(rows["return"].to_numpy())
        numbers = f"{interval['mean']:.0f} [{interval['low']:.0f}, {interval['high']:.0f}]"
        minutes = f"{rows['cpu_seconds'].mean() / 60:.1f}"
        lines.append(
            f"| {dataset} | {method} | {width} | {rates} | {updates} | {len(rows)} | {numbers} "
            f"| {minutes} |"
        )
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    """The options.

    Raises:
        SystemExit: an option is wrong.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the peers")
    parser.add_argument("--kit", type=Path, help="checkout of OfflineRL-Kit")
    parser.add_argument("--corl", type=Path, help="checkout of CORL")
    parser.add_argument("--methods", nargs="+", default=None, metavar="METHOD")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--updates", type=int, default=12_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument(
        "--rates", choices=("ours", "own"), default="ours", help="of the peers, where settable"
    )
    parser.add_argument("--config", type=Path, help="study with our settings and methods")
    parser.add_argument("--workspace", type=Path, default=Path("runs/peers"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    checkouts = {"kit": options.kit, "corl": options.corl}
    if options.methods is None:
        options.methods = [*OURS, *(name for name in PEERS if checkouts[name.split("/")[0]])]
    for name in options.methods:
        family = name.split("/")[0]
        if name not in PEERS and family != "ours":
            parser.error(f"--methods {name}: choose from ours/..., {', '.join(PEERS)}")
        if name in PEERS and not (checkouts[family] and checkouts[family].is_dir()):
            parser.error(f"--methods {name}: give the checkout of its project with --{family}")
    if options.updates < 1 or options.updates % 500:  # four epochs of Kit, ours of 250
        parser.error(f"--updates {options.updates}: give a multiple of 500")
    return options


def main() -> None:
    """Command line."""
    options = parse()
    data = load_transitions(options.dataset)
    environment = str(data.metadata["env_id"])
    task = environment.rpartition(":")[2].partition("-")[0].lower()
    if task not in PENALTIES:
        raise SystemExit(f"{options.dataset}: {environment} is none of {', '.join(PENALTIES)}")
    name = Path(options.dataset).name
    folder = options.workspace.resolve() / name
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "data.hdf5"
    if not file.exists():
        save_hdf5(data, file)
    config = options.config or HERE.parents[1] / f"configs/ravl/true_dynamics_{task}.yaml"
    table_file = options.results / "peers.csv"
    options.results.mkdir(parents=True, exist_ok=True)
    rows = pd.read_csv(table_file).to_dict("records") if table_file.exists() else []
    for seed in options.seeds:
        for method in options.methods:
            width = FIXED_WIDTH.get(method, options.width)
            setup = Setup(task, environment, file, options.updates, width, options.rates, folder)
            key = (name, method, seed, options.updates, width, options.rates)
            if any(tuple(row[column] for column in KEYS) == key for row in rows):
                continue
            family = method.split("/")[0]
            if family == "ours":
                score, seconds = run_ours(method, setup, seed, config.resolve())
            else:
                checkout = getattr(options, family).resolve()
                score, seconds = run_peer(method, setup, seed, checkout, options.python.absolute())
            rows.append(
                {**dict(zip(KEYS, key, strict=True)), "return": score, "cpu_seconds": seconds}
            )
            table = pd.DataFrame(rows)
            table.to_csv(table_file, index=False, float_format="%.3f")
            (options.results / "peers.md").write_text(markdown(table), encoding="utf-8")
            print(f"{method} seed {seed}: return {score:.1f}, {seconds / 60:.1f} CPU minutes")


if __name__ == "__main__":
    main()
