"""The environment of a numeric PDDL domain: the checks of others, its dynamics against the
definition, problems of several sizes, generators, and wrong input.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import assume, given, settings

from tests.planners.numeric.builders import RANDOM, plain_successors, tasks
from tests.planners.numeric.pddl_env.builders import delivery_files, delivery_problem
from worldplan.envs import make_environment, parse_spec
from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleAction, WorldplanError
from worldplan.planners.numeric import NumericPlanner
from worldplan.planners.numeric.pddl_env import PddlEnv, Slots
from worldplan.planners.numeric.symbolic_env import SymbolicEnv, state_of
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem, State
from worldplan.world_models.pddl.reading import read_model, read_problem

ID = "worldplan.planners.numeric.pddl_env:worldplan/NumericPddl-v0"


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    return delivery_files(tmp_path)[0]


def environment(domain: Path, *places: int, **arguments: object) -> PddlEnv:
    problems = [delivery_problem(count) for count in places or (2,)]
    return PddlEnv(domain, problems, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("observations", ["vector", "relational"])
@pytest.mark.parametrize("masks", [True, False])
def test_gymnasium_and_stable_baselines_accept_it(
    domain: Path, observations: str, masks: bool
) -> None:
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    arguments = {"observations": observations, "masks": masks, "max_steps": 9}
    env = environment(domain, 1, 2, **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*unconventional shape.*")  # relations
        check_env(env, skip_render_check=True)
        sb3_check_env(env, skip_render_check=True)
    assert isinstance(env, SymbolicEnv)


def test_made_by_its_id_and_from_a_specification(tmp_path: Path) -> None:
    domain, files = delivery_files(tmp_path, 1, 2)
    kwargs = {"domain": str(domain), "problems": [str(file) for file in files], "max_steps": 7}
    for env in (
        gym.make(ID, **kwargs, render_mode="ansi"),
        make_environment(parse_spec({"id": ID, "kwargs": kwargs | {"render_mode": "ansi"}})),
    ):
        observation, info = env.reset(seed=3)
        assert observation in env.observation_space and "(at van0 depot)" in env.render()
        assert {env.reset()[1]["problem"] for _ in range(20)} == {"houses-1", "houses-2"}
        ends = [env.step(0)[3] for _ in range(7)]
        assert ends == [False] * 6 + [True]


@settings(RANDOM, max_examples=15)
@given(tasks())
def test_masks_steps_and_observations_follow_the_definition(
    task: tuple[NumericModel, NumericProblem],
) -> None:
    """On random domains and problems, along a random walk."""
    model, problem = task
    words = replace(
        model.vocabulary, actions={name: a.parameters for name, a in model.actions.items()}
    )
    model = NumericModel(words, model.actions)
    assume(not problem.goal.holds(problem.initial))
    try:
        env = PddlEnv(model, problem)
    except DatasetError:  # a random effect or atom over objects of the wrong type
        assume(False)
    observation, _ = env.reset(seed=0)
    generator, state = np.random.default_rng(0), problem.initial
    for _ in range(8):
        assert decoded(env, np.asarray(observation)) == state
        true_successors = plain_successors(model, problem, state)
        allowed = {env.call(action) for action in np.flatnonzero(env.action_masks())}
        assert allowed == set(true_successors)
        action = int(generator.integers(env.action_space.n))
        if allowed and generator.random() < 0.8:
            action = env.action_of(sorted(allowed)[generator.integers(len(allowed))])
        state = true_successors.get(env.call(action), state)
        observation, reward, terminated, _, info = env.step(action)
        assert state_of(env) == state
        assert info["applied"] == (env.call(action) in true_successors)
        assert terminated == problem.goal.holds(state) and reward == terminated - 1
        if terminated:
            break


def decoded(env: PddlEnv, observation: np.ndarray) -> State:
    """The state that a vector observation shows, of values that float32 holds exactly."""
    placed, slots = env.slots.place(env.problem), env.slots
    start = len(slots)
    atoms = {
        Slots.ground(atom, placed)
        for atom, value in zip(slots.atoms, observation[start:], strict=False)
        if value
    }
    numbers = dict(zip(slots.fluents, observation[start + len(slots.atoms) :], strict=False))
    known = state_of(env).values  # which are defined; their values come from the observation
    return State(
        frozenset(atom for atom in atoms if atom),
        {
            ground: float(value)
            for fluent, value in numbers.items()
            if (ground := Slots.ground(fluent, placed)) in known
        },
    )


def test_both_kinds_of_observation_show_the_same(domain: Path) -> None:
    vector, relational = (
        environment(domain, 2, observations=kind) for kind in ("vector", "relational")
    )
    generator = np.random.default_rng(1)
    first, second = vector.reset(seed=0)[0], relational.reset(seed=0)[0]
    for _ in range(60):
        assert isinstance(second, dict)
        named = dict(zip(vector.observation_names, np.asarray(first).tolist(), strict=True))
        slots = [
            name.removeprefix("filled ") for name in vector.observation_names if "filled" in name
        ]
        assert second["types"].sum(axis=1).astype(bool).all()
        for name, array in second.items():
            if name in ("types", "goal conditions"):
                continue
            kind, symbol = name.split()
            for index, value in np.ndenumerate(array):
                objects = [slots[i] for i in index] if symbol != "total-cost" else []
                key = " ".join([*(["goal"] if kind == "goal" else []), symbol, *objects])
                assert named.get(key, 0) == value, key
        assert named["goal condition 0"] == second["goal conditions"][0]
        allowed = np.flatnonzero(vector.action_masks())
        if not len(allowed):  # the battery is empty
            break
        action = int(generator.choice(allowed))
        (first, *_, over, _, _), (second, *_) = vector.step(action), relational.step(action)
        if over:
            break


def test_problems_of_several_sizes_share_their_actions(domain: Path) -> None:
    env = environment(domain, 1, 3, max_steps=1000)
    numbers = {}
    for problem, houses in ((0, 1), (1, 3)):
        env.reset(options={"problem": problem})
        calls = []
        for action, (_, slots) in enumerate(env.slots.actions):
            if all(env.slots.place(env.problem)[slot] for slot in slots):
                calls.append(env.call(action))
                assert env.action_of(calls[-1]) == action
                continue
            with pytest.raises(InfeasibleAction, match="no objects"):
                env.call(action)
            before = state_of(env)
            assert problem == 0 and not env.action_masks()[action]
            assert not env.step(action)[4]["applied"] and state_of(env) == before
        assert {name for call in calls for name in call[1:]} == set(env.objects)
        assert len([name for name in env.objects if "house" in name]) == houses
        numbers[problem] = {call: env.action_of(call) for call in calls}
    assert numbers[0].items() <= numbers[1].items()
    with pytest.raises(ConfigError, match=r"4 objects.*room for 3.*objects=\{'place': 4\}"):
        env.reset(options={"problem": delivery_problem(4)})
    environment(domain, 1, objects={"place": 4}).reset(options={"problem": delivery_problem(4)})


def test_rewards_and_the_end(domain: Path) -> None:
    env = environment(domain, 1, goal_reward=50, step_reward=-2)
    env.reset()
    plan = [("fill", "van0"), ("move", "van0", "depot", "house1"), ("serve", "van0", "house1")]
    results = [env.step(env.action_of(call)) for call in plan]
    assert [result[1] for result in results] == [-2, -2, 48]
    assert [result[2] for result in results] == [False, False, True]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_a_numeric_planner_acts_in_it(domain: Path) -> None:
    env = environment(domain, 3)
    env.reset(seed=0)
    planner = NumericPlanner.for_environment(env, env.model, env.problem.goal)
    over = False
    while not over:
        *_, over, truncated, _ = env.step(planner.plan(None).action)
        assert not truncated


def test_functions_draw_or_yield_problems(domain: Path) -> None:
    def draws(generator: np.random.Generator) -> str:
        return delivery_problem(int(generator.integers(1, 4)))

    def yields(generator: np.random.Generator) -> Iterator[str]:
        while True:
            yield delivery_problem(1)
            yield delivery_problem(2)

    env = PddlEnv(domain, draws, objects={"place": 3})
    names = [env.reset(seed=seed)[1]["problem"] for seed in (5, 5, *[None] * 6)]
    again = [env.reset(seed=seed)[1]["problem"] for seed in (5, 5, *[None] * 6)]
    assert names == again and names[0] == names[1] and len(set(names)) > 1
    env = PddlEnv(domain, yields, objects={"place": 2})
    found = [env.reset(seed=seed)[1]["problem"] for seed in (0, None, None, 0)]
    assert found == ["houses-1", "houses-2", "houses-1", "houses-1"]


def test_a_generator_by_its_address(
    domain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"def draw(generator):\n    return '''{delivery_problem(1)}'''\n"
    (tmp_path / "my_problems.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert PddlEnv(domain, "my_problems:draw").reset()[1]["problem"] == "houses-1"
    with pytest.raises(ConfigError, match="my_problems:drawn"):
        PddlEnv(domain, "my_problems:drawn")


def raises(generator: np.random.Generator) -> str:
    raise ValueError("out of ideas")


def stops(generator: np.random.Generator) -> Iterator[str]:
    yield delivery_problem(1)


@pytest.mark.parametrize(
    ("problems", "words"),
    [
        ([], "sequence is empty"),
        (3, "give files"),
        (raises, "'raises': ValueError: out of ideas .*test_environment.py, line"),
        (lambda generator: 7, "problem is 7"),
        (stops, "'stops': yields no more problems"),
        ("no_such_file.pddl", "no_such_file.pddl"),
        ("(define (problem x) (:domain delivery) (:init (at van9 depot)) (:goal (and)))", "van9"),
        (delivery_problem(1).replace("(served house1)", "(at van0 depot)"), "already holds"),
        ([delivery_problem(1), None], "problem is None"),
    ],
)
def test_wrong_problems_are_one_line(domain: Path, problems: object, words: str) -> None:
    def twice() -> None:
        env = PddlEnv(domain, problems)  # type: ignore[arg-type]
        env.reset()
        env.reset()

    with pytest.raises(WorldplanError, match=words) as caught:
        twice()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"observations": "pixels"}, "observations"),
        ({"max_steps": 0}, "max_steps"),
        ({"goal_reward": float("nan")}, "goal_reward"),
        ({"objects": {"truck": 3}}, "no type 'truck'"),
        ({"objects": {"place": -1}}, "-1"),
        ({"objects": {"place": 500}}, "ground actions"),
        ({"render_mode": "human"}, "render_mode"),
        ({"goal_conditions": "many"}, "goal_conditions"),
    ],
)
def test_wrong_arguments_are_one_line(domain: Path, arguments: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        environment(domain, 1, **arguments)
    assert "\n" not in str(caught.value)


def test_wrong_steps_and_options(domain: Path) -> None:
    env = environment(domain, 1)
    for early in (env.action_masks, env.symbolic_state, env.render, lambda: env.step(0)):
        with pytest.raises(gym.error.ResetNeeded):
            early()
    with pytest.raises(ConfigError, match="'map'"):
        env.reset(options={"map": 0})
    with pytest.raises(ConfigError, match="lists 1"):
        env.reset(options={"problem": 1})
    with pytest.raises(ConfigError, match="2 objects.*room for 1"):
        env.reset(options={"problem": delivery_problem(2)})
    assert env.reset()[1]["problem"] == "houses-1"  # and not the one that was refused
    with pytest.raises(InfeasibleAction):
        env.step(env.action_space.n)
    with pytest.raises(InfeasibleAction, match="no action of problem"):
        env.action_of(("move", "van0"))


def test_types_are_checked(domain: Path) -> None:
    model = read_model(domain)
    problem = read_problem_text(domain, 1)
    wrong = State(problem.initial.atoms | {("at", "house1", "house1")}, problem.initial.values)
    with pytest.raises(DatasetError, match="at house1 house1.*vehicle, place"):
        PddlEnv(model, replace(problem, initial=wrong))
    serve = replace(model.actions["serve"], adds=frozenset({("served", 0)}))
    with pytest.raises(DatasetError, match=r"'serve': changes \(served \?v\)"):
        PddlEnv(NumericModel(model.vocabulary, {**model.actions, "serve": serve}), problem)


def read_problem_text(domain: Path, places: int) -> NumericProblem:
    file = domain.with_name("one.pddl")
    file.write_text(delivery_problem(places))
    return read_problem(file, domain)
