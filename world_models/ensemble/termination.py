"""A termination rule learned from data, for tasks whose rule is unknown or cannot be computed from
the observation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.data.on_disk.rows import require_in_memory
from worldplan.world_models.data.precision import single_precision
from worldplan.world_models.data.transitions import Transitions
from worldplan.world_models.ensemble.batched_mlp import BatchedMLP

HELD_OUT_SHARE = 0.2
FEWEST = 5  # terminated rows: one for the threshold, the others for the weights


class TerminationClassifier(nn.Module):
    """A small network for p(terminated | s, a, s'). A call compares the probability with a
    threshold, so a classifier is a `worldplan.envs.dynamics.termination.Termination`.

    Args:
        observation_size: length of an observation.
        action_size: length of an action.
        hidden: widths of the SiLU layers.
        generator: of the initial weights.
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
        checks.whole_number(observation_size, "observation_size", least=1)
        checks.whole_number(action_size, "action_size", least=1)
        if not isinstance(hidden, tuple | list):
            raise ConfigError(f"hidden is {checks.shown(hidden)}: give the layers' widths")
        inputs = 2 * observation_size + action_size
        self.network = BatchedMLP(1, (inputs, *hidden, 1), "silu", generator=generator)
        self.mean: Tensor
        self.scale: Tensor
        self.log_odds: Tensor
        self.threshold: Tensor
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        # of a terminated row in the data; in training batches both kinds are equally frequent
        self.register_buffer("log_odds", torch.zeros(()))
        self.register_buffer("threshold", torch.tensor(0.5))

    def score(self, rows: Tensor) -> Tensor:
        """Log-odds (n,) of rows (n, observation + action + observation), if terminated and other
        rows were equally frequent.
        """
        log_odds: Tensor = self.network(((rows - self.mean) / self.scale).clamp(-10, 10))
        return log_odds[0, :, 0]

    @torch.no_grad()
    def probability(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        """Probability (batch,) that a step terminated its episode.

        Args:
            observation: (batch, observation).
            action: (batch, action).
            next_observation: (batch, observation).
        """
        return torch.sigmoid(
            self.score(torch.cat([observation, action, next_observation], -1)) + self.log_odds
        )

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        """Whether a step terminated its episode, (batch,) bool.

        Args:
            observation: (batch, observation).
            action: (batch, action).
            next_observation: (batch, observation).
        """
        return self.probability(observation, action, next_observation) > self.threshold


def fit_termination(
    transitions: Transitions,
    generator: torch.Generator,
    *,
    hidden: Sequence[int] = (64, 64),
    steps: int = 2000,
    batch: int = 256,
    learning_rate: float = 1e-3,
) -> TerminationClassifier:
    """A classifier trained on a dataset, with the threshold of the best F1 on 20 % held-out rows.

    Terminations are rare, and a classifier that never fires would already have a low loss:
    therefore half the rows of every batch are terminated.

    Args:
        transitions: the dataset.
        generator: of weights, held-out rows and batches.
        hidden: widths of the SiLU layers.
        steps: of gradient descent.
        batch: rows of a step.
        learning_rate: of AdamW.

    Raises:
        DatasetError: the data hold no termination (then the rule "never" is right), nothing else,
            fewer than 5 rows of a kind, or a column whose changes vanish in float32.
    """
    require_in_memory(transitions, "the classifier is trained")
    transitions = single_precision(transitions, "the classifier is trained")
    terminated = torch.as_tensor(transitions.terminated)
    _check_both_kinds(terminated)
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
    kinds = [torch.nonzero(terminated == kind)[:, 0] for kind in (False, True)]
    kinds = [places[torch.randperm(len(places), generator=generator)] for places in kinds]
    held = torch.cat([places[: max(1, int(HELD_OUT_SHARE * len(places)))] for places in kinds])
    others, ended = (places[max(1, int(HELD_OUT_SHARE * len(places))) :] for places in kinds)

    classifier = TerminationClassifier(
        transitions.observation.shape[1], transitions.action.shape[1], hidden, generator=generator
    )
    std, mean = torch.std_mean(rows[torch.cat([others, ended])].double(), 0, correction=0)
    classifier.mean.copy_(mean)
    classifier.scale.copy_(torch.where(std > 1e-6 * mean.abs() + 1e-12, std, 1.0))
    classifier.log_odds.fill_(float(torch.log(torch.tensor(len(ended) / len(others)))))

    optimizer = torch.optim.AdamW(classifier.parameters(), lr=learning_rate, weight_decay=1e-2)
    labels = torch.cat([torch.zeros(batch // 2), torch.ones(batch // 2)])
    for _ in range(steps):
        chosen = [
            places[torch.randint(len(places), (batch // 2,), generator=generator)]
            for places in (others, ended)
        ]
        optimizer.zero_grad()
        score = classifier.score(rows[torch.cat(chosen)])
        loss = functional.binary_cross_entropy_with_logits(score, labels)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        optimizer.step()
    classifier.eval().requires_grad_(False)
    probability = torch.sigmoid(classifier.score(rows[held]) + classifier.log_odds)
    classifier.threshold.copy_(best_threshold(probability, terminated[held]))
    return classifier


def best_threshold(probability: Tensor, terminated: Tensor) -> Tensor:
    """Threshold of `probability` (n,) with the highest F1 against `terminated` (n,) bool, a scalar:
    half-way between the least probability above it and the next one below.
    """
    ranked, order = probability.sort(descending=True)
    true_positives = terminated[order].cumsum(0)
    f1 = 2 * true_positives / (torch.arange(1, len(probability) + 1) + terminated.sum())
    # no threshold separates rows of equal probability: only the last of them is a place to cut
    f1[:-1][ranked[:-1] == ranked[1:]] = -1
    cut = int(f1.argmax())
    below = ranked[cut + 1] if cut + 1 < len(ranked) else torch.zeros(())
    return (ranked[cut] + below) / 2


def _check_both_kinds(terminated: Tensor) -> None:
    """Check that the data have enough terminated rows, and enough others, to learn from.

    Raises:
        DatasetError: they do not.
    """
    count = int(terminated.sum())
    if not count:
        raise DatasetError(
            "no episode in the data was terminated, so there is nothing to learn: use termination "
            "'never'"
        )
    if count == len(terminated):
        raise DatasetError(
            "every row of the data is terminated, so there is nothing to tell apart: use data with "
            "whole episodes"
        )
    if count < FEWEST or len(terminated) - count < FEWEST:
        raise DatasetError(
            f"{count} row(s) of {len(terminated)} are terminated: at least {FEWEST} of each kind "
            "are needed to learn a rule; collect more"
        )
