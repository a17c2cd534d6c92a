"""The best policies of a training beside the last ones: a later check may be worse than an earlier
one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from worldplan.milp.errors import CheckpointError
from worldplan.planners.offline.options.cost_settings import CostConstraint
from worldplan.world_models.training.checkpoints import save_tensors, saved_entry
from worldplan.world_models.training.module import ResumableModule

BEST = "best.ckpt"
CHOSEN_BY = "mean return of the checks' episodes in the environment"
WITHIN = ", among checks whose mean discounted cost is within the budget"


class BestCheckpoint(L.Callback):
    """Keeps each seed's policy of its best check in best.ckpt, beside last.ckpt.

    A policy is chosen by check/return, the mean return of a check. With a budget of costs, a check
    within the budget comes before every other, and of checks beyond it the least cost counts. The
    earlier of two equal checks is kept. The state is part of last.ckpt, from which a training
    resumes, so a resumed training keeps what an unbroken one keeps.

    Args:
        seeds: trainings side by side.
        budget: of check/discounted_cost, or None.
    """

    def __init__(self, seeds: int, budget: float | None = None) -> None:
        self.seeds, self.budget = seeds, budget
        self._record: dict[str, Any] | None = None
        self._epoch = torch.zeros(seeds, dtype=torch.long)
        self._return = torch.full((seeds,), -torch.inf, dtype=torch.float64)
        self._excess = torch.full((seeds,), torch.inf, dtype=torch.float64)

    def state_dict(self) -> dict[str, Any]:
        """The best policies so far, with epoch, return and excess of the costs, each (seeds,)."""
        if self._record is None:
            return {}
        return {
            "record": self._record,
            "epoch": self._epoch,
            "return": self._return,
            "excess": self._excess,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The best policies of the training that is resumed."""
        if state_dict:
            self._record = state_dict["record"]
            self._epoch, self._return = state_dict["epoch"], state_dict["return"]
            self._excess = state_dict["excess"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write best.ckpt again where a resumed training has lost it."""
        folder = _folder(pl_module)
        if self._record is not None and folder is not None and not (folder / BEST).exists():
            self._write(pl_module, folder)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the policies of the seeds whose check is their best."""
        folder = _folder(pl_module)
        if trainer.state.fn != "fit" or folder is None:
            return
        returns, excess = self._checked(trainer)
        better = (excess < self._excess) | ((excess == self._excess) & (returns > self._return))
        if not bool(better.any()):
            return
        assert isinstance(pl_module, ResumableModule)
        record = pl_module.record()
        if self._record is None:  # a seed whose check is no number has its first policy
            self._record = record
        self._record = merged(self._record, record, better)
        self._epoch = torch.where(better, trainer.current_epoch + 1, self._epoch)
        self._return = torch.where(better, returns, self._return)
        self._excess = torch.where(better, excess, self._excess)
        self._write(pl_module, folder)

    def _checked(self, trainer: L.Trainer) -> tuple[Tensor, Tensor]:
        """Return, and cost beyond the budget, of each seed in this check, (seeds,) float64 both; a
        check without a number is the worst.
        """

        def metric(name: str, missing: float) -> Tensor:
            values = [trainer.callback_metrics.get(f"{name}/{i}") for i in range(self.seeds)]
            numbers = [missing if value is None else float(value) for value in values]
            return torch.tensor(numbers, dtype=torch.float64).nan_to_num(missing)

        returns = metric("check/return", -torch.inf)
        if self.budget is None:
            return returns, torch.zeros_like(returns)
        return returns, (metric("check/discounted_cost", torch.inf) - self.budget).clamp_min(0)

    def _limit(self) -> str:
        """What the choice says about costs."""
        if self.budget is None:
            return ""
        return WITHIN if bool(self._excess.isfinite().any()) else ", whose costs are unknown"

    def _write(self, module: L.LightningModule, folder: Path) -> None:
        assert isinstance(module, ResumableModule)
        about = {
            "epoch": self._epoch.tolist(),
            "return": self._return.tolist(),
            "chosen_by": CHOSEN_BY + self._limit(),
        }
        save_tensors({module.KEY: self._record, "best": about}, folder / BEST)


def budget_of(costs: CostConstraint | None) -> float | None:
    """The budget of costs, None where it does not bind."""
    return costs.budget if costs is not None and costs.binds else None


def merged(kept: dict[str, Any], now: dict[str, Any], better: Tensor) -> dict[str, Any]:
    """The record `now` with the weights of `kept` where `better` (seeds,) is false.

    Batched networks hold the networks of one seed after those of another: a tensor whose first
    axis is a multiple of the number of seeds is taken apart into as many blocks. What all seeds
    share is the same in both records.
    """
    result: dict[str, Any] = {}
    for name, value in now.items():
        if isinstance(value, dict) and name not in ("about", "references"):
            result[name] = merged(kept.get(name, value), value, better)
        elif isinstance(value, Tensor) and value.ndim and value.shape[0] % len(better) == 0:
            blocks = better.repeat_interleave(value.shape[0] // len(better))
            mask = blocks.view(-1, *[1] * (value.ndim - 1))
            result[name] = torch.where(mask, value, kept.get(name, value))
        else:
            result[name] = value
    return result


def _folder(module: L.LightningModule) -> Path | None:
    """Where the training keeps its state; None for one that keeps none."""
    journal = module.journal if isinstance(module, ResumableModule) else None
    trial = bool(module.trainer.fast_dev_run)  # type: ignore[attr-defined]  # set outside its class
    return None if journal is None or trial else journal.folder


def best_about(folder: Path) -> dict[str, Any]:
    """How the policies in best.ckpt of a training were chosen: "chosen_by", and per seed "epoch"
    and "return".

    Raises:
        CheckpointError: there is no such file, or it is damaged.
    """
    file = folder / BEST
    if not file.exists():
        raise CheckpointError(
            f"{file}: no such checkpoint: the training has no check yet, or an older worldplan "
            "trained it: give --checkpoint last"
        )
    about: dict[str, Any] = saved_entry(file, "best")
    return about
