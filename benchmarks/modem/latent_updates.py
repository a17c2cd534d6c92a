"""Updates per second of MoDem-V2's learning step against the published code's structure
(benchmarks/modem/reference.py).

    OMP_NUM_THREADS=1 python -m benchmarks.modem.latent_updates [--device cuda]
        [--sizes small-3 small-5 published pixels]

Both start from the same weights and learn from the same segments with the published losses (no
imitation, no percentile scale), critics of the clone included;
tests/benchmarks/modem/test_reference.py shows that they compute the same new weights. A further row
leaves out the clone's critics, as by default in worldplan: the published code always trains them,
but only its handover uses them. The methods take turns; a ratio is the loop's time over that of
another method in the same turn, and the table has its median [quartiles]. Time is CPU time of one
thread (on a GPU: wall time). Writes benchmarks/modem/results/speed/NAME.csv (every turn), NAME.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import gymnasium as gym
import numpy as np
import pandas as pd
import torch

from benchmarks.modem.reference import LoopLearner, UpdateNoise
from benchmarks.modem.timing import timing_parser, turns_at, write_results
from benchmarks.timing import alternated, seconds, spread
from worldplan.planners.modem.agent import Modem
from worldplan.planners.modem.replay import EpisodeReplay, Segment
from worldplan.planners.modem.settings import HandoverSettings, ModemSettings
from worldplan.world_models.data.episodes import Episode
from worldplan.world_models.latent.settings import LatentSettings

VECTOR, ACTION = 30, 6
LOOP, OURS, LEAN = "loop", "batched", "batched, clone's critics left out"


@dataclass(frozen=True)
class Size:
    """Sizes of networks and batches; `pixels`: image size of two cameras, 0 for state vectors."""

    latent: LatentSettings
    segment: int
    batch: int
    calls: int  # per turn
    pixels: int = 0

    def agent(self, clone_samples: int, device: str) -> Modem:
        """A new agent."""
        handover = HandoverSettings(clone_samples=clone_samples)
        settings = ModemSettings(
            latent=self.latent,
            handover=handover,
            segment=self.segment,
            batch=self.batch,
            encoder_rate=1.0,
            imitation=0.0,
            percentile_scale=False,
        )
        return Modem(self.space(), ACTION, settings, generator=torch.Generator().manual_seed(0)).to(
            device
        )

    def space(self) -> gym.Space:
        """Space of the observations."""
        if not self.pixels:
            return gym.spaces.Box(-np.inf, np.inf, (VECTOR,), np.float32)
        image = gym.spaces.Box(0, 255, (2, 3, self.pixels, self.pixels), np.uint8)
        return gym.spaces.Dict(
            {
                "image": image,
                "proprioception": gym.spaces.Box(-np.inf, np.inf, (VECTOR,), np.float32),
            }
        )

    def draw(self, device: str) -> Segment:
        """A batch of random segments."""
        replay = EpisodeReplay(self.space(), ACTION, 100, self.segment, device=device)
        random, length = np.random.default_rng(0), 60
        observation: np.ndarray | dict[str, np.ndarray] = random.normal(
            size=(length + 1, VECTOR)
        ).astype(np.float32)
        if self.pixels:
            image = random.integers(
                0, 256, (length + 1, 2, 3, self.pixels, self.pixels), dtype=np.uint8
            )
            observation = {"image": image, "proprioception": observation}
        replay.add(
            Episode(
                observation,
                random.uniform(-1, 1, (length, ACTION)).astype(np.float32),
                random.normal(size=length).astype(np.float32),
            )
        )
        return replay.draw(self.batch, torch.Generator(device=device).manual_seed(0))


_SMALL = LatentSettings(latent=64, hidden=128, encoder_hidden=128, members=3)
SIZES = {
    "small-3": Size(_SMALL, segment=3, batch=128, calls=3),
    "small-5": Size(replace(_SMALL, members=5), segment=3, batch=128, calls=3),
    "published": Size(LatentSettings.classic(), segment=5, batch=256, calls=1),
    "pixels": Size(_SMALL, segment=3, batch=64, calls=1, pixels=64),
}


def measure(size: Size, device: str, turns: int) -> pd.DataFrame:
    """Seconds per update (turns, methods)."""
    segment, generator = size.draw(device), torch.Generator(device=device).manual_seed(1)
    agents = {OURS: size.agent(2, device), LEAN: size.agent(1, device)}
    learner = LoopLearner(size.agent(2, device))
    noise = UpdateNoise.draw(agents[OURS], segment, generator)
    work: dict[str, Callable[[], object]] = {
        LOOP: lambda: learner.update(segment, noise, generator)
    }
    work |= {
        name: partial(agent.update, segment, agent.optimizers(), generator)
        for name, agent in agents.items()
    }

    def timed(call: Callable[[], object]) -> float:
        return seconds(lambda: [call() for _ in range(size.calls)], device) / size.calls

    return alternated({name: partial(timed, call) for name, call in work.items()}, turns)


def main() -> None:
    """Command line."""
    parser = timing_parser("Updates per second of the latent world model", SIZES, "latent_updates")
    options = parser.parse_args()
    torch.set_num_threads(1)
    load, tables = os.getloadavg()[0], []
    lines = ["| size | method | updates/s | loop's time / its time |", "|---|---|---|---|"]
    for name in options.sizes:
        table = measure(SIZES[name], options.device, turns_at(name, options.turns))
        tables.append(table.assign(size=name))
        lines += [
            f"| {name} | {method} | {1 / table[method].median():.1f} "
            f"| {spread(table[LOOP] / table[method])} |"
            for method in table
        ]
        print("\n".join(lines[-table.shape[1] :]), flush=True)
    write_results(options, "latent_updates.py", load, lines, tables, dict(SIZES))


if __name__ == "__main__":
    main()
