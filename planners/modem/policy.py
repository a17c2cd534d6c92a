"""Checkpoints of MoDem: what is saved of an agent, and how its planner is restored."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.planner import ModemPlanner
from worldplan.planners.modem.settings import (
    HandoverSettings,
    LinearSchedule,
    ModemSettings,
    PlanningSettings,
)
from worldplan.planners.shooting.settings import ShootingSettings
from worldplan.renamed import refuse_renamed
from worldplan.world_models.latent.settings import LatentSettings
from worldplan.world_models.training.checkpoints import (
    last_checkpoint,
    load_tensors,
    load_weights,
    reading_checkpoint,
)


def policy_record(agent: Modem, space: gym.Space[Any], about: dict[str, Any]) -> dict[str, Any]:
    """The record of an agent in a checkpoint, of tensors and plain values, for `load_policy`.

    Args:
        agent: the trained agent.
        space: of the observations.
        about: environment, options and demonstrations of the training, plain values.
    """
    weights = {name: value.detach().cpu().clone() for name, value in agent.state_dict().items()}
    return {
        "settings": asdict(agent.settings),
        "space": _plain(space),
        "action_size": agent.action_size,
        "about": about,
        "weights": weights,
    }


def load_policy(
    path: str | Path, *, share: float = 1.0, device: str = "cpu"
) -> tuple[ModemPlanner, dict[str, Any]]:
    """The planner of a run folder or a checkpoint, and what it was trained on: a dict with
    environment, options and demonstrations.

    Args:
        path: a checkpoint, or a run folder with last.ckpt or checkpoints/last.ckpt.
        share: of the planner in the acting: 1 is the planner alone, 0 the behaviour clone.
        device: of the networks.
    Raises:
        CheckpointError: the file is missing, damaged or of another method.
    """
    file = last_checkpoint(path)
    with reading_checkpoint(
        file, "a checkpoint of MoDem", "'worldplan fit --config configs/modem/...'"
    ):
        record = load_tensors(file)["modem"]
        agent = Modem(
            _space_of(record["space"]), record["action_size"], settings_of(record["settings"])
        )
        load_weights(agent, record["weights"], file)
        about = dict(record["about"])
    refuse_renamed(about, file, "train again")
    return ModemPlanner(agent.eval().to(device), share=share), about


def settings_of(plain: dict[str, Any]) -> ModemSettings:
    """Settings from their plain values: the inverse of `dataclasses.asdict`."""
    planning = dict(plain["planning"])
    nested = {
        "latent": LatentSettings(**plain["latent"]),
        "planning": PlanningSettings(
            **{**planning, "search": ShootingSettings(**planning["search"])}
        ),
        "handover": HandoverSettings(**plain["handover"]),
        "demonstration_share": LinearSchedule(**plain["demonstration_share"]),
    }
    return ModemSettings(**{**plain, **nested})


def _plain(space: gym.Space[Any]) -> dict[str, Any]:
    """A Box, or a Dict of Boxes, as plain values; the key of a plain Box is ""."""
    parts = space.spaces if isinstance(space, gym.spaces.Dict) else {"": space}
    return {
        name: {"shape": list(part.shape or ()), "bytes": part.dtype == np.uint8}
        for name, part in parts.items()
    }


def _space_of(plain: dict[str, Any]) -> gym.Space[Any]:
    """The inverse of `_plain`."""

    def box(part: dict[str, Any]) -> gym.spaces.Box:
        shape = tuple(part["shape"])
        return (
            gym.spaces.Box(0, 255, shape, np.uint8)
            if part["bytes"]
            else gym.spaces.Box(-np.inf, np.inf, shape, np.float32)
        )

    parts: dict[str, gym.Space[Any]] = {name: box(part) for name, part in plain.items()}
    return parts[""] if set(parts) == {""} else gym.spaces.Dict(parts)
