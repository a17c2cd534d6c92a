"""The connection of a command to Ray."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from worldplan.milp.errors import ConfigError, MissingExtra, one_line

ADDRESS = "RAY_ADDRESS"
_CONNECT = 10  # seconds until a machine must accept a connection; Ray itself tries for minutes
_SERVER = re.compile(r"(?:ray://)?(?P<host>\[[0-9a-fA-F:]+\]|[^:/]+):(?P<port>\d+)")


def require_ray() -> Any:
    """The module `ray`.

    Raises:
        MissingExtra: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("--engine ray needs Ray: pip install 'worldplan[ray]'") from error
    return ray


@contextmanager
def connected() -> Iterator[Any]:
    """The module `ray`, connected to the cluster at RAY_ADDRESS while the block under `with` runs;
    without the variable, to a Ray that was started on this machine, else to a new one.

    A connection that is there already is used, and left as it is.

    Raises:
        ConfigError: there is no such cluster, or it has other versions.
        MissingExtra: Ray is not installed.
    """
    ray = require_ray()
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get(ADDRESS, "")
    _check_server(address)
    try:
        with _quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:  # of many types
        place = f"{ADDRESS} {address}" if address else "Ray on this machine"
        raise ConfigError(
            f"{place}: cannot connect ({type(error).__name__}: {one_line(error)}): check it with "
            "'ray status'; where the cluster has a token, set RAY_AUTH_MODE=token"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def start_actor(ray: Any, kind: Callable[..., Any], *arguments: Any, name: str = "") -> Any:
    """An actor of a class, which runs on the machine of the command where that belongs to the
    cluster, so that no other machine's loss ends it.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = ray.get_runtime_context().get_node_id()
    place = NodeAffinitySchedulingStrategy(node, soft=True)
    actor = ray.remote(num_cpus=0)(kind)
    return actor.options(scheduling_strategy=place, name=name or None).remote(*arguments)


@contextmanager
def _quiet() -> Iterator[None]:
    """Let nothing reach the terminal in the block under `with`: Ray's notices come from native
    code, which writes to the descriptor.
    """
    sys.stderr.flush()
    with open(os.devnull, "w") as nowhere:
        terminal = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _check_server(address: str) -> None:
    """Check that the machine of an address accepts connections.

    Raises:
        ConfigError: it does not.
    """
    match = _SERVER.fullmatch(address)
    if match is None:  # "", "auto", "local", or what Ray will refuse
        return
    try:
        place = (match["host"].strip("[]"), int(match["port"]))
        socket.create_connection(place, timeout=_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"{ADDRESS} {address}: nothing accepts connections there ({one_line(error)}): start "
            "Ray there with 'ray start --head', or mend the variable"
        ) from error
