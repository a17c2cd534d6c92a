"""Bin pick and upright pivot: what counts as solved, how episodes start, and that their
demonstrators solve them gently.
"""

import gymnasium as gym
import numpy as np
import pytest

from worldplan.envs.manipulation.demonstrators.base import Demonstrator
from worldplan.envs.manipulation.demonstrators.episode import demonstrate
from worldplan.envs.manipulation.demonstrators.grasp import (
    BinPickDemonstrator,
    UprightPivotDemonstrator,
)
from worldplan.envs.manipulation.environment import ManipulationEnv
from worldplan.envs.manipulation.task import upright
from worldplan.envs.manipulation.upright_pivot import BASE, RADIUS

DEMONSTRATORS: dict[str, type[Demonstrator]] = {
    "BinPick": BinPickDemonstrator,
    "UprightPivot": UprightPivotDemonstrator,
}


@pytest.fixture(params=list(DEMONSTRATORS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(name: str) -> ManipulationEnv:
    env = gym.make(
        f"worldplan.envs.manipulation:worldplan/{name}-v0", observation="state"
    ).unwrapped
    assert isinstance(env, ManipulationEnv)
    return env


def play(env: ManipulationEnv, demonstrator: Demonstrator, until: float) -> int:
    """Act until a step's reward is `until`; the number of steps that took."""
    for step in range(env.task.steps):
        if env.step(demonstrator.act(env))[1] == until:
            return step
    raise AssertionError(f"no step with reward {until}")


@pytest.mark.parametrize("noise", [0.05, 0.1])
def test_demonstrators_succeed_without_force(name: str, noise: float) -> None:
    env, demonstrator = make(name), DEMONSTRATORS[name]()
    episodes = [demonstrate(env, demonstrator, noise, seed) for seed in range(3)]
    assert all(episode.success for episode in episodes)
    force = max(float(episode.contact_force.max()) for episode in episodes)
    assert 1.0 < force < 60.0  # of a limit of 100 N; a grasp cannot do without any
    assert not any(episode.saturation.any() for episode in episodes)
    assert all(episode.action.shape == (env.task.steps, 6) for episode in episodes)


def test_demonstrations_repeat_with_their_seed(name: str) -> None:
    first, again, other = (
        demonstrate(make(name), DEMONSTRATORS[name](), 0.1, seed) for seed in (7, 7, 8)
    )
    assert (
        isinstance(first.observation, np.ndarray)
        and isinstance(again.observation, np.ndarray)
        and isinstance(other.observation, np.ndarray)
    )
    np.testing.assert_array_equal(first.observation, again.observation)
    np.testing.assert_array_equal(first.action, again.action)
    assert np.abs(first.observation[0] - other.observation[0]).max() > 0.01


def test_demonstrators_decide_from_the_state_alone(name: str) -> None:
    """In a copy of any state of an episode, a new demonstrator acts as the one that played it."""
    env, copy, demonstrator = make(name), make(name), DEMONSTRATORS[name]()
    env.reset(seed=3)
    copy.reset(seed=4)
    for _ in range(env.task.steps):
        action = demonstrator.act(env)
        copy.set_state(env.get_state())
        np.testing.assert_allclose(DEMONSTRATORS[name]().act(copy), action, atol=1e-12)
        env.step(action)


def test_uniform_random_actions_earn_nothing(name: str) -> None:
    env, generator = make(name), np.random.default_rng(0)
    for seed in range(3):
        env.reset(seed=seed)
        actions = generator.uniform(-1.0, 1.0, (env.task.steps, 6))
        assert sum(env.step(action)[1] for action in actions) == 0.0


def test_block_starts_anywhere_in_the_bin() -> None:
    env = make("BinPick")
    starts = []
    for seed in range(200):
        env.reset(seed=seed)
        axis = env.thing.rotation[:, 1]
        starts.append([*env.thing.position[:2], np.arctan2(-axis[0], axis[1])])
        assert env.thing.position[2] == pytest.approx(0.02)
        assert env.hand.position[2] > 0.19 and env.hand.opening == pytest.approx(0.04)
        assert not env.solved
    most = np.array([0.10, 0.07, 1.2])
    assert (np.abs(starts) <= most).all()
    assert (np.max(starts, axis=0) > 0.8 * most).all() and (
        np.min(starts, axis=0) < -0.8 * most
    ).all()


def test_bottle_starts_lying_anywhere() -> None:
    env = make("UprightPivot")
    starts = []
    for seed in range(200):
        env.reset(seed=seed)
        axis = env.thing.rotation[:, 0]
        assert abs(axis[2]) < 1e-9 and env.thing.position[2] == pytest.approx(RADIUS)
        starts.append([*(env.thing.position - BASE / 2 * axis)[:2], np.arctan2(axis[0], -axis[1])])
        assert env.hand.position[2] > 0.19 and not env.solved
    most = np.array([0.08, 0.08, 1.0])
    assert (np.abs(starts) <= most).all()
    assert (np.max(starts, axis=0) > 0.8 * most).all() and (
        np.min(starts, axis=0) < -0.8 * most
    ).all()


def test_objects_rest_until_they_are_touched(name: str) -> None:
    env = make(name)
    env.reset(seed=1)
    before = env.thing.position
    for _ in range(30):
        info = env.step(env.hand.action_for(np.array([0.0, 0.0, 0.3])))[4]
        assert info["contact_force"] == 0.0
    np.testing.assert_allclose(env.thing.position, before, atol=1e-3)


@pytest.mark.parametrize(
    ("position", "solved"),
    [
        ((0.0, 0.0, 0.30), True),
        ((0.05, 0.05, 0.30), True),
        ((0.0, 0.0, 0.38), False),
        ((0.0, 0.0, 0.22), False),
        ((0.08, 0.0, 0.30), False),
    ],
)
def test_block_counts_only_within_the_ball_around_the_goal(
    position: tuple[float, float, float], solved: bool
) -> None:
    env = make("BinPick")
    env.reset(seed=0)
    env.thing.place(np.array(position), upright(0.3))
    assert env.solved is solved


def test_held_block_earns_at_the_goal_and_nowhere_else() -> None:
    env = make("BinPick")
    env.reset(seed=5)
    play(env, BinPickDemonstrator(), 1.0)
    rewards = [
        env.step(env.hand.action_for(np.array([0.15, 0.10, 0.30]), closed=True))[1]
        for _ in range(15)
    ]
    assert env.thing.position[2] > 0.25  # still held, at the same height
    assert rewards[-1] == 0.0
    back = [env.step(env.hand.action_for(env.thing.goal, closed=True))[1] for _ in range(15)]
    assert back[-1] == 1.0


def test_success_takes_five_solved_steps_and_stays() -> None:
    env = make("BinPick")
    env.reset(seed=5)
    demonstrator = BinPickDemonstrator()
    play(env, demonstrator, 1.0)
    infos = [env.step(demonstrator.act(env))[4] for _ in range(5)]
    assert [info["is_success"] for info in infos] == [False, False, False, True, True]
    info = {}
    for _ in range(15):  # let go: the block falls back into the bin
        info = env.step(env.hand.action_for(env.thing.goal))[4]
    assert not info["solved"] and info["is_success"]


def test_dropped_block_is_picked_up_again() -> None:
    env = make("BinPick")
    env.reset(seed=5)
    demonstrator = BinPickDemonstrator()
    play(env, demonstrator, 1.0)
    for _ in range(8):
        env.step(env.hand.action_for(env.hand.position))
    assert env.thing.position[2] < 0.06
    assert play(env, demonstrator, 1.0) > 10


def place_bottle(env: ManipulationEnv, tilt: float = 0.0, height: float = 0.0) -> None:
    """Stand the bottle in the middle, `tilt` rad from upright, its base's middle at `height`."""
    angle = tilt - np.pi / 2
    axis = np.array([np.sin(tilt), 0.0, np.cos(tilt)])
    env.thing.place(
        BASE * axis + [0.0, 0.0, height], np.array([np.cos(angle / 2), 0.0, np.sin(angle / 2), 0.0])
    )


def test_bottle_must_stand_alone_and_still() -> None:
    env = make("UprightPivot")
    env.reset(seed=0)
    far, near = np.array([0.0, 0.0, BASE + 0.17]), np.array([0.0, 0.0, BASE + 0.15])

    def solved(hand: np.ndarray, speed: float = 0.0, **bottle: float) -> bool:
        env.hand.place(hand)
        place_bottle(env, **bottle)
        env.data.joint("object").qvel[:3] = [speed, 0.0, 0.0]
        return env.solved

    assert solved(far)
    assert not solved(near)
    assert not solved(far, tilt=0.2)
    assert not solved(far, tilt=np.pi)
    assert not solved(far, tilt=np.pi / 2)
    assert not solved(far, height=0.01)
    assert not solved(far, speed=0.1)
    np.testing.assert_allclose(
        env.thing.rotation[:, 0], [0.0, 0.0, 1.0], atol=1e-9
    )  # it was upright above, and not by accident


def test_standing_bottle_earns_when_the_hand_has_left() -> None:
    env = make("UprightPivot")
    env.reset(seed=2)
    demonstrator = UprightPivotDemonstrator()
    while not (env.thing.rotation[2, 0] > 0.999 and env.hand.opening > 0.03):
        assert env.step(demonstrator.act(env))[1] == 0.0
    beside = env.thing.position
    rewards = [
        env.step(env.hand.action_for(beside + [0.0, 0.0, 0.1], env.hand.yaw))[1] for _ in range(20)
    ]
    assert (
        env.thing.rotation[2, 0] > 0.999 and sum(rewards) == 0.0
    )  # it stands, but the hand is there
    assert play(env, demonstrator, 1.0) < 20


def test_pinched_bottle_swings_upright() -> None:
    """Held by nothing but the two studs, the bottle hangs: gravity turned it, no finger did."""
    env = make("UprightPivot")
    env.reset(seed=2)
    demonstrator = UprightPivotDemonstrator()
    turned = []
    for _ in range(60):
        env.step(demonstrator.act(env))
        if demonstrator.grasp.holds(env.hand, env.thing.position):
            turned.append(env.thing.rotation[2, 0])
    assert min(turned) < 0.1 and max(turned) > 0.98
