"""What a caller may get wrong about bandits: every mistake is one line, none is silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.envs.bandits import ArmDynamics, BanditEnv, BanditInstance, BanditVectorEnv
from worldplan.milp.errors import InfeasibleAction, WorldplanError
from worldplan.milp.sets import Budget, Capacity, Path, Schedule
from worldplan.planners.bandits import (
    FluidBound,
    FluidPlanner,
    IterativeMyopicPolicy,
    LagrangianPlanner,
    MyopicPolicy,
    SamplingPolicy,
    WhittlePolicy,
)

ARMS, STATES, HORIZON = 3, 2, 4
NOT_NUMBERS = (np.nan, np.inf, -np.inf, -0.5, 2.0)

Damage = Callable[[Any, float, int], Any]  # array, a bad number, a place -> what is passed instead


def damaged(array: Any, number: float, place: int) -> Any:
    changed = np.array(array, float)
    changed.flat[place % changed.size] = number
    return changed


DAMAGE: dict[str, Damage] = {
    "zeros": lambda array, *_: np.zeros_like(array),
    "ones": lambda array, *_: np.ones_like(array),
    "a bad number": damaged,
    "one axis less": lambda array, *_: array[0],
    "one axis more": lambda array, *_: array[None],
    "a row less": lambda array, *_: array[:-1],
    "turned round": lambda array, *_: array.T,
    "empty": lambda array, *_: array[:0],
    "object": lambda array, *_: array.astype(object),
    "text": lambda array, *_: array.astype(str),
    "complex": lambda array, *_: array.astype(complex),
    "truth values": lambda array, *_: array > 0.4,
    "None": lambda *_: None,
    "ragged": lambda array, *_: [array[0], array[0][:-1], *array[2:]],
    "a number": lambda array, number, _: number,
}


def dynamics(rng: np.random.Generator) -> ArmDynamics:
    transition = rng.dirichlet(np.ones(STATES), (ARMS, 2, STATES))
    return ArmDynamics(transition, rng.random((ARMS, STATES)))


def parts(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    initial = rng.dirichlet(np.ones(STATES), ARMS)
    return {
        "dynamics": dynamics(rng),
        "actions": Budget(ARMS, 1),
        "horizon": HORIZON,
        "initial": initial,
    }


def one_line(call: Callable[[], Any]) -> str:
    """The message of the WorldplanError that `call` raises, which is one line."""
    with pytest.raises(WorldplanError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(DAMAGE)),
    number=st.sampled_from(NOT_NUMBERS),
    place=st.integers(0, 100),
    seed=st.integers(0, 2**16),
)
def test_a_wrong_start_distribution_is_refused(
    kind: str, number: float, place: int, seed: int
) -> None:
    good = parts(seed)
    wrong = DAMAGE[kind](good["initial"], number, place)
    assert "initial" in one_line(lambda: BanditInstance(**good | {"initial": wrong}))


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(set(DAMAGE) - {"turned round"})),
    number=st.sampled_from(NOT_NUMBERS),
    place=st.integers(0, 100),
)
def test_wrong_transitions_are_refused(kind: str, number: float, place: int) -> None:
    good = parts()["dynamics"]
    wrong = DAMAGE[kind](good.transition, number, place)
    one_line(lambda: ArmDynamics(wrong, good.reward))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("horizon", 0),
        ("horizon", -1),
        ("horizon", 2.5),
        ("horizon", np.nan),
        ("horizon", True),
        ("horizon", "4"),
        ("horizon", None),
        ("actions", Budget(ARMS + 1, 1)),
        ("actions", [1, 0, 0]),
        ("dynamics", np.zeros((3, 2, 2, 2))),
        ("arm_names", ("a", "b")),
        ("arm_names", "abc"),
        ("arm_names", (1, 2, 3)),
        ("domain", 3),
    ],
)
def test_other_wrong_parts_of_an_instance(name: str, value: Any) -> None:
    one_line(lambda: BanditInstance(**parts() | {name: value}))


def test_effects_and_strengths_fit_the_arms() -> None:
    rng = np.random.default_rng(0)
    transition, reward = rng.dirichlet(np.ones(2), (3, 3, 2)), rng.random((3, 2))
    effect, strengths = np.ones((3, 2)), np.tile(np.arange(3.0), (3, 1))
    ArmDynamics(transition, reward, effect, strengths)
    for wrong in (
        (effect, None),
        (None, strengths),
        (effect[:2], strengths),
        (effect, strengths[:, :2]),
        (effect * np.nan, strengths),
        (effect, strengths[:, ::-1]),
        (effect.astype(complex), strengths),
    ):
        one_line(lambda wrong=wrong: ArmDynamics(transition, reward, *wrong))
    one_line(lambda: ArmDynamics(transition[:, :1], reward))


@given(order=st.sampled_from("CF"), listed=st.booleans(), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_arrays_of_any_layout_and_lists_mean_the_same(order: Any, listed: bool, seed: int) -> None:
    good = parts(seed)
    given_parts = [good["dynamics"].transition, good["dynamics"].reward, good["initial"]]
    changed = [part.tolist() if listed else np.array(part, order=order) for part in given_parts]
    instance = BanditInstance(
        ArmDynamics(changed[0], changed[1]), Budget(ARMS, 1), np.int64(HORIZON), changed[2]
    )
    steps = []
    for problem in (instance, BanditInstance(**good)):
        env = BanditVectorEnv(problem, 2)
        env.reset(seed=seed)
        steps.append(env.step(np.eye(ARMS)[:2]))
    np.testing.assert_array_equal(steps[0][0]["state"], steps[1][0]["state"])
    np.testing.assert_allclose(steps[0][1], steps[1][1])


def test_a_callers_later_change_changes_nothing() -> None:
    good = parts()
    transition, reward = good["dynamics"].transition.copy(), good["dynamics"].reward.copy()
    initial, costs, slots = good["initial"].copy(), np.ones(3), np.ones((3, 2))
    graph = nx.path_graph(3)
    instance = BanditInstance(ArmDynamics(transition, reward), Budget(ARMS, 1), HORIZON, initial)
    capacity, schedule = Capacity(costs, [1.0]), Schedule(slots, np.ones((1, 2)))
    path = Path(graph, 0, moves=2, budget=3)
    for array in (transition, reward, initial, costs, slots):
        array[:] = 0
    graph.remove_node(2)
    assert (instance.initial.sum(-1) > 0.9).all() and instance.dynamics.transition.any()
    assert capacity.contains([1, 0, 0]) and not capacity.contains([1, 1, 0])
    assert np.all(capacity.costs) and np.all(schedule.arm_slots) and len(path.graph) == 3
    with pytest.raises(ValueError, match="read-only"):
        instance.initial[0] = 1


WRONG_ACTIONS: list[Any] = [
    [1, 0],
    [[1, 0, 0]],
    [0.5, 0, 0],
    [np.nan, 0, 0],
    [-1, 0, 0],
    [2, 0, 0],
    ["1", "0", "0"],
    [1 + 0j, 0, 0],
    [None, 0, 0],
    [1, 1, 0],
    None,
    0,
    "100",
    {},
]


@pytest.mark.parametrize("action", WRONG_ACTIONS, ids=str)
def test_a_wrong_action_is_refused(action: Any) -> None:
    env = BanditEnv(BanditInstance(**parts()))
    env.reset(seed=0)
    with pytest.raises(InfeasibleAction):
        env.step(action)
    vector = BanditVectorEnv(BanditInstance(**parts()), 2)
    vector.reset(seed=0)
    for actions in (action, [action, action], np.zeros((1, ARMS)), np.zeros(ARMS)):
        with pytest.raises(InfeasibleAction):
            vector.step(actions)
    assert not Budget(ARMS, 1).contains(action)
    assert not Capacity([1.0] * ARMS, [1.0]).contains(action)


def test_an_action_of_floats_or_truth_values_is_taken() -> None:
    for action in ([1.0, 0.0, 0.0], [True, False, False], np.float32([1, 0, 0]), (1, 0, 0)):
        env = BanditEnv(BanditInstance(**parts()))
        env.reset(seed=0)
        assert env.step(action)[1] > 0


@pytest.mark.parametrize("seed", [-1, 0.5, "1", np.nan, True, [1]], ids=str)
def test_a_wrong_seed_is_refused(seed: Any) -> None:
    for env in (BanditEnv(BanditInstance(**parts())), BanditVectorEnv(BanditInstance(**parts()))):
        assert "seed" in one_line(lambda env=env: env.reset(seed=seed))
        env.reset(seed=2**70)


def test_no_step_before_a_reset_and_none_after_the_end() -> None:
    env = BanditEnv(BanditInstance(**parts()))
    assert "reset" in one_line(lambda: env.step(np.zeros(ARMS)))
    env.reset(seed=0)
    for _ in range(HORIZON):
        env.step(np.zeros(ARMS))
    assert "reset" in one_line(lambda: env.step(np.zeros(ARMS)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_envs", 0), ("num_envs", 1.5), ("reward", "mean"), ("first_episode", -1)],
)
def test_wrong_settings_of_an_environment(name: str, value: Any) -> None:
    assert name in one_line(lambda: BanditVectorEnv(BanditInstance(**parts()), **{name: value}))


POLICIES: list[Callable[..., Any]] = [
    FluidPlanner,
    LagrangianPlanner,
    IterativeMyopicPolicy,
    MyopicPolicy,
    SamplingPolicy,
    WhittlePolicy,
]
WRONG_OBSERVATIONS: list[Any] = [
    {},
    {"steps_left": 2},
    None,
    np.zeros(ARMS, int),
    *(
        {"state": state}
        for state in (
            [0, 0],
            [[0, 0, 0]],
            [0, 0, STATES],
            [0, 0, -1],
            [0.0, 0.5, 0.0],
            [np.nan, 0, 0],
            ["0", "0", "0"],
            [False, False, True],
            None,
        )
    ),
]
WRONG_STEPS: list[Any] = [0, -1, 1.5, np.nan, HORIZON + 1, "2", True, None, [2]]


@pytest.mark.parametrize("make", POLICIES)
def test_a_wrong_observation_is_refused(make: Callable[..., Any]) -> None:
    planner = make(BanditInstance(**parts()))
    for observation in WRONG_OBSERVATIONS:
        one_line(lambda observation=observation: planner.plan(observation))
    if make in (FluidPlanner, LagrangianPlanner):
        for left in WRONG_STEPS:
            observation = {"state": [0, 0, 0], "steps_left": left}
            message = one_line(lambda observation=observation: planner.plan(observation))
            assert "steps_left" in message
    assert planner.plan({"state": np.zeros(ARMS, np.int32), "steps_left": np.int64(2)})


@pytest.mark.parametrize("make", POLICIES)
def test_dynamics_of_other_arms_are_refused(make: Callable[..., Any]) -> None:
    instance, rng = BanditInstance(**parts()), np.random.default_rng(0)
    more = ArmDynamics(rng.dirichlet(np.ones(STATES), (4, 2, STATES)), rng.random((4, STATES)))
    for wrong in (more, [], [instance.dynamics, more], [1], "model", 3):
        one_line(lambda wrong=wrong: make(instance, dynamics=wrong))
    one_line(lambda: make("instance"))


def test_a_bound_checks_what_it_starts_from() -> None:
    bound = FluidBound(BanditInstance(**parts()))
    for start in (np.zeros((ARMS, STATES)), np.ones((ARMS, STATES)), np.ones(STATES) / STATES):
        one_line(lambda start=start: bound.from_distribution(start))
    for left in (0, -1, 1.5, np.nan):
        one_line(lambda left=left: bound.from_state(np.zeros(ARMS, int), left))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Budget(2.0, 1),  # type: ignore[arg-type]
        lambda: Budget(3, np.nan),  # type: ignore[arg-type]
        lambda: Budget(3, 1, "yes"),  # type: ignore[arg-type]
        lambda: Budget(True, 1),
        lambda: Capacity([1.0, np.nan], [1.0]),
        lambda: Capacity([1.0, -1.0], [1.0]),
        lambda: Capacity([[1.0, 2.0]], [1.0]),
        lambda: Capacity([1.0], [np.inf]),
        lambda: Capacity([1.0], [[1.0]]),
        lambda: Capacity(["1"], [1.0]),
        lambda: Capacity([1 + 1j], [1.0]),
        lambda: Capacity([True], [1.0]),
        lambda: Capacity(1.0, [1.0]),
        lambda: Capacity([1.0], [1.0], 1.5),  # type: ignore[arg-type]
        lambda: Capacity([1.0], [1.0], 1, "a"),
        lambda: Capacity([1.0], [1.0], 1, 5),  # type: ignore[arg-type]
        lambda: Capacity([], []),
        lambda: Schedule([[0.5]], [[1]]),
        lambda: Schedule([[np.nan]], [[1]]),
        lambda: Schedule([["1"]], [[1]]),
        lambda: Schedule([[1, 1], [1]], [[1, 1]]),  # type: ignore[arg-type]
        lambda: Schedule([1, 1], [1, 1]),
        lambda: Schedule([[1, 1]], [[1, 1]], visits=1.5),  # type: ignore[arg-type]
        lambda: Schedule([[1, 1]], [[1, 1]], visits=np.nan),  # type: ignore[arg-type]
        lambda: Schedule([[1, 1]], [[1, 1]], budget="2"),  # type: ignore[arg-type]
        lambda: Path([0, 1], 0, 2, 1),
        lambda: Path(nx.path_graph(3), 7, 2, 1),
        lambda: Path(nx.path_graph(3), [0], 2, 1),  # type: ignore[arg-type]
        lambda: Path(nx.path_graph(3), 0, 2.5, 1),  # type: ignore[arg-type]
        lambda: Path(nx.path_graph(3), 0, np.nan, 1),  # type: ignore[arg-type]
        lambda: Path(nx.path_graph(3), 0, 2, None),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_feasible_set_is_refused(make: Callable[[], Any]) -> None:
    one_line(make)
