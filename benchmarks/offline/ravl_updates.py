"""Updates per second of reach-aware value learning against a straightforward implementation of the
same update.

    OMP_NUM_THREADS=1 python -m benchmarks.offline.ravl_updates [--device cuda] [--critics 2 10 50]

The straightforward implementation has the critics as one batched network whose diversity term
differentiates twice through autograd, a Gram matrix with a mask, two passes of the critics for the
two loss terms, actor gradients through all weights of the critics, a Python loop for the target
networks, and statistics fetched from the device at every update. Both start from the same weights
and get the same batches and noise, so their critic gradients are compared as well.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.timing import seconds
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.critics import Critics
from worldplan.planners.offline.replay import Batch
from worldplan.planners.offline.settings import ReachAwareSettings

OBSERVATION, ACTION = 11, 3  # Hopper
RESULTS = Path(__file__).parent / "results"


def make_batch(batch: int, generator: torch.Generator, device: str) -> Batch:
    """A random batch of a single seed, (1, batch, ...)."""
    shape = (1, batch)
    normal = lambda *size: torch.randn((*shape, *size), generator=generator).to(device)  # noqa: E731
    return Batch(
        normal(OBSERVATION),
        torch.tanh(normal(ACTION)),
        normal(),
        normal(OBSERVATION),
        (normal() > 2).float(),
        torch.zeros(shape, device=device),
    )


class Straightforward:
    """The same update, written straightforwardly."""

    def __init__(self, agent: ReachAware) -> None:
        self.agent = copy.deepcopy(agent)
        self.settings = agent.settings
        rates = self.settings
        self.actor_adam = torch.optim.Adam(self.agent.actor.parameters(), rates.actor_rate)
        self.critic_adam = torch.optim.Adam(self.agent.critics.parameters(), rates.critic_rate)
        self.temperature_adam = torch.optim.Adam(
            [self.agent.log_temperature], rates.temperature_rate
        )

    def update(self, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        """One update; its statistics."""
        agent, settings = self.agent, self.settings
        _, log_density = agent.actor.sample(batch.observation, generator)
        temperature_loss = (
            -agent.log_temperature * (log_density.detach() + agent.target_entropy).mean(-1)
        ).sum()
        self._step(self.temperature_adam, temperature_loss)
        temperature = agent.log_temperature.detach().exp()

        action, log_density = agent.actor.sample(batch.observation, generator)
        values = agent.critics(batch.observation, action)
        actor_loss = (temperature * log_density - values.min(1).values).mean()
        self._step(self.actor_adam, actor_loss)

        with torch.no_grad():
            following, next_density = agent.actor.sample(batch.next_observation, generator)
            next_value = (
                agent.target_critics(batch.next_observation, following).min(1).values
                - temperature * next_density
            )
            target = batch.reward + settings.discount * (1 - batch.terminated) * next_value
            random_std = (
                agent.critics(batch.observation, torch.rand_like(batch.action) * 2 - 1)
                .std(1)
                .mean()
            )
        loss = critic_loss(agent.critics, batch, target, settings.diversity)
        self._step(self.critic_adam, loss)
        with torch.no_grad():
            for slow, fast in zip(
                agent.target_critics.parameters(), agent.critics.parameters(), strict=True
            ):
                slow.data.copy_(
                    (1 - settings.target_rate) * slow.data + settings.target_rate * fast.data
                )
        return {
            "temperature_loss": temperature_loss.item(),
            "actor_loss": actor_loss.item(),
            "critic_loss": loss.item(),
            "temperature": temperature.item(),
            "random_std": random_std.item(),
            "entropy": -log_density.mean().item(),
        }

    @staticmethod
    def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def critic_loss(critics: Critics, batch: Batch, target: Tensor, diversity: float) -> Tensor:
    """Squared error to `target` (1, batch), and EDAC's term by differentiating twice, a scalar."""
    loss = (critics(batch.observation, batch.action) - target.unsqueeze(1)).square().mean(-1).sum()
    if diversity > 0:
        count = critics.critics
        # (critics, batch, action)
        tiled = batch.action.repeat_interleave(count, 0).requires_grad_(True)
        observations = batch.observation.repeat_interleave(count, 0)
        values = critics.network(torch.cat([observations, tiled], -1))
        gradient = torch.autograd.grad(values.sum(), tiled, create_graph=True)[0]
        unit = gradient / (gradient.norm(dim=-1, keepdim=True) + 1e-10)
        unit = unit.transpose(0, 1)  # (batch, critics, action)
        gram = torch.einsum("bik,bjk->bij", unit, unit) * (1 - torch.eye(count, device=unit.device))
        loss = loss + diversity * gram.sum((1, 2)).mean() / (count - 1)
    return loss


def gradient_difference(agent: ReachAware, batch: Batch) -> float:
    """Largest difference between the gradients of the critics' weights, in double precision."""
    double = copy.deepcopy(agent).double()
    columns = (getattr(batch, name) for name in Batch.__dataclass_fields__)
    rows = Batch(*(column if column is None else column.double() for column in columns))
    target = torch.randn(rows.reward.shape, dtype=torch.float64, device=rows.reward.device)
    parameters: list[nn.Parameter] = list(double.critics.parameters())
    ours = torch.autograd.grad(double.critic_loss(rows, target.unsqueeze(1))[0].sum(), parameters)
    theirs = torch.autograd.grad(
        critic_loss(double.critics, rows, target, double.settings.diversity), parameters
    )
    return max(float((mine - other).abs().max()) for mine, other in zip(ours, theirs, strict=True))


def measure(
    critics: int, diversity: float, width: int, device: str, updates: int, repeats: int
) -> dict[str, float | int]:
    """Alternate the two implementations, and compare their times and gradients."""
    generator = torch.Generator().manual_seed(0)
    settings = ReachAwareSettings.paper(critics=critics, diversity=diversity, hidden=(width,) * 3)
    agent = ReachAware(
        OBSERVATION, -torch.ones(ACTION), torch.ones(ACTION), settings, generator=generator
    ).to(device)
    peer = Straightforward(agent)
    batches = [make_batch(settings.batch, generator, device) for _ in range(updates)]
    difference = gradient_difference(agent, batches[0])
    optimizers, random = agent.optimizers(), torch.Generator(device=device).manual_seed(1)
    ratios, ours = [], []
    for repeat in range(repeats + 1):
        first = seconds(
            lambda: [agent.update(batch, optimizers, random) for batch in batches], device
        )
        second = seconds(lambda: [peer.update(batch, random) for batch in batches], device)
        if repeat:  # the first round warms up
            ratios.append(second / first)
            ours.append(updates / first)
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    return {
        "critics": critics,
        "diversity": diversity,
        "updates_per_second": round(float(np.median(ours)), 1),
        "ratio": round(float(middle), 2),
        "ratio_low": round(float(low), 2),
        "ratio_high": round(float(high), 2),
        "gradient_difference": difference,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--critics", type=int, nargs="+", default=[2, 10, 50])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for critics in options.critics:
        for diversity in (0.0, 1.0):
            rows.append(
                {"device": options.device}
                | measure(
                    critics,
                    diversity,
                    options.width,
                    options.device,
                    options.updates,
                    options.repeats,
                )
            )
            print(rows[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(RESULTS / f"ravl_updates_{options.device}.csv", index=False)


if __name__ == "__main__":
    main()
