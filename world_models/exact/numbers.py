"""Exact numbers: how a text or a floating-point number becomes a rational one."""

from __future__ import annotations

import re
from fractions import Fraction

Rational = int | Fraction
Point = tuple[Rational, ...]
EXPONENT = re.compile(r"[eE]([+-]?\d{1,20})$")


def exact(number: int | float | str | Fraction) -> Rational:
    """The number itself, as an int if whole: decimals are read as decimals ("0.1" is 1/10), floats
    by their shortest decimal.

    Raises:
        ValueError: not a finite number.
    """
    if isinstance(number, int):
        return int(number)
    if isinstance(number, str) and not (
        len(number) <= 400 and abs(int((EXPONENT.findall(number) or ["0"])[0])) <= 300
    ):
        raise ValueError(f"{number[:40]}... is too long or too large a number")
    value = (
        number
        if isinstance(number, Fraction)
        else Fraction(repr(float(number)) if isinstance(number, float) else number)
    )
    return value.numerator if value.denominator == 1 else value
