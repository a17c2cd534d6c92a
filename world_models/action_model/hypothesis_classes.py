"""Classes of numeric preconditions and effects that a user may declare for an action before
learning.

The learned set is the intersection of all sets of the declared class that contain the observed
points. It is therefore safe if, and only if, the true precondition belongs to the class. The
default, "convex" preconditions and "affine" effects, is NSAM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields
from worldplan.nearest import did_you_mean
from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.exact.polyhedron import Polyhedron
from worldplan.world_models.numeric.domain import Lifted

PRECONDITIONS = ("convex", "monotone", "juntas", "groups", "finite")
EFFECTS = ("affine", "sparse", "increment")


@dataclass(frozen=True)
class Declaration:
    """What is known about one action before learning. Fluents are named as in the action: "weight
    ?y", "fuel-cost".

    Args:
        preconditions: "convex"; "monotone" (a larger, or a smaller, value of a fluent never makes
            the action inapplicable; see `directions`); "juntas" (each inequality contains at most
            `size` fluents); "groups" (no inequality contains fluents of different `groups`);
            "finite" (nothing is known: only observed values are accepted).
        directions: of monotone fluents: 1 if a larger value never hurts, -1 if a smaller value
            never hurts, 0 (also for fluents that are not named) if neither. Without any entry, all
            are 1.
        size: largest number of fluents in an inequality of "juntas".
        groups: for "groups"; all other fluents form one further group.
        precondition_fluents: the only fluents that the precondition may contain; None for all.
        effects: "affine"; "sparse" (each change depends on at most `support` fluents); "increment"
            (each change is constant).
        support: largest number of fluents that a "sparse" change depends on.
        effect_fluents: the only fluents that change, each with the fluents that its change may
            depend on; None if all may change and depend on all.

    Raises:
        ConfigError: an unknown class, or a setting out of range or without use.
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
        """Check the settings.

        Raises:
            ConfigError: an unknown class, or a setting out of range or without use.
        """
        check_fields(self)
        for name, value, known in (
            ("preconditions", self.preconditions, PRECONDITIONS),
            ("effects", self.effects, EFFECTS),
        ):
            if value not in known:
                near = did_you_mean(str(value), known)
                raise ConfigError(f"{name}: '{value}' is unknown{near}: use {', '.join(known)}")
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
        """A declaration from plain lists and mappings, as in a YAML file.

        Args:
            values: settings by name.

        Raises:
            ConfigError: an unknown setting, or a wrong value.
        """
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
    """A finite set of points: the set of the class "finite".

    Args:
        points: the observed points.
    """

    points: frozenset[Point]

    def contains(self, point: Point) -> bool:
        """Exact membership."""
        return point in self.points

    def bounds(self) -> list[tuple[Rational | None, Rational | None]]:
        """Least and greatest value of each coordinate."""
        return [(min(column), max(column)) for column in zip(*self.points, strict=True)]


def fluent_text(fluent: Lifted, parameters: tuple[tuple[str, str], ...]) -> str:
    """A lifted fluent or atom in the user's notation: "load ?truck"."""
    return " ".join(f"?{parameters[term][0]}" if isinstance(term, int) else term for term in fluent)


def resolve(names: Iterable[str], fluents: Mapping[str, int], action: str) -> tuple[int, ...]:
    """Positions of fluents given by name, in increasing order.

    Args:
        names: fluents as in `fluent_text`.
        fluents: the position of each fluent of the action.
        action: for messages.

    Raises:
        ConfigError: the action has no such fluent.
    """
    for name in names:
        if name not in fluents:
            raise ConfigError(
                f"action '{action}' has no numeric fluent '{name}'; it has: "
                f"{', '.join(fluents) or 'none'}"
            )
    return tuple(sorted(fluents[name] for name in set(names)))


@dataclass(frozen=True)
class FluentBlock:
    """Fluents that the precondition constrains jointly.

    Args:
        fluents: their positions.
        directions: for each fluent 1, -1 or 0, as in `Declaration.directions`.
    """

    fluents: tuple[int, ...]
    directions: tuple[int, ...]

    def shape(self, points: Iterable[Point]) -> Polyhedron:
        """The smallest set of the declared class that contains the observed values of these
        fluents.
        """
        return Polyhedron(
            (tuple(point[i] for i in self.fluents) for point in points), self.directions
        )


def fluent_blocks(
    declaration: Declaration, names: Mapping[str, int], action: str
) -> list[FluentBlock]:
    """The class of the precondition as blocks: a state is accepted if the values of every block lie
    in the set of this block.

    Args:
        declaration: the class.
        names: the position of each fluent of the action.
        action: for messages.

    Raises:
        ConfigError: the declaration names a fluent that the action does not have.
    """
    allowed = (
        tuple(names.values())
        if declaration.precondition_fluents is None
        else resolve(declaration.precondition_fluents, names, action)
    )
    signs = {
        resolve([name], names, action)[0]: sign for name, sign in declaration.directions.items()
    }
    position_sets: list[tuple[int, ...]] = [allowed]
    if declaration.preconditions == "juntas":
        position_sets = list(combinations(allowed, min(declaration.size, len(allowed))))
    elif declaration.preconditions == "groups":
        grouped = [
            tuple(i for i in resolve(group, names, action) if i in allowed)
            for group in declaration.groups
        ]
        position_sets = [
            *grouped,
            tuple(i for i in allowed if not any(i in group for group in grouped)),
        ]
    monotone = declaration.preconditions == "monotone"
    return [
        FluentBlock(
            positions, tuple(signs.get(i, 0 if signs else 1) if monotone else 0 for i in positions)
        )
        for positions in position_sets
        if positions
    ]


def supports(
    declaration: Declaration, names: Mapping[str, int], action: str, changed: str
) -> list[tuple[int, ...]]:
    """The sets of fluents, by position, that the change of a fluent may depend on.

    One of these sets explains the change; which one is unknown.

    Args:
        declaration: the class.
        names: the position of each fluent of the action.
        action: for messages.
        changed: the fluent.

    Raises:
        ConfigError: the declaration names a fluent that the action does not have.
    """
    allowed = tuple(names.values())
    if declaration.effect_fluents is not None:
        allowed = resolve(declaration.effect_fluents.get(changed, ()), names, action)
    if declaration.effects == "increment":
        return [()]
    if declaration.effects == "sparse":
        return list(combinations(allowed, min(declaration.support, len(allowed))))
    return [allowed]
