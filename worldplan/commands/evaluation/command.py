"""`worldplan evaluate RUN`: new episodes with the policies of a finished run, without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from worldplan.arguments import command_parser, parse_options
from worldplan.lists import items
from worldplan.milp.errors import ConfigError
from worldplan.runs import Run
from worldplan.world_models.folders import exclusive

FIRST_SEED = 100_000  # of the new episodes; trainings and their checks use smaller seeds
_ENVIRONMENT = str | dict[str, Any] | None  # type of the option


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
    parser.add_argument(
        "--environment",
        type=_ENVIRONMENT,
        default=None,
        help="of a run of 'worldplan fit' or 'worldplan run' on a dataset: an id or {id: ..., "
        "kwargs: ...}; another one than in the training with differs_from_data: true",
    )
    parser.add_argument("--video", action="store_true", help="film a success of a MoDem run")
    parser.add_argument(
        "--checkpoint",
        choices=("last", "best"),
        default="last",
        help="policies learned from data: the last, or each seed's of its best check",
    )
    parser.add_argument(
        "--estimate",
        choices=("", "fqe", "model"),
        default="",
        help="policies learned from data: fitted Q evaluation, or the return in an ensemble",
    )
    parser.add_argument("--data", type=str, default="", help="of --estimate: a dataset")
    parser.add_argument("--ensemble", type=str, default="", help="of --estimate model")
    parser.add_argument(
        "--updates", type=int, default=10_000, help="of --estimate fqe: gradient steps"
    )
    options = parse_options(parser, argv, {"environment": _ENVIRONMENT})
    if options.episodes < 1:
        raise ConfigError("--episodes must be at least 1")
    if options.updates < 1:
        raise ConfigError("--updates must be at least 1")
    run = Run.open(options.run)
    names = items(options.policies)
    evaluate = _evaluator(run, options)
    with exclusive(run.path):
        evaluate(run, options.episodes, names, FIRST_SEED)
    return 0


def _evaluator(run: Run, options: Any) -> Callable[[Run, int, list[str], int], Path]:
    """The function that evaluates runs of this kind and returns the CSV file.

    Raises:
        ConfigError: the run holds no policies, cannot be filmed, or does not fit an option.
    """
    config, video = run.config, options.video
    learned = not _is_modem(config) and ("methods" in config or "model" in config)
    for name in ("estimate", "data", "ensemble"):
        if getattr(options, name) and (not learned or not options.estimate):
            raise ConfigError(
                f"--{name}: off-policy estimates are for runs of 'worldplan run' and 'worldplan "
                "fit' on a dataset, and begin with --estimate fqe or --estimate model"
            )
    if options.environment is not None and (
        not learned or options.estimate or config.get("plane") is not None
    ):
        raise ConfigError(
            "--environment: only policies learned from a dataset are played in an environment of "
            "choice: leave it out"
        )
    if options.checkpoint != "last" and not learned:
        raise ConfigError(
            f"--checkpoint {options.checkpoint}: only runs of 'worldplan run' and 'worldplan fit' "
            "of policies learned from data keep their best policies: leave it out"
        )
    if _is_modem(config):
        from worldplan.commands.evaluation.modem import evaluate_modem

        return partial(evaluate_modem, video=video)
    if video:
        raise ConfigError(
            f"{run.path}: --video films runs of 'worldplan fit --config configs/modem/...' only"
        )
    if options.estimate:
        from worldplan.commands.evaluation.estimates import EstimateChoice, estimate_policies

        choice = EstimateChoice(options.estimate, options.data, options.ensemble, options.updates)
        return partial(estimate_policies, choice=choice, checkpoint=options.checkpoint)
    if learned:
        from worldplan.commands.evaluation.policies import evaluate_policies

        chosen = {"checkpoint": options.checkpoint, "environment": options.environment}
        return partial(evaluate_policies, **chosen)
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
