"""Policies learned from data as planners, restored from the record in a checkpoint."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor

from worldplan.envs.dynamics.arrays import tensor
from worldplan.envs.episodes import with_batch_axis
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.planners.base import Decision, Planner
from worldplan.renamed import refuse_renamed
from worldplan.world_models.training.checkpoints import (
    last_checkpoint,
    load_tensors,
    reading_checkpoint,
)


class RecordedPolicy(Planner):
    """A policy of one seed out of the record of a training, which holds those of all its seeds.

    Args:
        about: of the task it was trained for, see `OfflineTask`.
        seeds: how many policies its checkpoint holds.
        discount: gamma of its training; None: the method has none, or it is not recorded.
    """

    KEY: ClassVar[str]  # of the record in a checkpoint
    KIND: ClassVar[str]  # of checkpoint, for messages
    COMMAND: ClassVar[str]  # that makes one

    def __init__(
        self, about: dict[str, Any], seeds: int = 1, discount: float | None = None
    ) -> None:
        self.about, self.seeds, self.discount = about, seeds, discount

    @classmethod
    @abstractmethod
    def from_record(
        cls, record: dict[str, Any], seed_index: int = 0, source: str | Path = "policy record"
    ) -> Self:
        """The policy of one seed out of a record.

        Args:
            record: of a training.
            seed_index: which of the seeds, from 0.
            source: of the record, the beginning of the messages.

        Raises:
            CheckpointError: weights do not fit, or are not finite.
            ConfigError: the record holds no such seed.
        """

    @classmethod
    @abstractmethod
    def check_record(cls, record: dict[str, Any], source: Path) -> None:
        """Check the sizes and ranges in a record.

        Args:
            record: read from a checkpoint.
            source: the checkpoint.

        Raises:
            CheckpointError: one is wrong.
            ConfigError: a number is none.
        """

    @classmethod
    def load(cls, path: str | Path, seed_index: int = 0) -> Self:
        """A policy from a run folder or a checkpoint.

        Args:
            path: the folder or file.
            seed_index: which of the seeds trained side by side, from 0.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, or of another method.
            ConfigError: it holds no such seed.
        """
        return cls._loaded(path, cls._read(path), seed_index)

    @classmethod
    def load_all(cls, path: str | Path, content: Any = None) -> list[Self]:
        """The policies of all seeds of a run folder or a checkpoint.

        Args:
            path: the folder or file.
            content: of the checkpoint, where it is read already.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, or of another method.
        """
        record = cls._read(path, content)
        return [cls._loaded(path, record, index) for index in range(record["seeds"])]

    @classmethod
    def _loaded(cls, path: str | Path, record: dict[str, Any], seed_index: int) -> Self:
        """The policy of one seed out of a record read from `path`.

        Raises:
            CheckpointError: the record is damaged.
            ConfigError: it holds no such seed.
        """
        require_seed(record, seed_index)
        file = last_checkpoint(path)
        with reading_checkpoint(file, cls.KIND, cls.COMMAND):
            return cls.from_record(record, seed_index, file)

    @classmethod
    def _read(cls, path: str | Path, content: Any = None) -> dict[str, Any]:
        """The record in a checkpoint, or in the last checkpoint of a run folder.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, or of another method.
        """
        file = last_checkpoint(path)
        with reading_checkpoint(file, cls.KIND, cls.COMMAND):
            record = dict((load_tensors(file) if content is None else content)[cls.KEY])
        refuse_renamed(record.get("about"), file, "train again")
        with reading_checkpoint(file, cls.KIND, cls.COMMAND):
            checks.whole_number(record["seeds"], "seeds", least=1, most=10**6)
            cls.check_record(record, file)
        return record

    def plan(self, observation: Any) -> Decision:
        """Decide for one observation (observation,).

        Raises:
            ConfigError: the observation has another size than in training, or is not finite.
        """
        return self.plan_batch(with_batch_axis(observation))[0]


def require_seed(record: dict[str, Any], seed_index: int) -> None:
    """Check that a record holds a policy.

    Raises:
        ConfigError: it does not.
    """
    checks.whole_number(seed_index, "seed_index")
    if not 0 <= seed_index < record["seeds"]:
        raise ConfigError(
            f"seed {seed_index}: this checkpoint holds {record['seeds']} policies, counted from 0"
        )


def observed(observations: Any, size: int) -> Tensor:
    """Observations (batch, size) as a tensor of float32.

    Raises:
        ConfigError: they have another size than in training, or are not finite.
    """
    rows = tensor(observations, "observations", dtype=np.float32)
    if rows.ndim != 2 or rows.shape[-1] != size:
        raise ConfigError(
            f"observations have the shape {tuple(rows.shape)}, this policy was trained on {size} "
            f"numbers: give (batch, {size})"
        )
    if not bool(rows.isfinite().all()):
        raise ConfigError("observations are not all finite: look at the environment")
    return rows
