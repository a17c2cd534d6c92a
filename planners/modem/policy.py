"""A trained MoDem agent as a planner, restored from a checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from worldplan.milp.errors import CheckpointError
from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.planner import ModemPlanner
from worldplan.planners.modem.settings import (
    HandoverSettings,
    LinearSchedule,
    ModemSettings,
    PlanningSettings,
)
from worldplan.planners.shooting.search import ShootingSettings
from worldplan.renamed import refuse_renamed
from worldplan.world_models.latent.settings import LatentSettings


def policy_record(agent: Modem, space: gym.Space, about: dict[str, Any]) -> dict[str, Any]:
    """Everything `load_policy` needs, out of tensors and plain values."""
    weights = {name: value.detach().cpu().clone() for name, value in agent.state_dict().items()}
    return {
        "settings": asdict(agent.settings),
        "space": _describe(space),
        "action_size": agent.action_size,
        "about": about,
        "weights": weights,
    }


def load_policy(
    path: str | Path, *, share: float = 1.0, device: str = "cpu"
) -> tuple[ModemPlanner, dict[str, Any]]:
    """The planner of a run folder or a checkpoint, and what it was trained for: environment,
    options, demonstrations.

    Args:
        share: 1 is the planner alone, 0 the behaviour clone.
    Raises CheckpointError when the file is missing, damaged or of another method.
    """
    file = Path(path)
    if file.is_dir():
        file = (
            file / "last.ckpt"
            if (file / "last.ckpt").exists()
            else file / "checkpoints" / "last.ckpt"
        )
    try:
        record = torch.load(file, weights_only=True, map_location="cpu")["modem"]
        agent = Modem(
            _space(record["space"]), record["action_size"], settings_of(record["settings"])
        )
        agent.load_state_dict(record["weights"])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{file}: no such checkpoint: train one with 'worldplan fit --config configs/modem/...'"
        ) from error
    except Exception as error:  # torch raises many types for a damaged file
        raise CheckpointError(
            f"{file}: not a checkpoint of MoDem ({type(error).__name__}): train again"
        ) from error
    refuse_renamed(record["about"], file, "train again")
    return ModemPlanner(agent.eval().to(device), share=share), dict(record["about"])


def settings_of(plain: dict[str, Any]) -> ModemSettings:
    """The inverse of `dataclasses.asdict`."""
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


def _describe(space: gym.Space) -> dict[str, Any]:
    """A Box, or a Dict of Boxes, as plain values; the key of a plain Box is ""."""
    parts = space.spaces if isinstance(space, gym.spaces.Dict) else {"": space}
    return {
        name: {"shape": list(part.shape or ()), "bytes": part.dtype == np.uint8}
        for name, part in parts.items()
    }


def _space(described: dict[str, Any]) -> gym.Space:
    def box(part: dict[str, Any]) -> gym.Space:
        shape = tuple(part["shape"])
        return (
            gym.spaces.Box(0, 255, shape, np.uint8)
            if part["bytes"]
            else gym.spaces.Box(-np.inf, np.inf, shape, np.float32)
        )

    parts = {name: box(part) for name, part in described.items()}
    return parts[""] if set(parts) == {""} else gym.spaces.Dict(parts)
