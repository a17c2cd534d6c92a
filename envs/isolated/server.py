"""Hosts gymnasium environments for `worldplan.envs.isolated.client`, in another interpreter.

The file is started by its path. The interpreter needs gymnasium and NumPy only, so nothing else is
imported here, and nothing newer than Python 3.9 is used. Requests come from standard input, answers
go to standard output, and the output of environments goes to standard error.

A message is two little-endian unsigned 32-bit lengths, a JSON header, and the bytes of all its
arrays one after the other. In the header, an array is {"__array__": [type, shape, offset of its
bytes]}. Neither side unpickles anything.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import math
import os
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

PREFIX = struct.Struct("<II")
NUMBERS = "biuf"  # kinds of arrays in messages: bool, integer, unsigned, float


class Codec:
    """Converts messages to bytes and back, for one thread at a time.

    It is made once per connection: a new one for every message would double the time.
    """

    def __init__(self) -> None:
        self._encoder = json.JSONEncoder(default=self._plain)
        self._decoder = json.JSONDecoder(object_hook=self._restore)

    def encode(self, message: Any) -> bytes:
        """The bytes of a message of plain values, NumPy numbers and arrays of numbers.

        Raises:
            TypeError: the message holds something else.
        """
        self._blocks: list[bytes] = []
        self._size = 0
        header = self._encoder.encode(message).encode()
        return b"".join((PREFIX.pack(len(header), self._size), header, *self._blocks))

    def _plain(self, value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind in NUMBERS:
            block = value.tobytes()
            place = {"__array__": (value.dtype.str, value.shape, self._size)}
            self._blocks.append(block)
            self._size += len(block)
            return place
        if isinstance(value, np.generic) and value.dtype.kind in NUMBERS:
            return value.item()
        raise TypeError(
            f"{type(value).__name__} cannot be passed between processes: only plain values, "
            "numbers and arrays of numbers can"
        )

    def decode(self, header: bytes, body: bytes) -> Any:
        """The message of a header and a body; arrays are writable copies, tuples become lists."""
        self._body = body
        return self._decoder.decode(header.decode())

    def _restore(self, value: dict[str, Any]) -> Any:
        if "__array__" not in value:
            return value
        kind, shape, begin = value["__array__"]
        # frombuffer refuses types that hold objects
        return np.frombuffer(self._body, kind, math.prod(shape), begin).reshape(shape).copy()


def describe(space: gym.Space[Any]) -> dict[str, Any]:
    """A Box, or a Dict of Boxes, as a message.

    Raises:
        TypeError: it is another space.
    """
    if isinstance(space, gym.spaces.Dict):
        return {"dict": {name: describe(part) for name, part in space.spaces.items()}}
    if isinstance(space, gym.spaces.Box):
        return {"box": [space.low, space.high]}
    raise TypeError(
        f"space {space} cannot be passed between processes: only Box and Dict of Box can"
    )


class Host:
    """Environments by number, all made by one factory.

    Args:
        factory: "package.module:name" or "path/to/file.py:name".
    """

    def __init__(self, factory: str) -> None:
        self.factory = factory
        self.make: Callable[..., gym.Env[Any, Any]] | None = None
        self.environments: dict[int, gym.Env[Any, Any]] = {}

    def answer(self, verb: str, number: int, arguments: dict[str, Any]) -> Any:
        """Answer one request.

        Args:
            verb: begin, step, reset, render, close or call.
            number: of the environment.
            arguments: of the request.
        """
        if verb == "begin":
            return self.begin(number, arguments)
        env = self.environments[number]
        if verb == "step":
            observation, reward, terminated, truncated, info = env.step(arguments["action"])
            return (
                plain_observation(observation),
                float(reward),
                bool(terminated),
                bool(truncated),
                plain_info(info),
            )
        if verb == "reset":
            observation, info = env.reset(**arguments)
            return plain_observation(observation), plain_info(info)
        if verb == "render":
            return env.render()
        if verb == "close":
            self.environments.pop(number).close()
            return None
        return getattr(env.unwrapped, arguments["name"])(**arguments["arguments"])

    def begin(self, number: int, options: dict[str, Any]) -> dict[str, Any]:
        """Make an environment and describe its spaces and rendering."""
        if self.make is None:
            self.make = find(self.factory)
        env = self.make(**options)
        description = {
            "observation_space": describe(env.observation_space),
            "action_space": describe(env.action_space),
            "render_modes": [str(mode) for mode in env.metadata.get("render_modes", [])],
            "render_fps": env.metadata.get("render_fps"),
            "render_mode": env.render_mode,
        }
        self.environments[number] = env
        return description

    def close(self) -> None:
        """Close all environments, also after the `close` of one has failed."""
        for env in self.environments.values():
            with contextlib.suppress(Exception):
                env.close()


def find(factory: str) -> Callable[..., gym.Env[Any, Any]]:
    """The object at "package.module:name" or "path/to/file.py:name"."""
    place, _, name = factory.rpartition(":")
    if place.endswith(".py"):
        spec = importlib.util.spec_from_file_location("isolated_factory", place)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    make: Callable[..., gym.Env[Any, Any]] = getattr(module, name)
    return make


def plain_observation(observation: Any) -> Any:
    """An observation as an array, or as a dictionary of arrays."""
    return (
        {name: np.asarray(part) for name, part in observation.items()}
        if isinstance(observation, dict)
        else np.asarray(observation)
    )


def plain_info(info: dict[str, Any]) -> dict[str, Any]:
    """The numbers, bools and arrays of numbers of an info; other values are dropped."""
    numbers = (bool, int, float, np.bool_, np.integer, np.floating)
    return {
        name: value
        for name, value in info.items()
        if isinstance(name, str)
        and (
            isinstance(value, numbers)
            or (isinstance(value, np.ndarray) and value.dtype.kind in NUMBERS)
        )
    }


def main() -> None:
    """Answer requests until standard input ends."""
    # Ctrl-C is sent to both processes; the client decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    host, codec = Host(sys.argv[1]), Codec()
    with contextlib.suppress(BrokenPipeError):  # the client is gone
        while len(prefix := requests.read(PREFIX.size)) == PREFIX.size:
            header, body = (requests.read(length) for length in PREFIX.unpack(prefix))
            try:
                answer = codec.encode({"value": host.answer(*codec.decode(header, body))})
            except Exception as error:
                answer = codec.encode(
                    {"error": " ".join(f"{type(error).__name__}: {error}".split())}
                )
            answers.write(answer)
            answers.flush()
    host.close()


if __name__ == "__main__":
    main()
