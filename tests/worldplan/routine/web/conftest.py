"""A programme with three decided days, its application, and a real server of it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from tests.worldplan.routine.builders import days, setup_of, write_programme
from worldplan.commands.bandits.serve import listen
from worldplan.routine.web import create_app


@pytest.fixture(scope="session")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    write_programme(folder)
    days(folder, 3)
    return folder


@pytest.fixture
def clinic(three_days: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(three_days, tmp_path / "clinic"))


@pytest.fixture
def client(clinic: Path) -> TestClient:
    return TestClient(create_app(setup_of(clinic)), base_url="http://localhost:8000")


@pytest.fixture
def address(clinic: Path) -> Iterator[str]:
    """The address of a server that listens on this machine."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(setup_of(clinic)), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()
