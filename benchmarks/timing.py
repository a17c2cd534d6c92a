"""Timing of methods that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable

import pandas as pd
import torch

Work = Callable[[], object]


def seconds(work: Work, device: str) -> float:
    """Seconds of a call: CPU time on a CPU, as other processes may share it; wall time on a GPU."""
    clock = time.perf_counter if device == "cuda" else time.process_time
    if device == "cuda":
        torch.cuda.synchronize()
    began = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def alternated(methods: dict[str, Callable[[], float]], turns: int) -> pd.DataFrame:
    """Measured seconds (turns, methods). The methods take turns, in rotating order, after one
    warm-up round that is not counted.
    """
    names, rows = list(methods), []
    for turn in range(turns + 1):
        order = names[turn % len(names) :] + names[: turn % len(names)]
        rows.append({name: methods[name]() for name in order})
    return pd.DataFrame(rows[1:], columns=names)


def spread(values: pd.Series[float]) -> str:
    """Median [quartiles]."""
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"
