"""Who may use the pages: the host's name, a token, and the origin of a change are checked.

A page on the internet must not reach a programme through its reader's browser. It could send a
request that changes something (refused by its Origin), or point a name of its own to 127.0.0.1
(refused by its Host). Where other machines can connect, a request needs the token, in a cookie
or a header.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worldplan.routine.web.messages import Problem

COOKIE = "worldplan-token"
MOST_BYTES = 16_000_000  # of a body: the form of 40,000 clients
_TOO_LARGE = f"the body has more than {MOST_BYTES // 1_000_000} MB: send less at a time"
_READING = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'; "
    "base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, the Origin of our own forms is "null"
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """Who may use the pages.

    Args:
        token: that a request must have; "": none.
        names: host names by which the server may be called.
        addresses: whether any address may be, as where the server listens to other machines; else
            those of this machine only.
    """

    token: str = ""
    names: tuple[str, ...] = ("localhost",)
    addresses: bool = False

    def allows_host(self, host: str) -> bool:
        """Whether `host`, from the header Host, may be this server."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:  # an open bracket
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name.lower() in self.names
        return self.addresses or address.is_loopback

    def allows_token(self, given: str) -> bool:
        """Whether `given` is the token; takes the same time for every wrong one."""
        return not self.token or hmac.compare_digest(given.encode(), self.token.encode())


def access_for(host: str, token: str, names: tuple[str, ...] = ()) -> Access:
    """The access of a server that listens on `host`.

    Args:
        host: address or name.
        token: that requests must have; "": none.
        names: further names by which the server may be called.
    """
    own = [] if is_local(host) else [host, socket.gethostname(), socket.getfqdn()]
    known = {name.lower() for name in ("localhost", *own, *names)}
    return Access(token, tuple(sorted(known)), not is_local(host))


def is_local(host: str) -> bool:
    """Whether only this machine can connect to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """ASGI middleware that refuses requests by the rules of `Access`.

    Args:
        app: what is guarded.
        access: the rules.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope, Headers(scope=scope))
        answer = refusal if refusal is not None else self.app
        taken = 0

        async def receive_counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST_BYTES:
                raise HTTPException(413, _TOO_LARGE)
            return message

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await answer(scope, receive_counted, send_guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a request that is refused, or None."""
        path, method = scope["path"], scope["method"]
        if not self.access.allows_host(headers.get("host", "")):
            return _answer(
                path, 400, "this server has another name: use the address that it printed"
            )
        length = headers.get("content-length", "")
        if length.isascii() and length.isdecimal() and int(length[:20]) > MOST_BYTES:
            return _answer(path, 413, _TOO_LARGE)
        if method not in _READING and not _same_origin(headers):
            return _answer(path, 403, "this change was sent by another site: it is refused")
        if self.access.allows_token(_token(headers)):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        given = dict(query).get("token", "")
        if method == "GET" and given and self.access.allows_token(given):
            return _with_cookie(path, [pair for pair in query if pair[0] != "token"], given)
        return _answer(
            path, 401, "open the address with ?token=... that was printed when the server started"
        )


def _same_origin(headers: Headers) -> bool:
    """Whether a request comes from a page of this server, or from no browser."""
    origin = headers.get("origin")
    if origin is not None:
        try:
            return urlsplit(origin).netloc == headers.get("host")
        except ValueError:  # an open bracket
            return False
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _token(headers: Headers) -> str:
    """The token that a request has in a header or a cookie, or ""."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    cookies = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _with_cookie(path: str, query: list[tuple[str, str]], token: str) -> Response:
    """Redirect to the same page without the token, which a cookie keeps from then on."""
    # a path that begins with two slashes would be another site
    target = "/" + path.lstrip("/") + (f"?{urlencode(query)}" if query else "")
    answer = RedirectResponse(target, 303)
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", path="/")
    return answer


def _answer(path: str, status: int, text: str) -> Response:
    if path.startswith("/api/"):
        return JSONResponse(Problem(detail=text).model_dump(), status)
    return PlainTextResponse(f"{text}\n", status)
