"""What jsonargparse says of a setting of the wrong type, in words."""

from __future__ import annotations

import re

_UNION = re.compile(  # how jsonargparse refuses a value of none of several types
    r'Parser key "([^"]+)": Does not validate against any of the Union subtypes Subtypes: '
    r"\[(.*?)\] Errors: .* Given value type: (\w+) Given value: (.*)"
)
_NO_SETTINGS = re.compile(r"""Parser key "([^"]+)": Unable to load config ['"](.*?)['"]""")
_ONE = re.compile(r'Parser key "([^"]+)": Expected a (\w+)\. Got value: (.*)', re.DOTALL)
_CLASS = re.compile(r"<class '[\w.]+\.(\w+)'>")  # "Logger", of <class 'lightning. ... .Logger'>
_NO_CLASS = re.compile(
    r'Parser key "([^"]+)": .*Import path does not correspond to a subclass of '
    r"(\w+) .*Given value: (.*)"
)
_WORDS = {
    "str": "text",
    "NoneType": "null",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}


def in_words(line: str) -> str:
    """The message about a value of the wrong type in words, where it is of a known form."""
    if found := _NO_SETTINGS.search(line):
        return f"{found[1]} is {found[2]}: give settings as 'name: value' lines"
    if found := _ONE.search(line):
        return f"{line}: give {_WORDS.get(found[2], found[2])}"
    if found := _NO_CLASS.search(line):
        return f"{found[1]} is {found[3]}: is no {found[2]}: give the class path of one"
    found = _UNION.search(line)
    if found is None:
        return line
    key, kinds, kind, value = found.groups()
    names = re.split(r", (?![^\[]*\])", kinds)
    quoted = "str" in names and kind in ("int", "float", "bool")
    quotes = f' in quotes ("{value}")' if quoted else ""
    words = [_in_words(name) + (quotes if name == "str" else "") for name in names]
    return f"{key} is {value}: give {' or '.join(dict.fromkeys(words))}"


def _in_words(kind: str) -> str:
    """The name of a type, as Python writes it, in words."""
    if kind.startswith(("list", "tuple", "collections.abc.Iterable")):
        return "a list"
    if kind.startswith("typing.Literal["):
        return " or ".join(kind.removeprefix("typing.Literal[").removesuffix("]").split(", "))
    if found := _CLASS.fullmatch(kind):
        return f"a {found[1]}"
    return _WORDS.get(kind, kind)
