"""How much a try of an action would tell about its precondition, in bits.

The precondition is known between two boundaries: the safe model accepts what must be accepted, the
failures exclude what must be excluded. A try in between either extends the safe model or excludes
more. With k conditions of the safe model violated, each of which may or may not be part of the true
precondition, the try succeeds with the probability 2**-k; its information is the entropy of that.
One unproven violated condition is therefore worth most: whatever happens decides about it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.views import View
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import Lifted, NumericAction, ground

# a literal of the safe precondition with its sign, a bound (fluent, +1 upper or -1 lower), or HULL
Violated = tuple[Lifted, int] | tuple[int, int] | str
Bounds = tuple[Rational, Rational]
HULL = "hull"  # all bounds hold, and the numbers lie outside of the learned set all the same
DOUBT = (
    0.25  # factor of the chance that a bound is harmless beyond a failure that it alone explains
)


@dataclass
class _Known:
    """What is known about one split action.

    Args:
        safe: its safe model; None if it never succeeded, or cannot be learned.
        bounds: least and greatest value of each fluent over its successes; None if undefined.
        failures: number of its distinct failures.
        proven: literals that alone explain a failure, and so belong to the true precondition.
        strained: bounds that alone explain a failure.
    """

    safe: NumericAction | None
    bounds: list[Bounds | None] = field(default_factory=list)
    failures: int = 0
    proven: set[Violated] = field(default_factory=set)
    strained: set[Violated] = field(default_factory=set)

    def violated(self, view: View) -> list[Violated]:
        """The conditions of the safe model that a view violates."""
        assert self.safe is not None
        binding = view.call[1:]
        violated: list[Violated] = [
            (atom, 1) for atom in self.safe.positive if ground(atom, binding) not in view.atoms
        ]
        violated += [
            (atom, -1) for atom in self.safe.negative if ground(atom, binding) in view.atoms
        ]
        for place, (value, bound) in enumerate(zip(view.values, self.bounds, strict=True)):
            if bound is None:
                continue
            low, high = bound
            if value is None or value < low:
                violated.append((place, -1))
            elif value > high:
                violated.append((place, 1))
        return violated


class Information:
    """The information of tries, for one version of an experience.

    Args:
        experience: what was tried.
    """

    def __init__(self, experience: Experience) -> None:
        self.experience, self.version = experience, experience.version
        model = experience.model()
        successes: dict[str, list[View]] = {}
        failures: dict[str, list[View]] = {}
        for before, after in experience.outcomes:
            (failures if after is None else successes).setdefault(before.call[0], []).append(before)
        self._known: dict[str, _Known] = {}
        for name in experience.views.splitter.vocabulary.actions:
            known = _Known(model.actions.get(name), failures=len(failures.get(name, ())))
            if known.safe is not None:
                known.bounds = _bounds(successes[name])
                self._learn(known, failures.get(name, ()))
            self._known[name] = known

    def bits(self, view: View) -> float:
        """The information of trying an action; 0 where the outcome is known."""
        experience = self.experience
        if view in experience.tries or experience.known_to_fail(view):
            return 0.0
        known = self._known.get(view.call[0])
        if known is None:
            return 1.0  # a split action that was never met
        if known.safe is None:
            return _entropy(1 / (2 + known.failures))
        violated = known.violated(view)
        if not violated:
            applicable = known.safe.applicable(view.call[1:], experience.views.state(view))
            violated = [] if applicable else [HULL]
        if known.proven.intersection(violated):
            return 0.0
        chance = math.prod(0.5 * (DOUBT if each in known.strained else 1) for each in violated)
        return _entropy(chance)

    def _learn(self, known: _Known, failures: Iterable[View]) -> None:
        """Find the conditions that alone explain a failure."""
        for view in failures:
            violated = known.violated(view)
            if len(violated) == 1:
                is_literal = isinstance(violated[0][0], tuple)
                (known.proven if is_literal else known.strained).add(violated[0])


def _bounds(successes: list[View]) -> list[Bounds | None]:
    """Least and greatest value of each fluent; None if it is undefined somewhere."""
    bounds: list[Bounds | None] = []
    for column in zip(*(view.values for view in successes), strict=True):
        values = [value for value in column if value is not None]
        bounds.append((min(values), max(values)) if len(values) == len(column) else None)
    return bounds


def _entropy(chance: float) -> float:
    """Bits of a yes or no with this chance of a yes."""
    if chance <= 0 or chance >= 1:
        return 0.0
    return -chance * math.log2(chance) - (1 - chance) * math.log2(1 - chance)
