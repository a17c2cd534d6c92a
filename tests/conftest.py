"""What holds in every test, and a browser for those that open pages."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tests.updates import require_one_memory_order

register_optimizer_step_pre_hook(require_one_memory_order)  # of every optimiser, whoever made it


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, as `playwright.sync_api.Browser`."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no program chromium")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
