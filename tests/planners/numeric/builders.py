"""Random numeric tasks, and a plain simulator and search to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from worldplan.world_models.exact.numbers import Point, Rational
from worldplan.world_models.numeric.domain import (
    Comparison,
    Goal,
    Ground,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    Region,
    State,
    Vocabulary,
)

OBJECTS = {"a": "kind", "b": "kind", "c": "special"}


WORDS = Vocabulary(
    "random",
    {"kind": "object", "special": "kind"},
    {},
    {"p": ("kind",), "q": ("kind", "kind"), "r": ()},
    {"f": ("kind",), "g": (), "h": ()},
    dict.fromkeys(("one", "two", "three"), ()),
)


@dataclass(frozen=True)
class Box:
    """A shape of a box without one point, so that its bounds alone do not decide membership."""

    sides: tuple[tuple[Rational | None, Rational | None], ...]
    hole: Point

    def contains(self, point: Point) -> bool:
        inside = all(
            (low is None or value >= low) and (high is None or value <= high)
            for value, (low, high) in zip(point, self.sides, strict=True)
        )
        return inside and point != self.hole

    def bounds(self) -> list[tuple[Rational | None, Rational | None]]:
        return list(self.sides)


NUMBERS = st.sampled_from([-2, -1, 0, 1, 2, 3, Fraction(1, 2), Fraction(-3, 2)])


STEPS = st.sampled_from([-1, 1, 1, 2, -2, Fraction(1, 2)])


@st.composite
def actions(draw: st.DrawFn, name: str) -> NumericAction:
    arity = draw(st.integers(0, 2))
    terms = [*range(arity), *(["a"] if draw(st.booleans()) else [])]
    atoms = [("r",), *(("p", x) for x in terms), *(("q", x, y) for x in terms for y in terms)]
    fluents = [("g",), ("h",), *(("f", x) for x in terms)]
    some = st.frozensets(st.sampled_from(atoms), max_size=2)
    linear = st.builds(
        lambda pairs, constant: Linear(tuple(pairs.items()), constant),
        st.dictionaries(st.sampled_from(fluents), NUMBERS.filter(bool), max_size=2),
        NUMBERS,
    )
    effects = []
    for target in draw(st.lists(st.sampled_from(fluents), max_size=2, unique=True)):
        grows = Linear(((target, 1),), draw(STEPS))
        effects.append((target, draw(st.one_of(st.just(grows), st.just(grows), linear))))
    regions = ()
    if draw(st.integers(0, 2)) == 0:
        inside = tuple(
            draw(st.lists(st.sampled_from(fluents), min_size=1, max_size=2, unique=True))
        )
        sides = tuple(
            draw(st.tuples(st.sampled_from([None, -2, 0]), st.sampled_from([None, 2, 4])))
            for _ in inside
        )
        regions = (Region(inside, Box(sides, tuple(draw(NUMBERS) for _ in inside))),)
    return NumericAction(
        name,
        tuple(
            (f"?{number}", draw(st.sampled_from(["kind", "kind", "special"])))
            for number in range(arity)
        ),
        positive=draw(some),
        negative=draw(some),
        distinct=frozenset([(0, 1)]) if arity == 2 and draw(st.booleans()) else frozenset(),
        comparisons=tuple(
            draw(
                st.lists(
                    st.builds(Comparison, linear, st.sampled_from([">=", ">=", ">", "="])),
                    max_size=1,
                )
            )
        ),
        regions=regions,
        adds=draw(some),
        deletes=draw(some),
        effects=tuple(effects),
    )


@st.composite
def tasks(draw: st.DrawFn) -> tuple[NumericModel, NumericProblem]:
    model = NumericModel(WORDS, {name: draw(actions(name)) for name in ("one", "two", "three")})
    every = [("r",), *(("p", x) for x in OBJECTS), *(("q", x, y) for x in OBJECTS for y in OBJECTS)]
    fluents = [("g",), ("h",), *(("f", x) for x in OBJECTS)]
    values = {
        fluent: draw(NUMBERS) for fluent in fluents if fluent != ("h",) or draw(st.integers(0, 3))
    }
    initial = State(draw(st.frozensets(st.sampled_from(every), max_size=6)), values)
    first_sum = Linear(
        tuple(
            draw(
                st.dictionaries(st.sampled_from(fluents), st.sampled_from([-1, 1, 2]), max_size=2)
            ).items()
        ),
        draw(NUMBERS),
    )
    second_sum = Linear(
        ((draw(st.sampled_from(fluents)), draw(st.sampled_from([-1, 1]))),), draw(NUMBERS)
    )
    goal = Goal(
        draw(st.frozensets(st.sampled_from(every), max_size=2)),
        draw(st.frozensets(st.sampled_from(every), max_size=1)),
        tuple(
            Comparison(expression, relation)
            for expression, relation in (
                (first_sum, ">="),
                (second_sum, draw(st.sampled_from([">=", ">", "="]))),
            )[: draw(st.integers(0, 2))]
        ),
    )
    return model, NumericProblem("random", OBJECTS, initial, goal)


def plain_successors(
    model: NumericModel, problem: NumericProblem, state: State
) -> dict[Ground, State]:
    """Every applicable ground action with the state after it, from the definition."""
    successors = {}
    for action in model.actions.values():
        words = Vocabulary("", model.vocabulary.types, {}, {}, {}, {action.name: action.parameters})
        for binding in words.bindings(action.name, problem.objects):
            if action.applicable(binding, state):
                try:
                    successors[action.name, *binding] = action.successor(binding, state)
                except KeyError:  # an effect reads an undefined fluent
                    continue
    return successors


RANDOM = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def shortest(model: NumericModel, problem: NumericProblem, depth: int) -> int | None:
    """Fewest actions to the goal, by breadth-first search; None if second_sum than `depth`."""
    visited = frontier = {problem.initial}
    for length in range(depth + 1):
        if any(problem.goal.holds(state) for state in frontier):
            return length
        frontier = {
            after
            for state in frontier
            for after in plain_successors(model, problem, state).values()
        } - visited
        visited = visited | frontier
    return None
