"""When an episode is over, learned from data: for tasks whose rule is not known or cannot be read
from the observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldplan.milp.errors import CheckpointError, DatasetError
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.batched_mlp import BatchedMLP
from worldplan.world_models.training.checkpoints import save_tensors

HELD_OUT_SHARE = 0.2
FEWEST = 5  # terminated rows: one to tune the threshold on, a few to learn from


class TerminationClassifier(nn.Module):
    """p(terminated | s, a, s') by a small network; calling it decides, so it is a `Termination`
    like the known rules.

    Args:
        observation_size, action_size: numbers per row.
        hidden: widths of the SiLU layers.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden: Sequence[int] = (64, 64),
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.sizes = {
            "observation_size": observation_size,
            "action_size": action_size,
            "hidden": list(hidden),
        }
        inputs = 2 * observation_size + action_size
        self.network = BatchedMLP(1, (inputs, *hidden, 1), "silu", generator=generator)
        self.mean: Tensor
        self.scale: Tensor
        self.log_odds: Tensor
        self.threshold: Tensor
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.register_buffer(
            "log_odds", torch.zeros(())
        )  # of a terminated row in the data; training sees both kinds equally often
        self.register_buffer("threshold", torch.tensor(0.5))

    def score(self, rows: Tensor) -> Tensor:
        """Log-odds (n,) of rows (n, observation + action + observation), as if both kinds were
        equally frequent.
        """
        return self.network(((rows - self.mean) / self.scale).clamp(-10, 10))[0, :, 0]

    @torch.no_grad()
    def probability(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        """(batch,): chance that the step ended its episode."""
        return torch.sigmoid(
            self.score(torch.cat([observation, action, next_observation], -1)) + self.log_odds
        )

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        """(batch,) bool: the step ended its episode."""
        return self.probability(observation, action, next_observation) > self.threshold

    def save(self, path: str | Path) -> None:
        """Write plain numbers and tensors only."""
        save_tensors({"termination": {"sizes": self.sizes, "weights": self.state_dict()}}, path)


def fit_termination(
    transitions: Transitions,
    generator: torch.Generator,
    *,
    hidden: Sequence[int] = (64, 64),
    steps: int = 2000,
    batch: int = 256,
    learning_rate: float = 1e-3,
) -> TerminationClassifier:
    """Learn from batches with as many terminated as other rows; the threshold is the one of the
    best F1 on 20 % held-out rows.

    Terminations are rare: unweighted, "never" would be a good classifier. Raises DatasetError where
    the data hold no
    termination (then the rule "never" is right), fewer than 5, or nothing else.
    """
    over = torch.as_tensor(transitions.terminated)
    _check_both_kinds(over)
    rows = torch.cat(
        [
            torch.as_tensor(column)
            for column in (
                transitions.observation,
                transitions.action,
                transitions.next_observation,
            )
        ],
        1,
    )
    kinds = [torch.nonzero(over == kind)[:, 0] for kind in (False, True)]
    kinds = [places[torch.randperm(len(places), generator=generator)] for places in kinds]
    held = torch.cat([places[: max(1, int(HELD_OUT_SHARE * len(places)))] for places in kinds])
    others, ends = (places[max(1, int(HELD_OUT_SHARE * len(places))) :] for places in kinds)

    classifier = TerminationClassifier(
        transitions.observation.shape[1], transitions.action.shape[1], hidden, generator=generator
    )
    std, mean = torch.std_mean(rows[torch.cat([others, ends])].double(), 0, correction=0)
    classifier.mean.copy_(mean)
    classifier.scale.copy_(torch.where(std > 1e-6 * mean.abs() + 1e-12, std, 1.0))
    classifier.log_odds.fill_(float(torch.log(torch.tensor(len(ends) / len(others)))))

    optimizer = torch.optim.AdamW(classifier.parameters(), lr=learning_rate, weight_decay=1e-2)
    wanted = torch.cat([torch.zeros(batch // 2), torch.ones(batch // 2)])
    for _ in range(steps):
        chosen = [
            places[torch.randint(len(places), (batch // 2,), generator=generator)]
            for places in (others, ends)
        ]
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(
            classifier.score(rows[torch.cat(chosen)]), wanted
        ).backward()
        optimizer.step()
    classifier.eval().requires_grad_(False)
    classifier.threshold.copy_(
        best_threshold(
            torch.sigmoid(classifier.score(rows[held]) + classifier.log_odds), over[held]
        )
    )
    return classifier


def best_threshold(chance: Tensor, over: Tensor) -> Tensor:
    """Threshold of `chance` (n,) with the highest F1 against `over` (n,) bool, half-way to the next
    chance below.
    """
    ranked, order = chance.sort(descending=True)
    right = over[order].cumsum(0)
    f1 = 2 * right / (torch.arange(1, len(chance) + 1) + over.sum())
    # rows of equal chance fall on one side: only the last of them is a place to cut
    f1[:-1][ranked[:-1] == ranked[1:]] = -1
    cut = int(f1.argmax())
    below = ranked[cut + 1] if cut + 1 < len(ranked) else torch.zeros(())
    return (ranked[cut] + below) / 2


def load_classifier(path: str | Path) -> TerminationClassifier:
    """A saved classifier. Raises CheckpointError for a missing or damaged file."""
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")["termination"]
        classifier = TerminationClassifier(**saved["sizes"])
        classifier.load_state_dict(saved["weights"])
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such checkpoint: learn the termination rule first"
        ) from None
    except Exception as error:  # torch raises many types for a damaged file
        raise CheckpointError(
            f"{path}: not a termination classifier ({type(error).__name__}): learn it again or restore a copy"
        ) from error
    return classifier.eval().requires_grad_(False)


def _check_both_kinds(over: Tensor) -> None:
    count = int(over.sum())
    if not count:
        raise DatasetError(
            "no episode in the data was terminated, so there is nothing to learn: use termination 'never'"
        )
    if count == len(over):
        raise DatasetError(
            "every row of the data is terminated, so there is nothing to tell apart: use data with whole episodes"
        )
    if count < FEWEST or len(over) - count < FEWEST:
        raise DatasetError(
            f"{count} row(s) of {len(over)} are terminated: at least {FEWEST} of each kind are needed to learn a rule; collect more"
        )
