"""Ground atoms, fluents and actions as people and programs write them in one text, and one spelling
for every object.

    fuel truck1          name and objects, as in PDDL; also in parentheses
    fuel(Truck 1)        objects with blanks, separated by commas
    drive "Truck 1" A    objects in double quotes
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable

from worldplan.world_models.numeric.domain import Ground

CALL = re.compile(r'([^\s(),"]+)\s*\((.*)\)', re.DOTALL)
WORD = re.compile(r'"([^"]*)"|([^\s"]+)')


def written_fact(text: str) -> Ground:
    """The name, in lower case, and the objects of a written fact; empty for an empty text.

    Raises:
        ValueError: an object has no name.
    """
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    if match := CALL.fullmatch(text):
        name, inside = match[1], match[2].strip()
        row = next(csv.reader([inside], skipinitialspace=True)) if inside else []
        objects = [" ".join(item.split()) for item in row]
    else:
        name, *objects = [match[1] or match[2] or "" for match in WORD.finditer(text)] or [""]
    if "" in objects:
        raise ValueError(f"'{text}' has an object without a name")
    return (name.lower(), *objects) if name else ()


class Spellings:
    """One spelling for each object: capitals tell objects apart only where the source itself does.

    PDDL does not distinguish `Truck1` and `truck1`. Where two columns differ in capitals only, as
    `fuel A` and `fuel a`, these are two objects, and every mention must be one of them exactly.

    Args:
        declared: the objects of the domain and the problem file, which are in lower case.
        columns: the facts as the columns spell them.
    """

    def __init__(self, declared: Iterable[str], columns: Iterable[Ground]) -> None:
        self.declared = set(declared)
        self.spelled: dict[str, list[str]] = {}
        alike: dict[Ground, Ground] = {}
        for fact in columns:
            other = alike.setdefault(tuple(name.lower() for name in fact), fact)
            for name, same in zip(fact[1:], other[1:], strict=True):
                group = self.spelled.setdefault(name.lower(), [name])
                if name != same:
                    group += [spelling for spelling in (same, name) if spelling not in group]

    def fact(self, written: Ground) -> Ground:
        """A fact with every object in its one spelling.

        Raises:
            ValueError: a name may be one of several objects.
        """
        return written[:1] + tuple(self._one(name) for name in written[1:])

    def _one(self, name: str) -> str:
        if name in self.declared:
            return name
        low = name.lower()
        if low in self.declared:
            return low
        group = self.spelled.setdefault(low, [name])
        if name in group or len(group) == 1:
            return name if name in group else group[0]
        raise ValueError(f"'{name}' is {' or '.join(group)}: write it as one of these")


def with_hint(mistake: str, fact: Ground) -> str:
    """A mistake about the number of objects, with the form that takes names with blanks."""
    if " objects, not " in mistake and len(fact) > 2:
        return f"{mistake}; write a name with blanks as {fact[0]}({' '.join(fact[1:])})"
    return mistake
