"""The learned policies by name: from settings or a checkpoint to a planner."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worldplan.extras import install_command, is_installed
from worldplan.milp.errors import ConfigError, MissingExtra
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings, refuse_unsuited
from worldplan.planners.base import Planner

if TYPE_CHECKING:
    from worldplan.planners.bandits.policies import PolicyContext


def check_learned(context: PolicyContext, network: str) -> None:
    """Refuse what a policy with networks of a kind cannot be made for.

    Raises:
        ConfigError: the network cannot learn the programme's returns.
        MissingExtra: torch or lightning is not installed.
    """
    refuse_unsuited(context.instance, network)
    for module in ("torch", "lightning"):
        if not is_installed(module):
            raise MissingExtra(
                f"policies with networks need {module}, which is not installed: "
                f"{install_command(module, __name__)}, or name other policies: "
                "--policies null,random,myopic,whittle,fluid"
            )


def load_sequoia(context: PolicyContext) -> Planner | None:
    """The planner of the context's checkpoint, or None if it has none.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another programme.
        ConfigError: as in `check_learned`.
        MissingExtra: as there.
    """
    check_learned(context, context.sequoia.network)
    if context.checkpoint is None:
        return None
    return _of_checkpoints(context.checkpoint, context)


def _of_checkpoints(paths: str | Sequence[Path], context: PolicyContext) -> Planner:
    """The planner of trained networks, of the kind that the first file holds."""
    from worldplan.planners.bandits.sequoia.checkpoint_files import checkpoint_files, read
    from worldplan.planners.bandits.sequoia.planner import SequoiaPlanner  # torch takes a second
    from worldplan.planners.bandits.sequoia.shared.planner import SharedPlanner

    instance, solver = context.instance, context.solver
    network = read(checkpoint_files(paths)[0]).settings.network
    refuse_unsuited(instance, network)
    if network != "shared":
        return SequoiaPlanner.load(paths, instance, solver)
    return SharedPlanner.load(paths, instance, solver, dynamics=context.models, later=context.later)


def make_sequoia(context: PolicyContext) -> Planner:
    """The planner of the policy "sequoia", which is trained unless there is a checkpoint.

    Raises:
        CheckpointError: as in `load_sequoia`.
        ConfigError: as in `trained`.
        MissingExtra: as in `check_learned`.
    """
    return load_sequoia(context) or trained("sequoia", context.sequoia, context)


def trained(name: str, settings: SequoiaSettings, context: PolicyContext) -> Planner:
    """A planner of the SEQUOIA family, trained with `settings`; one network per model.

    Args:
        name: of the policy, for errors.
        settings: of the training.
        context: of the policy.

    Raises:
        ConfigError: there is no folder to train in.
    """
    check_learned(context, settings.network)
    if context.folder is None:
        raise ConfigError(
            f"policy '{name}' must be trained: run the scenario first and give its checkpoint "
            "(--checkpoint RUN), or choose fluid"
        )
    # Lightning takes seconds to import
    from worldplan.planners.bandits.sequoia.greedy import greedy_planner
    from worldplan.planners.bandits.sequoia.planner import load_network
    from worldplan.planners.bandits.sequoia.training import module_for
    from worldplan.world_models.training.trainer import fit

    instance, seed, solver = context.instance, context.seed, context.solver
    if settings.argmax == "greedy":
        path = fit(module_for(instance, settings, seed, solver), context.folder)
        return greedy_planner(instance, load_network(path, instance))
    paths = []
    for member, model in enumerate(context.models or [instance.dynamics]):
        folder = context.folder / f"member{member}" if context.models else context.folder
        member_instance = dataclasses.replace(instance, dynamics=model)
        paths.append(fit(module_for(member_instance, settings, seed, solver), folder))
    return _of_checkpoints(paths, context)
