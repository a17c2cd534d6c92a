"""A training that several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.planners.modem.builders import module_of
from worldplan.world_models.training.trainer import fit


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run; tests only read it."""
    return fit(module_of(check_every=2), tmp_path_factory.mktemp("whole"), save_every=1)
