"""Share of the machine's matrix peak that updates of ensemble and critics reach, on a CPU.

    OMP_NUM_THREADS=1 python -m benchmarks.offline.matrix_peak [--turns 9]

Peak: float32 operations per second of `torch.mm` on two 2048 x 2048 matrices, on the same threads.
Share: operations of the matrix products that the update needs (counted by torch's FlopCounterMode
on ours, for the peer too) per second, divided by the peak of the same turn. In every turn peak,
ours and peer follow each other in one process; seconds are CPU time of the process.

ensemble step   7 members of 4 x 200, batch 256, sizes of Hopper
ensemble epoch  `fit` for an epoch of 50,000 rows (start, steps, check, checkpoints), against one
                of the usual structure (`benchmarks.offline.ensemble_usual`)
ravl            10 critics of 3 x 256, batch 256, eta 0 and 1, against a straightforward update
                (`benchmarks.offline.ravl_updates`)

On AMD processors torch.mm calls kernels of MKL without AVX-512, and those of oneDNN in the same
wheel are faster. Their peak is printed too, where this version of torch has it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.offline.ensemble_data import synthetic
from benchmarks.offline.ensemble_usual import Usual
from benchmarks.offline.ravl_updates import ACTION, OBSERVATION, Straightforward, make_batch
from worldplan.planners.offline.agent import ReachAware
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.world_models.ensemble.training import EnsembleModule, EnsembleSettings
from worldplan.world_models.training.trainer import fit

RESULTS = Path(__file__).with_name("results")
SIZE = 2048  # of the matrices that measure the peak
ROWS, STEPS, UPDATES = 50_000, 10, 4


@dataclass
class Work:
    """Work whose share is measured.

    Args:
        name: of the work.
        flops: operations of the matrix products that it needs.
        ours: does it once.
        peer: does it once in the usual way, or None.
    """

    name: str
    flops: float
    ours: Callable[[], object]
    peer: Callable[[], object] | None = None


def rate(flops: float, work: Callable[[], object]) -> float:
    """Operations per second of CPU time."""
    began = time.process_time()
    work()
    return flops / (time.process_time() - began)


def flops_of(work: Callable[[], object]) -> float:
    """Operations of the matrix products."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def ensemble_works() -> list[Work]:
    """Gradient steps, and a whole epoch."""
    data, settings = synthetic(ROWS, 0), EnsembleSettings(epochs=1, patience=10**6)
    module = EnsembleModule(data, settings, 0)
    optimizer = module.configure_optimizers()
    rows = [module.bootstrap[:, i * module.batch : (i + 1) * module.batch] for i in range(STEPS)]

    def steps() -> None:
        for chosen in rows:
            module._gradient_step(optimizer, chosen)

    def epoch() -> None:
        with tempfile.TemporaryDirectory() as folder:
            fit(EnsembleModule(data, settings, 0), folder, accelerator="cpu")

    flops, usual = flops_of(steps), Usual(data, settings, 0, "cpu", published=False)
    of_epoch = flops * module.steps / STEPS
    return [
        Work("ensemble step", flops, steps),
        Work("ensemble epoch", of_epoch, epoch, usual.epoch),
    ]


def ravl_work(diversity: float) -> Work:
    """Updates of actor and critics."""
    generator = torch.Generator().manual_seed(0)
    settings = ReachAwareSettings.paper(diversity=diversity)
    low = -torch.ones(ACTION)
    agent = ReachAware(OBSERVATION, low, -low, settings, generator=generator)
    peer, optimizers = Straightforward(agent), agent.optimizers()
    batches = [make_batch(settings.batch, generator, "cpu") for _ in range(UPDATES)]

    def ours() -> None:
        for batch in batches:
            agent.update(batch, optimizers, generator)

    def theirs() -> None:
        for batch in batches:
            peer.update(batch, generator)

    return Work(f"ravl, eta {diversity:g}", flops_of(ours), ours, theirs)


def onednn_peak() -> float | None:
    """The peak of oneDNN's kernels, where torch has the operation."""
    product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if product is None:
        return None
    matrix = torch.randn(SIZE, SIZE)
    return max(
        rate(2 * SIZE**3, lambda: product(matrix, matrix, None, "none", [], "")) for _ in range(5)
    )


def measure(turns: int) -> pd.DataFrame:
    """Rates by turn and work: turn, work, method, gigaflops, peak, share."""
    works = [*ensemble_works(), *(ravl_work(eta) for eta in (0.0, 1.0))]
    left, right = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    rows = []
    for turn in range(turns + 1):
        for work in works:
            peak = rate(2 * SIZE**3, lambda: torch.mm(left, right))
            for method, call in (("ours", work.ours), ("peer", work.peer)):
                if call is not None:
                    reached = rate(work.flops, call)
                    rows.append(
                        (turn, work.name, method, reached / 1e9, peak / 1e9, reached / peak)
                    )
    table = pd.DataFrame(rows, columns=["turn", "work", "method", "gigaflops", "peak", "share"])
    return table[table["turn"] > 0]  # the first turn warms up


def lines_of(table: pd.DataFrame, before: float, peak_of_onednn: float | None) -> list[str]:
    """The table in Markdown: medians [quartiles]."""

    def spread(values: pd.Series) -> str:
        low, middle, high = np.percentile(100 * values, [25, 50, 75])
        return f"{middle:.0f} % [{low:.0f}, {high:.0f}]"

    other = "" if peak_of_onednn is None else f" (oneDNN: {peak_of_onednn / 1e9:.0f})"
    lines = [
        f"CPU, {torch.get_num_threads()} thread, torch {torch.__version__}, load average "
        f"{before:.1f} before and {os.getloadavg()[0]:.1f} after, {table['turn'].max()} turns. "
        f"Peak of torch.mm: {table['peak'].median():.0f} gigaflops{other}. "
        "See the head of benchmarks/offline/matrix_peak.py.",
        "",
        "| work | ours, share of the peak | peer, share of the peak | peer's time over ours |",
        "|---|---|---|---|",
    ]
    for name, part in table.groupby("work", sort=False):
        by_method = {method: rows.set_index("turn") for method, rows in part.groupby("method")}
        ours, peer = by_method["ours"]["share"], by_method.get("peer")
        texts = [spread(ours), "", ""]
        if peer is not None:
            ratio = by_method["ours"]["gigaflops"] / peer["gigaflops"]
            low, middle, high = np.percentile(ratio, [25, 50, 75])
            texts[1:] = [spread(peer["share"]), f"{middle:.2f} [{low:.2f}, {high:.2f}]"]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return lines


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    before = os.getloadavg()[0]
    table = measure(options.turns)
    lines = lines_of(table, before, onednn_peak())
    print("\n".join(lines))
    RESULTS.mkdir(exist_ok=True)
    table.round(4).to_csv(RESULTS / "matrix_peak.csv", index=False)
    (RESULTS / "matrix_peak.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
