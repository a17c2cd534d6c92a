"""Ray nodes on this machine, each with a current folder and a folder for temporary files of its
own: processes of one node find no file of another by a relative name.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.places import ROOT

MARKS = '''
import os, tempfile, time
from pathlib import Path

def mark(module):
    """On a node, check that the job is not in the user's folder. On node 1, stay until the node is
    lost, which node 0 waits for.
    """
    node = os.environ.get("NODE")
    if node is not None:
        for place in (os.getcwd(), module):
            assert Path(place).is_relative_to(tempfile.gettempdir()), place
    if node == "1":
        Path(os.environ["BEGUN"]).touch()
        time.sleep(1000)
    while node == "0" and not Path(os.environ["BEGUN"]).exists():
        time.sleep(0.1)
'''
"""A module marks.py for the user's folder."""


@dataclass
class Nodes:
    """A Ray cluster of this machine.

    Args:
        root: folder of the nodes' folders.
        address: HOST:PORT.
    """

    root: Path
    address: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    session: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="r", dir="/tmp")))

    def add(self, cores: int) -> None:
        """Start a node; the first one is the head, to which commands connect by its address."""
        number = len(self.processes)
        folder = self.root / f"node{number}"
        (folder / "tmp").mkdir(parents=True)
        place = ["--address", self.address, "--node-ip-address", f"127.0.0.{number + 1}"]
        if not self.address:
            self.address = f"127.0.0.1:{_free_port()}"
            place = ["--head", "--port", self.address.rpartition(":")[2], "--temp-dir"]
            place += [str(self.session), "--include-dashboard", "false"]
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *place]
        memory = ["--object-store-memory", str(80 * 2**20)]
        log = folder / "log"
        process = subprocess.Popen(
            [*ray, "--num-cpus", str(cores), *memory, "--disable-usage-stats"],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "TMPDIR": str(folder / "tmp"),
                "RAY_AUTH_MODE": "disabled",  # a token would be written into the home folder
                "BEGUN": str(self.root / "begun"),
                "NODE": str(number),
                "RAY_raylet_start_wait_time_s": "200",  # on a busy machine, 60 are not enough
                "MINARI_DATASETS_PATH": str(folder / "tmp" / "datasets"),
            },
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes.append(process)
        while b"Ray runtime started" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)

    def kill(self, number: int) -> None:
        """End a node with all its processes, as a power failure does."""
        process = psutil.Process(self.processes[number].pid)
        for part in (process, *process.children(recursive=True)):
            try:
                part.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.processes[number].wait()

    def close(self) -> None:
        """End all nodes."""
        for number in reversed(range(len(self.processes))):
            if self.processes[number].poll() is None:
                self.kill(number)
        shutil.rmtree(self.session, ignore_errors=True)


def launch(home: Path, *words: str, address: str = "") -> subprocess.Popen[str]:
    """`python WORDS` in the user's folder, with the modules there."""
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=home,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{home / 'modules'}",
            "RAY_ADDRESS": address,
            "RAY_AUTH_MODE": "disabled",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start(home: Path, *words: str, address: str = "") -> subprocess.Popen[str]:
    """`worldplan WORDS` in the user's folder."""
    return launch(home, "-m", "worldplan", *words, address=address)


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for something that happens while a process runs."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def finish(process: subprocess.Popen[str]) -> str:
    """What a command that ends well wrote to stderr."""
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    return err


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
