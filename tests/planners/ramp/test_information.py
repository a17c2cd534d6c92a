"""How many bits a try of an action is worth."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.exploration import nearest_untried
from worldplan.planners.ramp.knowledge.information import Information
from worldplan.planners.ramp.knowledge.optimistic_model import optimistic_model
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.numeric.domain import Goal, NumericProblem, State, Vocabulary

WORDS = Vocabulary(
    "doors", {}, {}, {"p": (), "q": (), "done": ()}, {"x": ()}, {"act": (), "up": (), "other": ()}
)
ONE, TWO = 1.0, 0.8112781244591328  # entropy of 1/2 and of 1/4


def state(atoms: str, x: int) -> State:
    return State(frozenset((atom,) for atom in atoms), {("x",): x})


def experience_of(tries: Iterable[tuple[str, int, bool]]) -> Experience:
    """`act` needs p, and x from 2 to 8; q is always true where it succeeds."""
    experience = Experience(WORDS, {}, Declaration())
    for name in WORDS.actions:
        experience.views.splitter.split((name,))
    for atoms, x, works in tries:
        after = state(atoms, x)
        if works:
            after = State(after.atoms | {("done",)}, after.values)
        experience.add(("act",), state(atoms, x), after)
    return experience


SUCCESSES = [("pq", 2, True), ("pq", 6, True)]


@pytest.mark.parametrize(
    ("tries", "atoms", "x", "bits"),
    [
        (SUCCESSES, "pq", 2, 0.0),  # tried
        (SUCCESSES, "pq", 4, 0.0),  # between two successes: certainly applicable
        (SUCCESSES, "p", 4, ONE),  # one condition is violated
        (SUCCESSES, "q", 4, ONE),
        (SUCCESSES, "", 4, TWO),
        (SUCCESSES, "pq", 9, ONE),
        (SUCCESSES, "p", 9, TWO),
        ([*SUCCESSES, ("q", 5, False)], "q", 4, 0.0),  # p is proven to be needed
        ([*SUCCESSES, ("q", 5, False)], "p", 4, ONE),
        ([*SUCCESSES, ("", 5, False)], "q", 4, ONE),  # p or q was missing: nothing is proven
        ([*SUCCESSES, ("pq", 9, False)], "pq", 9, 0.0),  # tried
        ([], "pq", 4, ONE),
        ([("pq", 0, False)], "pq", 4, 0.9182958340544896),  # entropy of 1/3
    ],
)
def test_bits(tries: list, atoms: str, x: int, bits: float) -> None:
    experience = experience_of(tries)
    view = experience.views.view(("act",), state(atoms, x))
    assert Information(experience).bits(view) == pytest.approx(bits)


def test_beyond_a_failure_there_is_less_to_learn() -> None:
    experience = experience_of([*SUCCESSES, ("pq", 9, False)])
    bits = [
        Information(experience).bits(experience.views.view(("act",), state("pq", x)))
        for x in (10, 1)
    ]
    assert 0 < bits[0] < bits[1] == ONE


def test_a_plan_leads_to_an_informative_try() -> None:
    """`up` raises x by 1; from 2 on, nothing is to be learned before x is 7."""
    experience = experience_of(SUCCESSES)
    for x in (1, 8):
        experience.add(("up",), state("pq", x), state("pq", x + 1))
    for x in range(12):
        experience.offer([experience.views.view((name,), state("pq", x)) for name in ("act", "up")])
    problem = NumericProblem("now", {}, state("pq", 3), Goal(frozenset({("done",)})))
    arguments = (experience, optimistic_model(experience), problem, 5.0)
    plan = nearest_untried(*arguments, Information(experience))
    assert plan is not None
    assert [call[0].partition("~")[0] for call in plan] == ["up"] * 4 + ["act"]
    assert nearest_untried(*arguments) is None  # "other" was never offered
