"""Domain and problem texts, checked and brought into the form that unified-planning reads.

Every refusal names the file and the line. The sections may have any order; `:requirements` are
replaced, since what a file uses shows what it requires.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path

from worldplan.milp.errors import DatasetError
from worldplan.nearest import did_you_mean
from worldplan.world_models.pddl.beyond import Beyond
from worldplan.world_models.pddl.declared import (
    BEYOND_SECTIONS,
    DOMAIN_SECTIONS,
    PROBLEM_SECTIONS,
    Declarations,
    check_parameters,
    one_type,
    read_types,
    sections_of,
    typed_list,
)
from worldplan.world_models.pddl.formulas import CHANGES, CONNECTIVES, Formulas
from worldplan.world_models.pddl.names import encoded
from worldplan.world_models.pddl.syntax import Group, Name, Node, at, number, parse_tree, shown

REQUIREMENTS = (
    "(:requirements :strips :typing :negative-preconditions :disjunctive-preconditions :equality "
    ":existential-preconditions :universal-preconditions :conditional-effects :fluents)"
)
ACTION_PARTS = (":parameters", ":precondition", ":effect")


@dataclass
class DomainFile:
    """A checked domain.

    Args:
        text: in the form that unified-planning reads; None if that cannot be (time).
        declared: its declarations.
        changing: names of the functions that some action changes.
        beyond: what the exact models cannot represent.
        name: its name.
        constants: type of each constant.
        actions: (parameter name, type) pairs by action.
    """

    text: str | None
    declared: Declarations
    changing: frozenset[str] = frozenset()
    beyond: list[Beyond] = field(default_factory=list)
    name: str = "domain"
    constants: dict[str, str] = field(default_factory=dict)
    actions: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)


def read_domain_text(text: str, where: str | Path) -> DomainFile:
    """A domain, checked.

    Raises:
        DatasetError: it is malformed; the message names the line.
    """
    title, sections = sections_of(parse_tree(text, where), "domain", DOMAIN_SECTIONS, where)
    declared = read_types(sections, where)
    by_name = {section.head: section for section in sections if section.head != ":action"}
    beyond = [
        Beyond(BEYOND_SECTIONS[section.head], section.line, shown(section, 60))
        for section in sections
        if section.head in BEYOND_SECTIONS
    ]
    lines = [f"(define (domain {encoded(title)})", REQUIREMENTS]
    constants = read_objects(by_name.get(":constants"), declared, where, "constant")
    predicates = _symbols(by_name.get(":predicates"), declared, where, "predicate")
    functions = _symbols(by_name.get(":functions"), declared, where, "function")
    declared.objects.update(constants)
    declared.predicates.update(predicates)
    declared.functions.update(functions)
    if both := declared.predicates.keys() & declared.functions.keys():
        section = by_name[":functions"]
        raise DatasetError(
            f"{at(where, section)}: both a predicate and a function is named '{min(both)}': rename "
            "one"
        )
    actions = [section for section in sections if section.head == ":action"]
    changing = frozenset(_changed(actions))
    signatures: dict[str, tuple[tuple[str, str], ...]] = {}
    texts = _actions(actions, declared, changing, beyond, signatures, where)
    if declared.types:
        kinds = (f"{encoded(kind)} - {encoded(parent)}" for kind, parent in declared.types.items())
        lines.append(f"(:types {' '.join(kinds)})")
    if constants:
        listed = (f"{encoded(entry)} - {encoded(kind)}" for entry, kind in constants.items())
        lines.append(f"(:constants {' '.join(listed)})")
    for head, symbols in ((":predicates", predicates), (":functions", functions)):
        if symbols:
            lines.append(f"({head} {' '.join(starmap(_symbol_text, symbols.items()))})")
    is_timed = any(section.head in BEYOND_SECTIONS for section in sections)
    whole = None if is_timed else "\n".join([*lines, *texts, ")", ""])
    return DomainFile(
        whole, declared, changing, beyond, str(title), dict(declared.objects), signatures
    )


def _symbol_text(entry: str, kinds: tuple[str, ...]) -> str:
    parameters = (f"?x{number} - {encoded(kind)}" for number, kind in enumerate(kinds))
    return f"({' '.join([encoded(entry), *parameters])})"


def read_objects(
    section: Group | None, declared: Declarations, where: str | Path, what: str
) -> dict[str, str]:
    """The type of each constant or object of a section.

    Raises:
        DatasetError: the section is malformed, or one is declared twice with different types.
    """
    objects: dict[str, str] = {}
    for entry, kinds in typed_list(section[1:] if section else (), where, f"{what}s"):
        if entry[0] == "?" or entry.is_number:
            raise DatasetError(f"{at(where, entry)}: {what} '{entry}': it is no name of an object")
        if len(kinds) > 1:
            raise DatasetError(
                f"{at(where, entry)}: {what} '{entry}' has {len(kinds)} types: give one"
            )
        kind = one_type(entry, kinds, declared, where)
        known = objects.get(entry, declared.objects.get(entry, kind))
        if entry in objects or known != kind:
            raise DatasetError(
                f"{at(where, entry)}: {what} '{entry}': {entry} already defined: rename one of the "
                "two"
            )
        objects[str(entry)] = kind
    return objects


def _symbols(
    section: Group | None, declared: Declarations, where: str | Path, what: str
) -> dict[str, tuple[str, ...]]:
    """The argument types of each predicate or function.

    Raises:
        DatasetError: the section is malformed, or has one twice.
    """
    symbols: dict[str, tuple[str, ...]] = {}
    parts = list(section[1:]) if section else []
    while parts:
        entry = parts.pop(0)
        if isinstance(entry, Name):
            if what == "function" and entry == "-" and parts and symbols:
                kind = parts.pop(0)
                if kind != "number":
                    raise DatasetError(
                        f"{at(where, kind)}: functions of type {shown(kind)}: only numbers are"
                    )
                continue
            raise DatasetError(
                f"{at(where, entry)}: '{entry}' among the {what}s: write ({entry} ...) with "
                "parentheses"
            )
        if not entry.head or entry.head[0] in "?:" or entry.head in CONNECTIVES:
            raise DatasetError(f"{at(where, entry)}: {shown(entry)}: this is no {what}'s name")
        if entry.head in symbols:
            raise DatasetError(
                f"{at(where, entry)}: {what} '{entry.head}': {entry.head} already defined: rename "
                "one of the two"
            )
        parameters = typed_list(entry[1:], where, f"parameters of '{entry.head}'")
        check_parameters(parameters, entry, where, distinct=False)  # their names mean nothing
        symbols[str(entry.head)] = tuple(
            one_type(parameter, kinds, declared, where) for parameter, kinds in parameters
        )
    return symbols


def _changed(nodes: Sequence[Node]) -> list[str]:
    """Names of the functions that effects change."""
    changed: list[str] = []
    for node in nodes:
        if isinstance(node, Group):
            if node.head in CHANGES and len(node) > 1:
                target = node[1]
                changed.append(target.head if isinstance(target, Group) else str(target))
            changed += _changed(node)
    return changed


def _actions(
    sections: Sequence[Group],
    declared: Declarations,
    changing: frozenset[str],
    beyond: list[Beyond],
    signatures: dict[str, tuple[tuple[str, str], ...]],
    where: str | Path,
) -> list[str]:
    """The actions as texts; `signatures` receives their parameters.

    Raises:
        DatasetError: one is malformed.
    """
    texts: dict[str, str] = {}
    for section in sections:
        title = section[1] if len(section) > 1 else section
        if not isinstance(title, Name) or title[0] in ":?":
            raise DatasetError(
                f"{at(where, section)}: {shown(section, 40)}: an action needs a name"
            )
        if title in texts:
            raise DatasetError(
                f"{at(where, title)}: action '{title}': {title} already defined: rename one of the "
                "two"
            )
        parts = _action_parts(section, title, where)
        given = parts.get(":parameters", Group())
        parameters = typed_list(given, where, f"parameters of '{title}'")
        check_parameters(parameters, given, where)
        scope = {str(p): one_type(p, kinds, declared, where) for p, kinds in parameters}
        signatures[str(title)] = tuple((p[1:], kind) for p, kind in scope.items())
        noted: list[Beyond] = []
        formulas = Formulas(declared, where, changing, scope, noted)
        condition = formulas.condition(parts.get(":precondition", Group()))
        effect = formulas.effect(parts.get(":effect", Group()))
        beyond += [
            entry._replace(what=f"action '{title}': {entry.what}", text=entry.text)
            for entry in noted
        ]
        listed = " ".join(f"{encoded(p)} - {encoded(kind)}" for p, kind in scope.items())
        texts[str(title)] = (
            f"(:action {encoded(title)} :parameters ({listed}) "
            f":precondition {encoded_text(condition)} :effect {encoded_text(effect)})"
        )
    return list(texts.values())


def _action_parts(section: Group, title: Name, where: str | Path) -> dict[str, Group]:
    """The parts of an action by keyword.

    Raises:
        DatasetError: one is unknown, is given twice, or has nothing behind it.
    """
    parts: dict[str, Group] = {}
    rest = list(section[2:])
    while rest:
        key = rest.pop(0)
        if not isinstance(key, Name) or key not in ACTION_PARTS:
            near = did_you_mean(key, ACTION_PARTS) if isinstance(key, Name) else ""
            raise DatasetError(
                f"{at(where, key)}: action '{title}': {shown(key)} stands where one of "
                f"{', '.join(ACTION_PARTS)} is expected{near}"
            )
        if key in parts:
            raise DatasetError(f"{at(where, key)}: action '{title}': a second '{key}'")
        if not rest or not isinstance(rest[0], Group):
            raise DatasetError(
                f"{at(where, key)}: action '{title}': parentheses are expected behind '{key}'"
            )
        value = rest.pop(0)
        assert isinstance(value, Group)
        parts[str(key)] = value
    return parts


def encoded_text(node: Node) -> str:
    """A part as PDDL, with names that unified-planning reads."""
    if isinstance(node, Group):
        return f"({' '.join(map(encoded_text, node))})"
    return encoded(node)


@dataclass(frozen=True)
class ProblemFile:
    """A checked problem.

    Args:
        text: in the form that unified-planning reads, without the metric.
        beyond: what the exact models cannot represent.
        metric: its section `(:metric ...)`, not checked; None without one.
    """

    text: str
    beyond: list[Beyond]
    metric: Group | None


def read_problem_text(text: str, domain: DomainFile, where: str | Path) -> ProblemFile:
    """A problem, checked but for its metric, which `metrics.read_metric` reads.

    Args:
        text: PDDL text of the problem.
        domain: its domain.
        where: what errors name.

    Raises:
        DatasetError: it is malformed; the message names the line.
    """
    title, sections = sections_of(parse_tree(text, where), "problem", PROBLEM_SECTIONS, where)
    by_name = {section.head: section for section in sections}
    known = domain.declared
    objects = read_objects(by_name.get(":objects"), known, where, "object")
    declared = Declarations(
        known.types, known.unions, known.predicates, known.functions, {**known.objects, **objects}
    )
    beyond: list[Beyond] = []
    if ":constraints" in by_name:
        beyond.append(Beyond("trajectory constraints", by_name[":constraints"].line, ""))
    if ":goal" not in by_name:
        raise DatasetError(f"{where}: the problem has no (:goal ...): add one")
    goal = by_name[":goal"]
    if len(goal) != 2:
        raise DatasetError(
            f"{at(where, goal)}: (:goal ...) holds one condition, not {len(goal) - 1}"
        )
    formulas = Formulas(declared, where, domain.changing, {}, beyond, is_goal=True)
    condition = formulas.condition(goal[1])
    facts = _initial(by_name.get(":init"), formulas)
    own = {entry: kind for entry, kind in objects.items() if entry not in known.objects}
    listed = " ".join(f"{encoded(entry)} - {encoded(kind)}" for entry, kind in own.items())
    lines = [f"(define (problem {encoded(title)})", "(:domain d)"]
    lines += [f"(:objects {listed})"] * bool(own)
    lines += [f"(:init {' '.join(facts)})", f"(:goal {encoded_text(condition)}))", ""]
    return ProblemFile("\n".join(lines), beyond, by_name.get(":metric"))


def _initial(section: Group | None, formulas: Formulas) -> list[str]:
    """The initial facts as texts.

    Raises:
        DatasetError: one is malformed, or two contradict each other.
    """
    values: dict[str, tuple[object, int]] = {}
    texts: dict[str, None] = {}
    entries: list[Node] = list(section[1:]) if section else []
    if len(entries) == 1 and isinstance(entries[0], Group) and entries[0].head == "and":
        entries = list(entries[0][1:])
    for entry in entries:
        if not isinstance(entry, Group):
            raise formulas.refuse(entry, "initial state: a fact in parentheses is expected")
        if entry.head == "=":
            formulas.count(entry, 2)
            fact, value, text = _initial_value(entry, formulas)
        elif entry.head == "at" and formulas.is_timed(entry):
            formulas.note(entry, "a timed initial literal")
            continue
        else:
            negated = entry.head == "not" and len(entry) == 2
            atom = entry[1] if negated else entry
            if isinstance(atom, Group) and not atom.head:
                raise formulas.refuse(entry, "initial state: an expression is empty or incomplete")
            if entry.head in ("and", "or", "forall", "when"):
                raise formulas.refuse(
                    entry, "initial state: a fact or (= (function) number) is expected"
                )
            fact, value = encoded_text(formulas.atom(atom)), not negated
            text = "" if negated else fact
        if fact in values and values[fact][0] != value:
            raise formulas.refuse(
                entry, f"initial state: contradicts line {values[fact][1]}: give one value"
            )
        values[fact] = value, entry.line
        if text:
            texts[text] = None
    return list(texts)


def _initial_value(entry: Group, formulas: Formulas) -> tuple[str, object, str]:
    """(fluent, value, text) of an initial value.

    Raises:
        DatasetError: the fluent is not declared, or the value is no number.
    """
    target, given = entry[1], entry[2]
    if number(target) is not None:
        target, given = given, target
    fluent = formulas.number(target)
    if not isinstance(fluent, Group) or fluent.head not in formulas.declared.functions:
        raise formulas.refuse(entry, "initial state: a function and its number are expected")
    value = number(given)
    if value is None:
        formulas.number(given)  # names what is wrong with it
        raise formulas.refuse(entry, f"initial state: the value is no number: {shown(given)}")
    text = encoded_text(fluent)
    return (
        text,
        value,
        f"(= {text} {value.numerator}{f'/{value.denominator}' * (value.denominator != 1)})",
    )
