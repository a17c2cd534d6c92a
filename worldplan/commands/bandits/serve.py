"""`worldplan bandits serve`: a programme's pages for its coordinator, and an HTTP interface."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

from worldplan.commands.bandits.day import make_setup
from worldplan.commands.bandits.scenario import make_scenario, parse_scenario, scenario_parser
from worldplan.lists import items
from worldplan.milp.errors import ConfigError, MissingExtra
from worldplan.output.console import plain_console

_LARGEST_PORT = 65_535


def main(argv: Sequence[str]) -> int:
    """Entry of the command; returns its exit code when the server is stopped by Ctrl-C.

    Raises:
        ConfigError: a setting is wrong, or the address is in use.
        MissingExtra: FastAPI or uvicorn is not installed.
    """
    parser = scenario_parser(
        "bandits serve", "Show a programme's days in a browser: lists, reasons, outcomes."
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; with another than 127.0.0.1, a token is needed, printed once",
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument(
        "--names", default="", help="NAME,...: further host names by which the server is called"
    )
    settings, base = parse_scenario(parser, argv)
    scenario = make_scenario(parser, settings, base)
    setup = make_setup(scenario, base)
    try:
        import fastapi  # noqa: F401  # takes half a second
        import python_multipart  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtra(
            f"bandits serve needs {error.name}: pip install 'worldplan[serve]'"
        ) from error
    from worldplan.routine.web.app import create_app
    from worldplan.routine.web.security import access_for, is_local

    token = "" if is_local(settings.host) else secrets.token_urlsafe(24)
    names = tuple(name for name in items(settings.names) if name)
    app = create_app(setup, access_for(settings.host, token, names))
    with listen(settings.host, settings.port) as listener:
        _announce(settings.host, listener.getsockname()[1], token, setup.database)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", server_header=False, lifespan="off")
        )
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            plain_console().print("stopped")
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Raises:
        ConfigError: the address is in use, or is none of this machine.
    """
    if not 0 <= port <= _LARGEST_PORT:
        raise ConfigError(f"--port {port}: give 0 to {_LARGEST_PORT}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {host}: is no address of this machine ({error})") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"--host {host} --port {port}: cannot listen there ({error.strerror}): give another "
            "--port, or 0 for a free one"
        ) from error
    return listener


def _announce(host: str, port: int, token: str, database: Path) -> None:
    """Print the address."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    shown = f"[{name}]" if ":" in name else name
    query = f"?token={token}" if token else ""
    console = plain_console()
    console.print(f"{database}: http://{shown}:{port}/{query}", soft_wrap=True)
    console.print(f"interface: http://{shown}:{port}/api/openapi.json", soft_wrap=True)
    if token:
        console.print("the address holds the token: who has it may change the programme")
    console.print("Ctrl-C stops")
