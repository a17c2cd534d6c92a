"""`worldplan evaluate RUN`: new episodes with the policies of a finished run, without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from worldplan.arguments import command_parser, parse_options
from worldplan.milp.errors import ConfigError
from worldplan.runs import Run
from worldplan.world_models.folders import exclusive

FIRST_SEED = 100_000  # of the new episodes; trainings and their checks use smaller seeds


def main(argv: Sequence[str]) -> int:
    """Entry of the command: prints a table, writes evaluation.csv into the run folder.

    Args:
        argv: the words after `worldplan evaluate`.

    Raises:
        ConfigError: the folder holds no finished run with policies, or lacks one of --policies.
        CheckpointError: a policy of the run cannot be read.
        FolderInUse: the run is not finished and goes on, or is evaluated by another process.
    """
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
    names = options.policies.split(",") if options.policies else []
    evaluate = _evaluator(run, options.video)
    with exclusive(run.path):
        evaluate(run, options.episodes, names, FIRST_SEED)
    return 0


def _evaluator(run: Run, video: bool) -> Callable[[Run, int, list[str], int], Path]:
    """The function that evaluates runs of this kind and returns the CSV file.

    Raises:
        ConfigError: the run holds no policies, or cannot be filmed.
    """
    config = run.config
    if _is_modem(config):
        from worldplan.commands.evaluation.modem import evaluate_modem

        return partial(evaluate_modem, video=video)
    if video:
        raise ConfigError(
            f"{run.path}: --video films runs of 'worldplan fit --config configs/modem/...' only"
        )
    if "methods" in config or "model" in config:
        from worldplan.commands.evaluation.policies import evaluate_policies

        return evaluate_policies
    if "programme" in config:
        from worldplan.commands.evaluation.bandits import evaluate_bandits

        return evaluate_bandits
    raise ConfigError(
        f"{run.path}: this run holds no policies: give the folder of 'worldplan bandits run', "
        "'worldplan run' or 'worldplan fit'"
    )


def _is_modem(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of a MoDem training."""
    model = config.get("model")
    return isinstance(model, dict) and str(model.get("class_path")).startswith(
        "worldplan.planners.modem.training."
    )
