"""A gymnasium environment that lives in another Python interpreter: for simulators whose pinned
packages clash with ours.

The other interpreter runs `worldplan.envs.isolated.server` as a child process, which tells how
messages look. A request and its answer take some tens of microseconds. All environments of one
interpreter and one factory share a child, so that the second one costs no new process: it ends with
the last of them, and if it dies or hangs, it does so for all of them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldplan.envs.isolated.server import PREFIX, Codec
from worldplan.milp.errors import ConfigError, InfeasibleAction, WorldplanError

_SERVER = Path(__file__).with_name("server.py")
_PATIENCE = 5.0  # seconds that a child gets to end by itself
_CHUNK = 1 << 16  # what a pipe holds


class EnvironmentFailed(WorldplanError):
    """An environment in another process raised an error, died or hangs."""


class IsolatedEnv(gym.Env[Any, np.ndarray]):
    """An environment that another interpreter runs.

    Args:
        python: the interpreter; it needs gymnasium and NumPy, and is started in isolated mode (-I):
            PYTHONPATH does not reach it.
        factory: what makes the environment there, "package.module:name" or "path/to/file.py:name".
        options: its keyword arguments, plain values and arrays.
        timeout: seconds that an answer may take; the first one includes the imports.

    Spaces are Box or Dict of Box, infos are cut to numbers, bools and arrays of numbers. POSIX
    only. An environment that is dropped without `close` is freed with its child, when the last of
    those that share it is gone.

    Raises:
        ConfigError: the interpreter cannot be started, or the factory cannot be found or fails.
        EnvironmentFailed: later, by every method: the environment raised an error, or its child
            died or did not answer in time.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        python: str | Path,
        factory: str,
        options: Mapping[str, Any] | None = None,
        *,
        timeout: float = 60.0,
    ) -> None:
        self._timeout = timeout
        self._child: _Child | None = _child_of(str(python), factory)
        self._number = next(self._child.numbers)
        try:
            about = self._ask("begin", dict(options or {}))
        except (
            EnvironmentFailed,
            TypeError,
        ) as error:  # TypeError: options that are no plain values
            self._child = None
            raise ConfigError(
                f"{error} (options {dict(options or {})}, interpreter {python})"
            ) from error
        self.observation_space = _space(about["observation_space"])
        self.action_space = _space(about["action_space"])
        self.render_mode = about["render_mode"]
        self.metadata = {"render_modes": about["render_modes"], "render_fps": about["render_fps"]}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """As the environment there."""
        super().reset(seed=seed)
        observation, info = self._ask("reset", {"seed": seed, "options": options})
        return observation, info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As the environment there. Raises InfeasibleAction when the action has another shape than
        its space, or is not finite.
        """
        action = np.asarray(action, self.action_space.dtype)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise InfeasibleAction(
                f"an action needs {self.action_space.shape} finite numbers, got {action!r}"
            )
        observation, reward, terminated, truncated, info = self._ask("step", {"action": action})
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        """A picture (height, width, 3), or None as the environment there."""
        return self._ask("render", {})

    def call(self, name: str, **arguments: Any) -> Any:
        """What the method `name` of the environment there (without its wrappers) returns: plain
        values and arrays.
        """
        return self._ask("call", {"name": name, "arguments": arguments})

    def close(self) -> None:
        """Close the environment there; the last one takes the child with it."""
        if self._child is not None and self._child.alive:
            with contextlib.suppress(EnvironmentFailed):  # a child that is gone has closed it too
                self._ask("close", {})
        self._child = None

    def _ask(self, verb: str, arguments: dict[str, Any]) -> Any:
        if self._child is None:
            raise EnvironmentFailed("the environment is closed: make a new one")
        return self._child.ask(verb, self._number, arguments, self._timeout)


class _Child:
    """A child process and the conversation with it, one request at a time."""

    def __init__(self, python: str, factory: str) -> None:
        self.factory, self.numbers = factory, itertools.count()
        try:
            self._process = subprocess.Popen(
                [python, "-I", str(_SERVER), factory],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
        except OSError as error:
            raise ConfigError(
                f"interpreter {python} cannot be started ({error}): name the python of the environment that has the simulator"
            ) from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._requests, False)
        self._lock, self._codec = threading.Lock(), Codec()
        self._finalizer = weakref.finalize(self, _end, self._process)  # runs at exit too

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._finalizer.alive

    def ask(self, verb: str, number: int, arguments: dict[str, Any], timeout: float) -> Any:
        """The answer to one request. Raises EnvironmentFailed."""
        what = f"{self.factory}: {arguments['name'] if verb == 'call' else verb}"
        with self._lock:
            if not self.alive:
                raise EnvironmentFailed(f"{what}: its process has ended: make a new environment")
            request = self._codec.encode([verb, number, arguments])
            deadline = time.monotonic() + timeout
            try:
                self._send(request, deadline)
                answer = self._receive(deadline)
            except TimeoutError:
                self._kill()
                raise EnvironmentFailed(
                    f"{what}: no answer within {timeout:g} s, its process was ended: raise timeout, or mend the simulator"
                ) from None
            except (BrokenPipeError, EOFError):
                raise EnvironmentFailed(
                    f"{what}: its process died ({self._fate()}): what it wrote to standard error tells why"
                ) from None
            except BaseException:
                self._kill()  # the rest of this answer would be taken for that of the next request
                raise
        if "error" in answer:
            raise EnvironmentFailed(f"{what}: {answer['error']}")
        return answer["value"]

    def _send(self, request: bytes, deadline: float) -> None:
        left = memoryview(request)
        while left:
            _wait(self._requests, select.POLLOUT, deadline)
            left = left[os.write(self._requests, left) :]

    def _receive(self, deadline: float) -> Any:
        buffer, needed, header = bytearray(), PREFIX.size, 0
        while len(buffer) < needed:
            _wait(self._answers, select.POLLIN, deadline)
            chunk = os.read(self._answers, _CHUNK)
            if not chunk:
                raise EOFError
            buffer += chunk
            if needed == PREFIX.size and len(buffer) >= needed:
                header, body = PREFIX.unpack_from(buffer)
                header += PREFIX.size
                needed = header + body
        return self._codec.decode(bytes(buffer[PREFIX.size : header]), bytes(buffer[header:]))

    def _kill(self) -> None:
        self._process.kill()
        self._finalizer()

    def _fate(self) -> str:
        self._finalizer()
        status = self._process.returncode
        return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"


_children: weakref.WeakValueDictionary[tuple[int, str, str], _Child] = weakref.WeakValueDictionary()


def _child_of(python: str, factory: str) -> _Child:
    """The child for this interpreter and factory, a new one if there is none. A fork must not talk
    to its parent's.
    """
    if not hasattr(select, "poll"):
        raise ConfigError(
            "environments in other interpreters need a POSIX system (Linux, macOS, WSL)"
        )
    key = os.getpid(), python, factory
    child = _children.get(key)
    if child is None or not child.alive:
        child = _children[key] = _Child(python, factory)
    return child


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a child: it stops when its requests do, or is killed."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _wait(descriptor: int, event: int, deadline: float) -> None:
    """Until it can be read or written. Raises TimeoutError at the deadline."""
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def _space(plain: Mapping[str, Any]) -> gym.Space:
    if "dict" in plain:
        return gym.spaces.Dict({name: _space(part) for name, part in plain["dict"].items()})
    low, high = plain["box"]
    return gym.spaces.Box(low, high, dtype=low.dtype)
