"""Names that unified-planning's reader accepts, for names that it does not, and back.

It takes letters, digits, '-' and '_', beginning with a letter, and no keyword of its own.
"""

from __future__ import annotations

import re

MARK = "zz-"
ENCODED = re.compile(r"zz-([0-9a-f]+)-zz")


def encoded(text: str) -> str:
    """A name that unified-planning reads: the name itself, or its bytes in hexadecimal digits."""
    if text.startswith("?"):
        return f"?{_encoded(text[1:])}"
    return _encoded(text)


def _encoded(text: str) -> str:
    is_name = re.fullmatch(r"[a-z][a-z0-9_-]*", text) is not None
    is_plain = (is_name and not text.startswith(MARK)) or (
        not is_name and re.fullmatch(r"[-+]?[\d.][\d._/]*(e[-+]?\d+)?|[-+*/]|[<>]?=|[<>]", text)
    )
    return text if is_plain else f"zz-{text.encode().hex()}-zz"


def decoded(text: str) -> str:
    """The inverse of `encoded`, for every name in a text."""
    return ENCODED.sub(lambda match: bytes.fromhex(match[1]).decode(), text)
