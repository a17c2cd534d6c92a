"""The declarations of a domain, from its tree: sections in any order, typed lists, `either`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worldplan.milp.errors import DatasetError
from worldplan.nearest import did_you_mean
from worldplan.world_models.pddl.syntax import Group, Name, Node, at, shown

LISTS = (":requirements", ":types", ":constants", ":predicates", ":functions")
BEYOND_SECTIONS = {
    ":durative-action": "a durative action",
    ":derived": "a derived predicate",
    ":process": "a process",
    ":event": "an event",
    ":constraints": "trajectory constraints",
}
DOMAIN_SECTIONS = (*LISTS, ":action", *BEYOND_SECTIONS)
PROBLEM_SECTIONS = (
    ":domain",
    ":requirements",
    ":objects",
    ":init",
    ":goal",
    ":metric",
    ":constraints",
    ":length",
)


@dataclass
class Declarations:
    """What a domain declares, as far as its trees have been read.

    Args:
        types: the parent of each type; "object" is the root.
        unions: the type that stands for each `(either ...)`.
        predicates: argument types by name.
        functions: argument types by name.
        objects: type of each constant and object.
    """

    types: dict[str, str] = field(default_factory=dict)
    unions: dict[frozenset[str], str] = field(default_factory=dict)
    predicates: dict[str, tuple[str, ...]] = field(default_factory=dict)
    functions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)

    def is_a(self, kind: str, ancestor: str) -> bool:
        """Whether type `kind` is `ancestor` or a subtype of it."""
        while kind != ancestor and kind in self.types:
            kind = self.types[kind]
        return kind == ancestor or ancestor == "object"


def sections_of(
    tree: Group, what: str, allowed: Sequence[str], where: str | Path
) -> tuple[Name, list[Group]]:
    """The name and the sections of `(define (domain NAME) ...)`.

    Args:
        tree: the file.
        what: "domain" or "problem".
        allowed: names of its sections.
        where: what errors name.

    Raises:
        DatasetError: it is something else, or has an unknown section, or a section twice.
    """
    if tree.head != "define":
        raise DatasetError(f"{at(where, tree)}: Expected '(define ({what} NAME) ...)'")
    title = tree[1] if len(tree) > 1 else tree
    if not isinstance(title, Group) or title.head != what:
        found = title.head if isinstance(title, Group) else ""
        kind, remedy = f", not '{found}'" if found else "", f"begin with (define ({what} NAME)"
        if found == ("problem" if what == "domain" else "domain"):
            remedy = f"give the {what} here, and this file where a {found} is asked for"
        raise DatasetError(f"{at(where, title)}: Expected '{what}'{kind}: {remedy}")
    if len(title) != 2 or not isinstance(title[1], Name):
        raise DatasetError(
            f"{at(where, title)}: {shown(title)}: give the {what} one name, ({what} NAME)"
        )
    sections: list[Group] = []
    seen: set[str] = set()
    for section in tree[2:]:
        if not isinstance(section, Group) or not section.head:
            raise DatasetError(
                f"{at(where, section)}: {shown(section)} is no section: begin each with one of "
                f"{', '.join(allowed)}"
            )
        if section.head not in allowed:
            near = did_you_mean(section.head, allowed)
            raise DatasetError(
                f"{at(where, section)}: '{section.head}' is no section of a {what}{near or ''}: "
                f"choose from {', '.join(allowed)}"
            )
        if section.head in seen and section.head not in (":action", *BEYOND_SECTIONS):
            if section.head == ":metric":
                raise DatasetError(f"{at(where, section)}: the problem has 2 metrics: keep one")
            raise DatasetError(
                f"{at(where, section)}: a second '{section.head}': put both into one"
            )
        seen.add(section.head)
        sections.append(section)
    return title[1], sections


def typed_list(
    parts: Iterable[Node], where: str | Path, what: str
) -> list[tuple[Name, tuple[Name, ...]]]:
    """The names of a typed list, each with its types: several of an `either`, none without one.

    Args:
        parts: `a b - truck c - (either car van) d`.
        where: what errors name.
        what: it lists, for messages.

    Raises:
        DatasetError: it is malformed.
    """
    listed: list[tuple[Name, tuple[Name, ...]]] = []
    waiting: list[Name] = []
    expects_type: Node | None = None
    for part in _separated(parts):
        if expects_type is not None:
            kinds = _kinds(part, where, what)
            listed += [(entry, kinds) for entry in waiting]
            waiting, expects_type = [], None
        elif isinstance(part, Group):
            raise DatasetError(f"{at(where, part)}: {shown(part)} among the {what}: give names")
        elif part == "-":
            if not waiting:
                raise DatasetError(
                    f"{at(where, part)}: a '-' without a name before it in the {what}"
                )
            expects_type = part
        else:
            waiting.append(part)
    if expects_type is not None:
        raise DatasetError(f"{at(where, expects_type)}: a type is missing after '-' in the {what}")
    return listed + [(entry, ()) for entry in waiting]


def _separated(parts: Iterable[Node]) -> Iterable[Node]:
    """The parts with `-truck` as `-`, `truck`."""
    for part in parts:
        if isinstance(part, Name) and part[0] == "-" and len(part) > 1 and not part.is_number:
            yield Name.at("-", part.line)
            yield Name.at(part[1:], part.line)
        else:
            yield part


def _kinds(part: Node, where: str | Path, what: str) -> tuple[Name, ...]:
    if isinstance(part, Name):
        return (part,)
    kinds = [kind for kind in part[1:] if isinstance(kind, Name)]
    if part.head != "either" or len(kinds) < len(part) - 1 or not kinds:
        raise DatasetError(
            f"{at(where, part)}: {shown(part)} among the {what}: a type is a name or (either a b)"
        )
    return tuple(kinds)


def read_types(sections: Sequence[Group], where: str | Path) -> Declarations:
    """The types of a domain; with a type for each `(either ...)` of its other sections.

    Raises:
        DatasetError: they are malformed, or an `either` cuts across the hierarchy.
    """
    declared = Declarations()
    for section in sections:
        if section.head != ":types":
            continue
        for kind, parents in typed_list(section[1:], where, "types"):
            if len(parents) > 1:
                raise DatasetError(
                    f"{at(where, kind)}: type '{kind}' has {len(parents)} parents: a type has one"
                )
            parent = str(parents[0]) if parents else "object"
            if kind == "object" or kind == parent:
                continue  # the root, which some domains declare
            if declared.types.get(kind, parent) != parent:
                if "object" not in (declared.types[kind], parent):
                    raise DatasetError(
                        f"{at(where, kind)}: type '{kind}' is already below "
                        f"'{declared.types[kind]}': a type has one parent"
                    )
                parent = parent if parent != "object" else declared.types[kind]
            declared.types[str(kind)] = parent
    for parent in list(declared.types.values()):
        if parent != "object":
            declared.types.setdefault(parent, "object")  # used and not listed, as many domains do
    _check_cycles(declared.types, where)
    for kinds, node in sorted(_unions(sections), key=lambda entry: -len(entry[0])):
        _add_union(declared, kinds, node, where)
    return declared


def _check_cycles(types: Mapping[str, str], where: str | Path) -> None:
    for kind in types:
        above, seen = kind, set[str]()
        while above in types:
            if above in seen:
                raise DatasetError(f"{where}: types: '{above}' is its own ancestor")
            seen.add(above)
            above = types[above]


def _unions(nodes: Iterable[Node]) -> Iterable[tuple[frozenset[str], Node]]:
    """The types of every `either` of predicates, functions and actions."""
    for node in nodes:
        if not isinstance(node, Group):
            continue
        if node.head == "either":
            yield frozenset(str(part) for part in node[1:]), node
        elif node.head not in (":types", "forall", "exists"):
            yield from _unions(node)


def _add_union(
    declared: Declarations, kinds: frozenset[str], node: Node, where: str | Path
) -> None:
    """Add a type above the types of an `either`.

    Raises:
        DatasetError: one is not declared, or they have different parents.
    """
    for kind in kinds:
        check_type(Name.at(kind, node.line), declared, where)
    if kinds in declared.unions:
        return  # of an earlier place
    top = {k for k in kinds if not any(o != k and declared.is_a(k, o) for o in kinds)}
    if len(top) == 1:
        declared.unions[kinds] = top.pop()
        return
    parents = {declared.types.get(kind, "object") for kind in top}
    if len(parents) > 1:
        raise DatasetError(
            f"{at(where, node)}: {shown(node)}: its types have different parents "
            f"({', '.join(sorted(parents))}), or overlap with those of another either: declare "
            "a type above them and use that"
        )
    union = "-or-".join(sorted(top))
    while union in declared.types:
        union += "-union"
    declared.types[union] = parents.pop()
    for kind in top:
        declared.types[kind] = union
    declared.unions[kinds] = union


def check_type(kind: Name, declared: Declarations, where: str | Path) -> str:
    """The name of a declared type.

    Raises:
        DatasetError: it is not declared.
    """
    if kind != "object" and kind not in declared.types:
        near = did_you_mean(kind, declared.types)
        raise DatasetError(
            f"{at(where, kind)}: type '{kind}' is not declared{near or ''}: add it to (:types ...)"
        )
    return str(kind)


def one_type(
    entry: Name, kinds: tuple[Name, ...], declared: Declarations, where: str | Path
) -> str:
    """The type of an entry of a typed list; that above all of an `either`."""
    for kind in kinds:
        check_type(kind, declared, where)
    if len(kinds) > 1:
        return declared.unions[frozenset(map(str, kinds))]
    return str(kinds[0]) if kinds else "object"


def check_parameters(
    parameters: Sequence[tuple[Name, tuple[Name, ...]]],
    node: Group,
    where: str | Path,
    *,
    distinct: bool = True,
) -> None:
    """Check that parameters are variables, with different names if they are to be `distinct`.

    Raises:
        DatasetError: they are not.
    """
    seen: set[str] = set()
    for parameter, _ in parameters:
        if parameter[0] != "?" or len(parameter) == 1:
            raise DatasetError(
                f"{at(where, parameter)}: the parameter {parameter} of {shown(node)}: a parameter "
                "begins with '?'"
            )
        if distinct and parameter in seen:
            raise DatasetError(
                f"{at(where, parameter)}: the parameter {parameter} is declared twice in "
                f"{shown(node)}: rename one"
            )
        seen.add(str(parameter))
