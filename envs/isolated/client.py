"""A gymnasium environment in another Python interpreter, for simulators whose packages clash with
worldplan's.

The other interpreter runs `worldplan.envs.isolated.server`, which describes the messages, as a
child process. A request and its answer take some tens of microseconds. All environments of one
interpreter and one factory share a child, so that only the first one starts a process. The child
ends with the last of them; if it dies or hangs, all of them fail.
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
_PATIENCE = 5.0  # seconds until a child that does not end by itself is killed
_CHUNK = 1 << 16  # bytes, the size of a pipe's buffer


class EnvironmentFailed(WorldplanError):
    """An environment in another process raised an error, died or does not answer."""


class IsolatedEnv(gym.Env[Any, np.ndarray]):
    """An environment that runs in another interpreter.

    Args:
        python: the interpreter; it needs gymnasium and NumPy, and is started in isolated mode (-I),
            in which PYTHONPATH has no effect.
        factory: makes the environment there, "package.module:name" or "path/to/file.py:name".
        options: its keyword arguments, plain values and arrays.
        timeout: seconds that an answer may take; the first one includes the imports.

    Spaces are Box or Dict of Box, infos are reduced to numbers, bools and arrays of numbers. POSIX
    only. An environment that is not closed is freed with its child, together with the last
    environment that shares the child.

    Raises:
        ConfigError: the interpreter cannot be started, or the factory cannot be found or fails.
        EnvironmentFailed: by every method: the environment raised an error, or its child died or
            did not answer in time.
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
            made = self._request("begin", dict(options or {}))
        # a TypeError comes from options that are no plain values
        except (EnvironmentFailed, TypeError) as error:
            self._child = None
            raise ConfigError(
                f"{error} (options {dict(options or {})}, interpreter {python})"
            ) from error
        self.observation_space = _space(made["observation_space"])
        self.action_space = _space(made["action_space"])
        self.render_mode = made["render_mode"]
        self.metadata = {"render_modes": made["render_modes"], "render_fps": made["render_fps"]}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment there, with its own meaning of `seed` and `options`.

        Raises:
            EnvironmentFailed: the environment or its process failed.
        """
        super().reset(seed=seed)
        observation, info = self._request("reset", {"seed": seed, "options": options})
        return observation, info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step the environment there by `action` (action,).

        Raises:
            InfeasibleAction: the action has another shape than its space, or is not finite.
            EnvironmentFailed: the environment or its process failed.
        """
        action = np.asarray(action, self.action_space.dtype)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise InfeasibleAction(
                f"an action needs {self.action_space.shape} finite numbers, got {action!r}"
            )
        observation, reward, terminated, truncated, info = self._request("step", {"action": action})
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        """The picture (height, width, 3) of the environment there, or None."""
        return self._request("render", {})

    def call(self, name: str, **arguments: Any) -> Any:
        """Call a method of the environment there, without its wrappers.

        Args:
            name: of the method.
            arguments: keyword arguments, plain values and arrays.

        Returns:
            The method's result, plain values and arrays.

        Raises:
            EnvironmentFailed: the method raised an error, or the process failed.
        """
        return self._request("call", {"name": name, "arguments": arguments})

    def close(self) -> None:
        """Close the environment there; the child ends with its last environment."""
        if self._child is not None and self._child.alive:
            with contextlib.suppress(EnvironmentFailed):  # the environment of a dead child is gone
                self._request("close", {})
        self._child = None

    def _request(self, verb: str, arguments: dict[str, Any]) -> Any:
        if self._child is None:
            raise EnvironmentFailed("the environment is closed: make a new one")
        return self._child.request(verb, self._number, arguments, self._timeout)


class _Child:
    """A child process that answers one request at a time."""

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
                f"interpreter {python} cannot be started ({error}): name the python of the "
                "environment that has the simulator"
            ) from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._requests, False)
        self._lock, self._codec = threading.Lock(), Codec()
        self._finalizer = weakref.finalize(self, _end, self._process)  # runs at exit too

    @property
    def alive(self) -> bool:
        """Whether the child still takes requests."""
        return self._finalizer.alive

    def request(self, verb: str, number: int, arguments: dict[str, Any], timeout: float) -> Any:
        """Send a request and return the value of its answer.

        Args:
            verb: begin, step, reset, render, close or call.
            number: of the environment.
            arguments: of the request.
            timeout: seconds.

        Raises:
            EnvironmentFailed: the environment raised an error, or the child died or did not answer
                in time.
            TypeError: the arguments are no plain values.
        """
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
                    f"{what}: no answer within {timeout:g} s, its process was ended: raise "
                    "timeout, or mend the simulator"
                ) from None
            except (BrokenPipeError, EOFError):
                raise EnvironmentFailed(
                    f"{what}: its process died ({self._exit()}): see what it wrote to standard "
                    "error"
                ) from None
            except BaseException:
                self._kill()  # the rest of this answer would be read as that of the next request
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

    def _exit(self) -> str:
        """End the process and return its exit status in words."""
        self._finalizer()
        status = self._process.returncode
        return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"


_children: weakref.WeakValueDictionary[tuple[int, str, str], _Child] = weakref.WeakValueDictionary()


def _child_of(python: str, factory: str) -> _Child:
    """The child of this interpreter and factory; a new one if there is none.

    A forked process gets its own, since two processes cannot share the pipes.

    Raises:
        ConfigError: the system is not POSIX, or the interpreter cannot be started.
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
    """End a child by closing its input; kill it if it does not end in time."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _wait(descriptor: int, event: int, deadline: float) -> None:
    """Wait until a file descriptor can be read or written.

    Raises:
        TimeoutError: at the deadline, in seconds of `time.monotonic`.
    """
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def _space(plain: Mapping[str, Any]) -> gym.Space[Any]:
    """The space that `worldplan.envs.isolated.server.describe` described."""
    if "dict" in plain:
        return gym.spaces.Dict({name: _space(part) for name, part in plain["dict"].items()})
    low, high = plain["box"]
    return gym.spaces.Box(low, high, dtype=low.dtype)
