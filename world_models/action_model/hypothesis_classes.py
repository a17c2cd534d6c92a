"""What a user may declare about an action's unknown numbers: which sets its precondition may be,
which maps its effects.

A learned set is the intersection of all sets of the declared class that contain what was seen, so
it is safe if, and only if, the true precondition belongs to the class. `convex` with `affine`
effects, the default, is NSAM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from worldplan.milp.errors import ConfigError
from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.domain import Lifted

PRECONDITIONS = ("convex", "monotone", "juntas", "groups", "finite")
EFFECTS = ("affine", "sparse", "increment")


@dataclass(frozen=True)
class Declaration:
    """What is known beforehand about one action. Fluents are named as in the action: "weight ?y",
    "fuel-cost".

    Args:
        preconditions: "convex"; "monotone" (resources: more, or less, of a fluent never hurts;
            `directions`); "juntas" (each inequality looks at `size` fluents at most); "groups"
            (fluents of different `groups` never meet in an inequality); "finite" (nothing is known:
            only values seen before).
        directions: of monotone fluents: 1 if more never hurts, -1 if less, 0 (and every fluent not
            named) neither; without any, all are 1.
        size: of the juntas.
        groups: of fluents; those in no group form one together.
        precondition_fluents: the only fluents the precondition may mention; None for all.
        effects: "affine"; "sparse" (each change depends on `support` fluents at most); "increment"
            (each change is constant).
        support: of sparse effects.
        effect_fluents: the only fluents that change, each with the fluents its change depends on;
            None for all on all.
    """

    preconditions: str = "convex"
    directions: Mapping[str, int] = field(default_factory=dict)
    size: int = 2
    groups: tuple[tuple[str, ...], ...] = ()
    precondition_fluents: tuple[str, ...] | None = None
    effects: str = "affine"
    support: int = 1
    effect_fluents: Mapping[str, tuple[str, ...]] | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("preconditions", self.preconditions, PRECONDITIONS),
            ("effects", self.effects, EFFECTS),
        ):
            if value not in known:
                raise ConfigError(f"{name}: '{value}' is unknown: use {', '.join(known)}")
        if self.size < 1 or self.support < 0:
            raise ConfigError(
                f"size is {self.size} and support {self.support}: give at least 1 and at least 0"
            )
        if any(sign not in (-1, 0, 1) for sign in self.directions.values()):
            raise ConfigError(
                "directions: give 1 (more never hurts), -1 (less never hurts) or 0 for each fluent"
            )

        if self.directions and self.preconditions != "monotone":
            raise ConfigError(
                f"directions belong to 'monotone' preconditions, not to '{self.preconditions}'"
            )

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Declaration:
        """From plain lists and mappings, as a YAML file gives them. Raises ConfigError."""
        values = dict(values)
        for name in ("groups", "precondition_fluents"):
            if values.get(name) is not None:
                values[name] = tuple(
                    tuple(entry) if isinstance(entry, list) else entry for entry in values[name]
                )
        try:
            return Declaration(**values)
        except TypeError as error:
            known = ", ".join(Declaration.__dataclass_fields__)
            raise ConfigError(
                f"declaration {values}: {str(error).split(') ')[-1]}; known settings are {known}"
            ) from error


@dataclass(frozen=True)
class SeenPoints:
    """A finite set of points: what is accepted when nothing may be assumed."""

    points: frozenset[Point]

    def contains(self, point: Point) -> bool:
        """Exact membership."""
        return point in self.points

    def bounds(self) -> list[tuple[Rational | None, Rational | None]]:
        """Least and greatest value of each coordinate."""
        return [(min(column), max(column)) for column in zip(*self.points, strict=True)]


def fluent_text(fluent: Lifted, parameters: tuple[tuple[str, str], ...]) -> str:
    """A lifted fluent or atom as a user writes it: "load ?truck"."""
    return " ".join(f"?{parameters[term][0]}" if isinstance(term, int) else term for term in fluent)


def resolve(names: Iterable[str], fluents: Mapping[str, int], action: str) -> tuple[int, ...]:
    """Positions of fluents given by text. Raises ConfigError for one the action has not."""
    for name in names:
        if name not in fluents:
            raise ConfigError(
                f"action '{action}' has no numeric fluent '{name}'; it has: {', '.join(fluents) or 'none'}"
            )
    return tuple(sorted(fluents[name] for name in set(names)))


@dataclass(frozen=True)
class FluentBlock:
    """Some of the fluents, by position, and their directions: the precondition looks at them
    together.
    """

    fluents: tuple[int, ...]
    directions: tuple[int, ...]

    def shape(self, points: Iterable[Point]) -> Polyhedron:
        """The smallest allowed set of these fluents' values."""
        return Polyhedron(
            (tuple(point[i] for i in self.fluents) for point in points), self.directions
        )


def fluent_blocks(
    declaration: Declaration, names: Mapping[str, int], action: str
) -> list[FluentBlock]:
    """The precondition's class as blocks: a state is accepted if every block's values lie in that
    block's set.
    """
    chosen = (
        tuple(names.values())
        if declaration.precondition_fluents is None
        else resolve(declaration.precondition_fluents, names, action)
    )
    signs = {
        resolve([name], names, action)[0]: sign for name, sign in declaration.directions.items()
    }
    sets: list[tuple[int, ...]] = [chosen]
    if declaration.preconditions == "juntas":
        sets = list(combinations(chosen, min(declaration.size, len(chosen))))
    elif declaration.preconditions == "groups":
        grouped = [
            tuple(i for i in resolve(group, names, action) if i in chosen)
            for group in declaration.groups
        ]
        sets = [*grouped, tuple(i for i in chosen if not any(i in group for group in grouped))]
    monotone = declaration.preconditions == "monotone"
    return [
        FluentBlock(one, tuple(signs.get(i, 0 if signs else 1) if monotone else 0 for i in one))
        for one in sets
        if one
    ]


def supports(
    declaration: Declaration, names: Mapping[str, int], action: str, changed: str
) -> list[tuple[int, ...]]:
    """The sets of fluents that a fluent's change may depend on: one of them does explain it, which
    one is unknown.
    """
    everything = tuple(names.values())
    if declaration.effect_fluents is not None:
        everything = resolve(declaration.effect_fluents.get(changed, ()), names, action)
    if declaration.effects == "increment":
        return [()]
    if declaration.effects == "sparse":
        return list(combinations(everything, min(declaration.support, len(everything))))
    return [everything]
