"""`worldplan evaluate RUN`: more episodes with the policies of a finished run, without training
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from worldplan.arguments import command_parser, parse_options
from worldplan.commands.bandits.jobs import Job, make_planner, training_folder
from worldplan.commands.bandits.scenario import scenario_from_dict
from worldplan.envs.bandits.environment import BanditVectorEnv
from worldplan.milp.errors import ConfigError
from worldplan.planners.base import bootstrap, evaluate
from worldplan.runs import CONFIG, SUMMARY, Run
from worldplan.world_models.arms.programme import build

_NEW_LUCK = 100_000  # added to the run's seeds, so that these episodes are new ones


def main(argv: Sequence[str]) -> int:
    """Entry of the command."""
    parser = command_parser("evaluate", "Play new episodes with a finished run's policies.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--episodes", type=int, default=50, help="per policy and seed")
    parser.add_argument(
        "--policies", type=str, default="", help="comma-separated; all of the run when empty"
    )
    parser.add_argument("--video", action="store_true", help="film a success of a MoDem run")
    options = parse_options(parser, argv)
    if options.episodes < 1:
        raise ConfigError("--episodes must be at least 1")
    run = Run.open(options.run)
    config = run.config
    wanted = options.policies.split(",") if options.policies else []
    model = config.get("model")
    if isinstance(model, dict) and str(model.get("class_path")).startswith(
        "worldplan.planners.modem.training."
    ):
        from worldplan.commands.evaluation.modem import evaluate_modem

        evaluate_modem(run, options.episodes, wanted, video=options.video)
        return 0
    if options.video:
        raise ConfigError(
            f"{run.path}: --video films runs of 'worldplan fit --config configs/modem/...' only"
        )
    if "methods" in config or "model" in config:
        from worldplan.commands.evaluation.policies import evaluate_policies

        path = evaluate_policies(run, options.episodes, wanted)
        Console().print(f"written to {path}")
        return 0
    if "programme" not in config:
        raise ConfigError(
            f"{run.path}: this run holds no policies: give the folder of 'worldplan bandits run', 'worldplan run' or 'worldplan fit'"
        )
    scenario = scenario_from_dict(config, run.path / CONFIG)
    if not (run.path / SUMMARY).is_file():
        raise ConfigError(
            f"{run.path}: this run is not finished: repeat its 'worldplan bandits run' command, which continues it"
        )
    policies = wanted or scenario.policy_list()
    unknown = [policy for policy in policies if policy not in scenario.policy_list()]
    if unknown:
        raise ConfigError(
            f"--policies: {', '.join(unknown)} is not in this run: choose from {', '.join(scenario.policy_list())}"
        )
    base = Path(config.get("base", "."))
    shown = Table(
        title=f"{options.episodes} new episodes per policy and seed: mean reward per step"
    )
    for column in ("policy", "seed", "mean", "95 % interval"):
        shown.add_column(column)
    rows = []
    for policy in policies:
        for seed in scenario.seed_list():
            built = build(scenario.programme, base, scenario.programme.seed + seed)
            planner = make_planner(
                policy,
                built,
                scenario,
                seed,
                training_folder(Job(run.path, scenario, base, policy, seed)),
            )
            result = evaluate(
                planner,
                BanditVectorEnv(built.instance, options.episodes),
                options.episodes,
                seed + _NEW_LUCK,
            )
            figures = bootstrap(result.episodes["return"].to_numpy() / built.instance.horizon)
            shown.add_row(
                policy,
                str(seed),
                f"{figures['mean']:.3f}",
                f"{figures['low']:.3f} .. {figures['high']:.3f}",
            )
            rows.append({"policy": policy, "seed": seed, **figures, "episodes": options.episodes})
    Console().print(shown)
    Console().print(f"written to {run.write_csv('evaluation.csv', pd.DataFrame(rows))}")
    return 0
