"""Mutations of valid files: of bytes, of lines, and of the values in their structure."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

VALUE = re.compile(rb"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?(?![\w.])|\b[A-Za-z_][\w./-]*\b")
WORDS = """
0 -1 1 2 3 1e400 -1e400 1e-320 nan .nan inf .inf -.inf null ~ true false on off yes
999999999999 18446744073709551616 -9223372036854775809 010 0x10 1_000 1:30 0.5 1/3
2026-11-22 2026-99-99 !!python/object:os.system {} [] [[]] {a:1} &a *a <<: "" " % $HOME ~/x
../nowhere/x /dev/zero /dev/stdin . [/] [bold] {{7*7}} %s
"""
EVIL = [
    *WORDS.encode().split(),
    b"9" * 100_000,
    b"1/" + b"3" * 100_000,
    b"0." + b"1" * 100_000,
    b"x" * 200_000,
    b"\xff\xfe",
    b"\x00",
    "größe→\u2028\u202e".encode(),
    "３".encode(),
    b"",
    b"\t",
    b"\n",
    b"(",
    b")",
    b"(not " * 2000,
    b"{" * 600,
    b"[" * 2000,
    b",",
    b";",
    b"#",
    b": ",
    b"- ",
]
ALPHABET = b"()[]{}:;,'\"#&*!|>%@`\\\n\t\r\x00\xff 0123456789-+.eE/"

Mutation = Callable[[bytes, random.Random], bytes]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.choice([0, 1, rng.randrange(len(data)), len(data) - 1])]


def insert_bytes(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes(rng.choices(ALPHABET, k=rng.choice([1, 1, 3]))) + data[place:]


def delete_block(data: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(len(data))
    return data[:first] + data[first + rng.choice([1, 1, 4, 16, 256]) :]


def repeat_block(data: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(len(data))
    block = data[first : first + rng.choice([1, 4, 16, 256])]
    return data[:first] + block * rng.choice([2, 3, 100]) + data[first:]


def overwrite_block(data: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(len(data))
    size = rng.choice([2, 4, 8, 16])
    filling = rng.choice([b"\x00", b"\xff", b"\x7f", rng.randbytes(1)]) * size
    return data[:first] + filling + data[first + size :]


def delete_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def double_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    number = rng.randrange(len(lines))
    lines[number:number] = [lines[number]] * rng.choice([1, 1, 50])
    return b"".join(lines)


def swap_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def replace_value(data: bytes, rng: random.Random) -> bytes:
    matches = list(VALUE.finditer(data))
    if not matches:
        return insert_bytes(data, rng)
    match = rng.choice(matches)
    return data[: match.start()] + rng.choice(EVIL) + data[match.end() :]


def swap_values(data: bytes, rng: random.Random) -> bytes:
    matches = list(VALUE.finditer(data))
    if len(matches) < 2:
        return insert_bytes(data, rng)
    first, second = sorted(rng.sample(matches, 2), key=lambda match: match.start())
    between = data[first.end() : second.start()]
    return data[: first.start()] + second[0] + between + first[0] + data[second.end() :]


def nest(data: bytes, rng: random.Random) -> bytes:
    opening, closing = rng.choice([(b"(", b")"), (b"[", b"]"), (b"{", b"}"), (b"(not ", b")")])
    depth = rng.choice([2, 50, 600, 2000, 100_000])
    matches = list(VALUE.finditer(data)) or [re.match(rb"", data)]
    match = rng.choice([match for match in matches if match])
    inside = opening * depth + match[0] + closing * depth
    return data[: match.start()] + inside + data[match.end() :]


def recode(data: bytes, rng: random.Random) -> bytes:
    text = data.decode("utf-8", errors="replace")
    return text.encode(rng.choice(["utf-16", "utf-32", "utf-16-le", "cp037"]), errors="replace")


def lengthen(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice([data, b"\n" * 100_000, b" " * 100_000, rng.randbytes(1000), b"\x00"])


BINARY: list[Mutation] = [
    flip_bits,
    truncate,
    insert_bytes,
    delete_block,
    repeat_block,
    overwrite_block,
    overwrite_block,
    lengthen,
]
TEXT: list[Mutation] = [
    flip_bits,
    truncate,
    insert_bytes,
    delete_block,
    repeat_block,
    delete_line,
    double_line,
    swap_lines,
    replace_value,
    replace_value,
    replace_value,
    replace_value,
    swap_values,
    nest,
    recode,
    lengthen,
]


def mutate(data: bytes, is_text: bool, rng: random.Random) -> tuple[bytes, str]:
    """A mutant of `data` that differs from it, and the names of its mutations."""
    mutant, names = data, list[str]()
    while mutant == data or (rng.random() < 0.2 and mutant):
        mutation = rng.choice(TEXT if is_text else BINARY)
        mutant = mutation(mutant or data, rng)
        names.append(mutation.__name__)
    return mutant, "+".join(names)
