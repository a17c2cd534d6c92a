"""Logs of programs that compute in floating point: the declared precision, and its suggestion."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world_models.action_model.builders import numeric, observe, state
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.action_model.learner import ActionModelLearner, learn
from worldplan.world_models.action_model.precision_advice import advise_precision
from worldplan.world_models.exact.numbers import exact
from worldplan.world_models.numeric.domain import NumericModel, State, Vocabulary
from worldplan.world_models.numeric.noise import Noise
from worldplan.world_models.numeric.precision import Precision, rounded_state
from worldplan.world_models.numeric.trajectories import Trajectory

TANKS = Vocabulary(
    "tanks",
    {"tank": "object"},
    {},
    {},
    {"level": ("tank",), "used": (), "half": ("tank",)},
    {
        "fill": (("?t", "tank"),),
        "pour": (("?a", "tank"), ("?b", "tank")),
        "halve": (("?t", "tank"),),
        "note": (("?t", "tank"),),
    },
)


def tank_step(call: tuple, values: dict, number: Callable) -> dict:
    """The successor numbers, computed in floating point or in fractions."""
    after = dict(values)
    name, *objects = call
    t = objects[0]
    if name == "fill":
        after["level", t] = values["level", t] + number("0.1")
        after["used",] = values["used",] + number("0.1")
    elif name == "pour":
        after["level", t] = values["level", t] - number("0.7")
        after["level", objects[1]] = values["level", objects[1]] + number("0.7")
    elif name == "halve":
        after["half", t] = values["level", t] * number("0.5")
    else:  # a sum of products
        after["half", t] = number("0.3") * values["level", t] + number("0.2") * values["used",]
    return after


def run(calls: list, start: list, number: Callable) -> Trajectory:
    values = {
        ("level", "a"): number(start[0]),
        ("level", "b"): number(start[1]),
        ("half", "a"): number("0"),
        ("half", "b"): number("0"),
        ("used",): number(start[2]),
    }
    states = [State(frozenset(), values)]
    for call in calls:
        values = tank_step(call, values, number)
        states.append(State(frozenset(), values))
    return Trajectory({"a": "tank", "b": "tank"}, tuple(states), tuple(calls), (True,) * len(calls))


CALLS = st.lists(
    st.sampled_from(
        [
            *[("fill", t) for t in "ab"],
            *[("pour", a, b) for a, b in ("ab", "ba")],
            *[("halve", t) for t in "ab"],
            *[("note", t) for t in "ab"],
        ]
    ),
    min_size=12,
    max_size=40,
)
STARTS = st.tuples(*[st.integers(-30, 90).map(lambda n: str(Fraction(n, 10)))] * 3)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(CALLS, STARTS), min_size=1, max_size=3))
def test_a_log_in_floating_point_gives_the_model_of_exact_numbers(episodes: list) -> None:
    def in_floats(text: str) -> float:
        return float(Fraction(text))

    floats = [run(calls, list(start), in_floats) for calls, start in episodes]
    exacts = [run(calls, list(start), Fraction) for calls, start in episodes]
    expected = learn(TANKS, exacts)
    model = learn(TANKS, floats, precision=Precision.decimals(2))
    assert model.actions == expected.actions
    assert model.detail["report"] == expected.detail["report"]
    learner = ActionModelLearner(TANKS).observe_all(floats)
    advice = advise_precision(learner)
    if advice is not None and (advice.mended or advice.artefacts):
        assert advice.decimals is not None and advice.decimals <= 2 and not advice.beyond
        suggested = learn(TANKS, floats, precision=Precision.decimals(advice.decimals))
        if advice.decimals == 2:
            assert suggested.actions == expected.actions
    else:  # nothing to mend: the raw model has the effects of exact numbers
        assert effects(learner.model()) == effects(expected)


def effects(model: NumericModel) -> dict:
    return {name: action.effects for name, action in model.actions.items()}


def test_the_suggestion_is_the_smallest_and_says_what_it_changes() -> None:
    values = [0.1]
    for _ in range(9):
        values.append(values[-1] + 0.1)
    learner = observe([((x,), (y,)) for x, y in zip(values[:-1], values[1:], strict=True)])
    assert "not affine" in learner.model().detail["report"].excluded["a"]
    advice = advise_precision(learner)
    assert advice is not None and advice.decimals == 1 and advice.mended == ("a",)
    assert 0 < advice.largest < Fraction(1, 10**14)
    assert "--decimals 1 makes it affine" in advice.texts()["a"]
    assert "not applied unless given" in advice.summary()
    assert "a" in learner.model().detail["report"].excluded  # and it was not applied


def test_steps_of_a_thousandth_are_not_rounded_to_nothing() -> None:
    values = [5.001]
    for _ in range(9):
        values.append(values[-1] + 0.001)
    learner = observe([((x,), (y,)) for x, y in zip(values[:-1], values[1:], strict=True)])
    advice = advise_precision(learner)
    assert advice is not None and advice.decimals == 3


def test_two_noisy_steps_are_no_slope() -> None:
    learner = observe([((0.1,), (0.2,)), ((0.2,), (0.30000000000000004,))])
    ((_, after),) = learner.model().actions["a"].effects
    assert after.terms[0][1] != 1  # the premise
    advice = advise_precision(learner)
    assert advice is not None and advice.decimals == 1
    assert [name for name, _ in advice.artefacts] == ["a"]
    assert "from rounding: --decimals 1" in advice.texts()["a"]


def test_numbers_of_single_precision() -> None:
    numbers, x = [], np.float32(0.1)
    for _ in range(12):
        numbers.append(float(x))
        x = np.float32(x + np.float32(0.1))
    learner = observe([((x,), (y,)) for x, y in zip(numbers[:-1], numbers[1:], strict=True)])
    advice = advise_precision(learner)
    assert advice is not None and advice.decimals == 1 and advice.mended == ("a",)


def test_exact_numbers_need_no_advice() -> None:
    assert advise_precision(observe([((1,), (2,)), ((2,), (3,))])) is None
    assert advise_precision(observe([((0.1,), (0.6,)), ((5.1,), (5.6,))])) is None
    thirds = [((Fraction(n),), (Fraction(n, 3),)) for n in range(5)]
    assert advise_precision(observe(thirds)) is None
    squares = [((n / 10,), (n * n / 100,)) for n in range(6)]
    assert advise_precision(observe(squares)) is None  # an effect that is not affine at all


@pytest.mark.parametrize("slope", [1 / 3, 0.9])
def test_what_no_number_of_decimals_repairs_is_said(slope: float) -> None:
    values = [7.1]
    for _ in range(30):
        values.append(values[-1] * slope)
    learner = observe([((x,), (y,)) for x, y in zip(values[:-1], values[1:], strict=True)])
    advice = advise_precision(learner)
    assert advice is not None and advice.decimals is None and advice.summary() == ""
    assert "no number of decimals makes it exact" in advice.texts()["a"]


def test_a_step_per_function() -> None:
    third = 1 / 3
    pairs = [((n * third, n / 10), ((n + 1) * third, n / 10 + 0.1)) for n in range(9)]
    learner = ActionModelLearner(
        numeric(2, "a"), precision=Precision(None, {"x0": "1/3", "x1": 0.1})
    )
    for before, after in pairs:
        learner.observe_transition(state(*before), ("a",), state(*after), True)
    action = learner.model().actions["a"]
    assert [after.constant for _, after in action.effects] == [Fraction(1, 3), Fraction(1, 10)]
    assert learner.rounding.changed > 9 and learner.rounding.largest < Fraction(1, 10**14)


def test_a_change_elsewhere_by_rounding_names_the_option() -> None:
    start = {("level", "a"): 1.0, ("level", "b"): 0.3, ("used",): 0.0}
    states = (
        State(frozenset(), start),
        State(frozenset(), {**start, ("level", "a"): 1.1, ("level", "b"): 0.30000000000000004}),
    )
    objects = {"a": "tank", "b": "tank"}
    trajectory = Trajectory(objects, states, (("fill", "a"),), (True,))
    with pytest.raises(DatasetError, match="a rounding error: declare.*--decimals N"):
        learn(TANKS, [trajectory])
    assert "fill" in learn(TANKS, [trajectory], precision=Precision.decimals(1)).actions


def test_rounding_is_to_the_nearest_and_counted() -> None:
    near, rounding = rounded_state(state(0.126, 2, Fraction(1, 3)), Precision.decimals(2))
    assert list(near.values.values()) == [Fraction(13, 100), 2, Fraction(33, 100)]
    assert (rounding.numbers, rounding.changed) == (3, 2)
    assert rounding.largest == Fraction(4, 1000) and rounding.fluent == ("x0",)
    assert exact(0.126) - near.values[("x0",)] == -rounding.largest


@pytest.mark.parametrize("wrong", [-1, 31, 2.5, True, "2"])
def test_wrong_decimals(wrong: object) -> None:
    with pytest.raises(ConfigError, match="whole number from 0 to 30"):
        Precision.decimals(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [0, -0.1, "x", float("nan"), True, "1/0", [1]])
def test_wrong_steps(wrong: object) -> None:
    with pytest.raises(ConfigError, match="give a number above 0"):
        Precision(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="give a number above 0"):
        Precision(None, {"x0": wrong})  # type: ignore[dict-item]


def test_a_step_for_an_unknown_function() -> None:
    with pytest.raises(ConfigError, match=r"'x9' is not a function.*x0"):
        ActionModelLearner(numeric(2), precision=Precision(None, {"x9": 1}))


@pytest.mark.parametrize("setting", [Noise, Precision])
def test_capitals_do_not_tell_functions_apart(setting: type[Noise | Precision]) -> None:
    with pytest.raises(ConfigError, match=r"(noise|precision): 'X0' is given twice"):
        setting(1, {"x0": 1, "X0": 2})
