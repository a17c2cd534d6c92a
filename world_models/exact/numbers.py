"""Exact numbers: a text or a floating-point number in, an int or a Fraction out."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from numbers import Integral
from typing import Any

Rational = int | Fraction
Point = tuple[Rational, ...]
EXPONENT = re.compile(r"[eE]([+-]?\d{1,20})$")


def exact(number: Any) -> Rational:
    """The number itself, as an int if it is an integer and as a Fraction otherwise.

    A decimal text is read as the decimal ("0.1" is 1/10), a float, also of numpy, as its shortest
    decimal.

    Args:
        number: int, float, str, Fraction, Decimal, or a number of numpy.

    Raises:
        ValueError: not a finite number, or a text of over 400 characters or with an exponent beyond
            +-300.
        ZeroDivisionError: a text such as "1/0".
    """
    if isinstance(number, Integral):  # an int, or an integer of numpy
        return int(number)
    if isinstance(number, str) and not (
        len(number) <= 400 and abs(int((EXPONENT.findall(number) or ["0"])[0])) <= 300
    ):
        raise ValueError(f"{number[:40]}... is too long or too large a number")
    value = (
        number
        if isinstance(number, Fraction)
        else Fraction(number if isinstance(number, str | Decimal) else str(number))
    )
    return value.numerator if value.denominator == 1 else value
