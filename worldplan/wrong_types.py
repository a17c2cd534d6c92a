"""What jsonargparse says of a setting of the wrong type, in words."""

from __future__ import annotations

import re

_UNION = re.compile(  # how jsonargparse refuses a value of none of several types
    r'Parser key "([^"]+)": Does not validate against any of the Union subtypes Subtypes: '
    r"\[(.*?)\] Errors: .* Given value type: (\w+) Given value: (.*)"
)
_NO_SETTINGS = re.compile(r"""Parser key "([^"]+)": Unable to load config ['"](.*?)['"]""")
_WORDS = {"str": "text", "NoneType": "null", "int": "a whole number", "float": "a number"}


def in_words(line: str) -> str:
    """The message about a value of the wrong type in words, where it is of a known form."""
    if found := _NO_SETTINGS.search(line):
        return f"{found[1]} is {found[2]}: give settings as 'name: value' lines"
    found = _UNION.search(line)
    if found is None:
        return line
    key, kinds, kind, value = found.groups()
    names = re.split(r", (?![^\[]*\])", kinds)
    quoted = "str" in names and kind in ("int", "float", "bool")
    quotes = f' in quotes ("{value}")' if quoted else ""
    words = [
        "a list"
        if name.startswith(("list", "tuple"))
        else _WORDS.get(name, name) + (quotes if name == "str" else "")
        for name in names
    ]
    return f"{key} is {value}: give {' or '.join(words)}"
