"""How much memory this process may use, to refuse what cannot fit before it is begun."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_CGROUP = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def memory_limit() -> int:
    """Bytes: the machine's memory, or a smaller limit of the container or of the process."""
    limits = [2**63]
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in _CGROUP:
        with suppress(OSError, ValueError):  # the text "max" is no number
            limits.append(int(file.read_text(encoding="ascii")))
    if sys.platform != "win32":
        import resource

        limits += [
            resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)
        ]
    return min(limit for limit in limits if limit > 0)


def gigabytes(size: float) -> str:
    """A number of bytes for messages, such as "1.5 GB"."""
    return f"{size / 1e9:.3g} GB"
