"""What the pages read from forms and cookies."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Depends, Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from worldplan.milp.errors import ConfigError

_MOST_FIELDS = 200_000  # of a form: five for each client
BY = "by"  # the cookie with the user's name, and the field of a form


async def form_of(request: Request) -> FormData:
    """The fields of a form.

    Raises:
        ConfigError: the body is no form of a page.
    """
    kind = request.headers.get("content-type", "")
    if not kind.startswith("application/x-www-form-urlencoded"):
        raise ConfigError("this change is no form of a page: use /api, or the pages")
    return await request.form(max_fields=_MOST_FIELDS)


Form = Annotated[FormData, Depends(form_of)]


def see(address: str, by: str) -> Response:
    """Redirect to a page after a change."""
    answer = RedirectResponse(address, 303)
    remember(answer, by)
    return answer


def remember(answer: Response, by: str) -> None:
    """Keep the user's name in a cookie."""
    if by:
        answer.set_cookie(BY, quote(by, safe=""), 30_000_000, samesite="strict", httponly=True)


def user_of(request: Request) -> str:
    """The name that the user gave before, or ""."""
    return unquote(request.cookies.get(BY, ""))


def texts(form: FormData, name: str) -> list[str]:
    """The values of a field."""
    return [value for value in form.getlist(name) if isinstance(value, str)]


def text_of(form: FormData, name: str) -> str:
    """The first value of a field, or ""."""
    return next(iter(texts(form, name)), "").strip()


def named(values: list[str]) -> tuple[str, ...]:
    """The values that are not blank, each once."""
    return tuple(dict.fromkeys(value for value in values if value.strip()))
