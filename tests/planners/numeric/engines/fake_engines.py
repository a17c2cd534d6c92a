"""Engines made of small Python scripts, one for each way of ending."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from worldplan.planners.numeric.engines.catalogue import Engine

WRITE = "open('plan.txt', 'w').write({!r})"
SCRIPTS = {
    "right": WRITE.format("(up)\n(up)\n(UP) ; as some print it\n"),
    "timed": WRITE.format("0.000: (up) [1.0]\n1.000: (up) [1.0]\n2.0: (up) [1.0]\n"),
    "wrong": WRITE.format("(up)\n"),
    "garbage": WRITE.format("\x00\x01 up up up"),
    "crash": "import os; os.abort()",
    "complains": "import sys; print('Fatal error: no such requirement'); sys.exit(3)",
    "silent": "pass",
    "unsolvable": "print('Problem unsolvable')",
    "greedy": "block = b'x' * (600 * 2**20); import time; time.sleep(60)",
    "hangs": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
    "parent": "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\ntime.sleep(600)",
    "chatty": "while True: print('x' * 1000)",
    "slow": "import time\nfor _ in range(8): time.sleep(0.1)\n" + WRITE.format("(up)\n" * 3),
}


def engine(*names: str, **settings: float) -> Engine:
    """An engine whose attempts are the scripts of these names."""

    def commands(memory_mb: int, has_regions: bool) -> Iterator[list[str]]:
        for name in names:
            yield [sys.executable, "-c", SCRIPTS[name]]

    return Engine("-".join(names), (), commands, **settings)  # type: ignore[arg-type]
