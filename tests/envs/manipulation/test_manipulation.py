"""Manipulation: the interface, the action pipeline, counting, forces, the two push tasks and their
demonstrators, pictures, errors.
"""

import os
import subprocess
import sys

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from worldplan.envs.manipulation import rendering
from worldplan.envs.manipulation.contacts import ContactMeter
from worldplan.envs.manipulation.demonstrators.episode import demonstrate
from worldplan.envs.manipulation.demonstrators.tasks import demonstrator_of
from worldplan.envs.manipulation.environment import CAMERAS, ManipulationEnv
from worldplan.envs.manipulation.hand import CONTROL_DT, NEW_SHARE, VELOCITY_LIMIT, YAW_RANGE
from worldplan.envs.manipulation.tasks import TASKS
from worldplan.milp.errors import ConfigError, InfeasibleAction, RenderingUnavailable

PUSHES = ["PlanarPush", "InclinePush"]
ALL = [*PUSHES, "BinPick", "UprightPivot"]


def make(task: str, **settings: object) -> gymnasium.Env:
    return gymnasium.make(f"worldplan.envs.manipulation:worldplan/{task}-v0", **settings)


@pytest.fixture(scope="module")
def gl() -> None:
    """Skips where no picture can be made."""
    env = ManipulationEnv("PlanarPush")
    try:
        rendering.Renderer(env.model, 8).close()
    except RenderingUnavailable as error:
        pytest.skip(str(error))


def play(env: gymnasium.Env, actions: np.ndarray, seed: int) -> tuple[np.ndarray, list[dict]]:
    observations, infos = [env.reset(seed=seed)[0]], []
    for action in actions:
        observation, *_, info = env.step(action)
        observations.append(observation)
        infos.append(info)
    return np.stack(observations), infos


def noise(env: gymnasium.Env, steps: int, seed: int = 0) -> np.ndarray:
    return (
        np.random.default_rng(seed)
        .uniform(-1, 1, (steps, *env.action_space.shape))
        .astype(np.float32)
    )


@pytest.mark.filterwarnings("ignore:.*A Box observation space")  # velocities have no bound
@pytest.mark.parametrize(
    ("task", "size", "steps"),
    [("PlanarPush", 5, 50), ("InclinePush", 3, 50), ("BinPick", 6, 100), ("UprightPivot", 6, 120)],
)
def test_interface(task: str, size: int, steps: int) -> None:
    env = make(task, observation="state")
    assert (
        env.action_space.shape == (size,)
        and env.spec is not None
        and env.spec.max_episode_steps == steps
    )
    check_env(env.unwrapped, skip_render_check=True)
    _, info = env.reset(seed=0)
    assert info == {
        "is_success": False,
        "solved": False,
        "contact_force": 0.0,
        "contact_violation": False,
        "saturation": False,
    }
    ends = [env.unwrapped.step(action)[2:4] for action in noise(env, steps)]
    assert ends == [(False, False)] * (steps - 1) + [(False, True)]


def test_the_seed_alone_decides() -> None:
    first, second = make("PlanarPush"), make("PlanarPush")
    actions = noise(first, 20)
    assert np.array_equal(play(first, actions, 3)[0], play(second, actions, 3)[0])
    assert np.array_equal(first.reset()[0], second.reset()[0])  # the second episode of a seed, too
    assert not np.array_equal(first.reset(seed=3)[0], first.reset(seed=4)[0])


@pytest.mark.parametrize("task", ALL)
def test_vectorised_environments_play_like_single_ones(task: str) -> None:
    single = make(task)
    vector = SyncVectorEnv([lambda: make(task)] * 2, autoreset_mode=AutoresetMode.DISABLED)
    vector.reset(seed=[5, 6])
    actions = noise(single, 10)
    for action in actions:
        observation, _, _, _, infos = vector.step(np.stack([action, action]))
    assert np.array_equal(play(single, actions, 6)[0][-1], observation[1]) and infos[
        "contact_force"
    ].shape == (2,)


def test_reward_is_not_latched_and_success_needs_five_solved_steps() -> None:
    env = make("PlanarPush").unwrapped
    env.reset(seed=0)
    flat, stay = np.array([1.0, 0, 0, 0]), env.hand.action_for(np.array([0.15, 0.25, 0.15]))
    seen = []
    for step in range(8):
        inside = step not in (2, 7)  # solved on steps 0, 1, 3, 4, 5, 6
        env.thing.place(np.array([0.0, -0.15 + 0.04 * inside - 0.06 * (not inside), 0.021]), flat)
        _, reward, _, _, info = env.step(stay)
        assert reward == float(info["solved"]) == float(inside)
        seen.append(info["is_success"])
    assert seen == [False] * 5 + [True] * 3
    assert env.reset()[1]["is_success"] is False


def test_incline_is_solved_on_the_disc_only() -> None:
    env = make("InclinePush").unwrapped
    env.reset(seed=0)
    goal = env.thing.goal
    for across, up, solved in (
        (0.0, 0.0, True),
        (0.035, 0.03, True),
        (0.045, 0.03, False),
        (0.0, -0.055, False),
    ):
        env.thing.place(
            goal
            + [across, up * np.cos(0.4), up * np.sin(0.4)]
            + 0.03 * np.array([0, -np.sin(0.4), np.cos(0.4)]),
            np.array([1.0, 0, 0, 0]),
        )
        assert env.solved is solved


def test_action_pipeline() -> None:
    env = make("PlanarPush").unwrapped
    env.reset(seed=0)
    hand, reach = env.hand, env.task.reach
    low, high = np.array(reach.low), np.array(reach.high)
    hand.place((low + high) / 2)
    before, step = hand.position.copy(), CONTROL_DT * VELOCITY_LIMIT
    near = before + [0.02, -0.01, 0.03]
    hand.apply(hand.action_for(near, yaw=0.3))
    assert np.allclose(hand.command[:3], before + NEW_SHARE * (near - before)) and np.isclose(
        hand.command[3], NEW_SHARE * 0.3
    )
    assert np.allclose(env.data.ctrl[:4], hand.command)
    hand.place(before)
    hand.apply(
        np.array([1.0, -1.0, 0.0, 0.0, 1.0])
    )  # corners of the box are too far for one step, a quarter turn, too
    assert np.allclose(
        hand.command,
        [*(before + NEW_SHARE * np.array([step, -step, 0.0])), NEW_SHARE * CONTROL_DT * 6.0],
    )
    hand.place(before, yaw=1.7)
    hand.apply(np.array([0.0, 0.0, 0.0, -1.0, 0.0]))  # half a turn is cut to the wrist's range
    assert np.isclose(hand.command[3], NEW_SHARE * YAW_RANGE + (1 - NEW_SHARE) * 1.7)
    assert np.allclose(hand.action_for(high + 1.0)[:3], 1.0)


def test_free_motion_reaches_the_target_without_saturation() -> None:
    env = make("InclinePush").unwrapped
    env.reset(seed=0)
    target = np.array([0.10, 0.15, 0.30])
    infos = [env.step(env.hand.action_for(target))[-1] for _ in range(40)]
    assert np.allclose(env.hand.position, target, atol=2e-3)
    assert (
        not any(info["saturation"] for info in infos)
        and max(info["contact_force"] for info in infos) == 0.0
    )


def test_the_force_on_the_fingers_is_what_the_servo_pushes_with() -> None:
    env = make("PlanarPush").unwrapped
    env.reset(seed=0)
    env.hand.place(np.array([0.1, 0.25, 0.03]))
    for _ in range(30):
        info = env.step(env.hand.action_for(np.array([0.1, 0.25, 0.0])))[-1]
    push = -env.data.actuator("z").force[0]  # the table's answer is shared by two equal fingers
    assert 20.0 < push < 80.0
    assert info["contact_force"] == pytest.approx(push / 2, rel=0.02)


def test_forces_are_those_of_mujoco() -> None:
    env = make("InclinePush").unwrapped
    play(
        env, demonstrate(env, demonstrator_of("InclinePush"), 0.0, 1).action[:28], 1
    )  # fingers on the capsule
    meter, wrench, seen = ContactMeter(env.model, env.data), np.zeros(6), []
    for _ in range(30):
        mujoco.mj_step(env.model, env.data)
        meter.record()
        sums: dict[tuple[str, str], np.ndarray] = {}
        for index, contact in enumerate(env.data.contact):
            pair = tuple(env.model.geom(geom).name for geom in contact.geom)
            if {"left_pad", "right_pad", "left_link", "right_link", "palm", "wrist"} & set(pair):
                mujoco.mj_contactForce(env.model, env.data, index, wrench)
                sums[pair] = sums.get(pair, np.zeros(3)) + wrench[:3] @ contact.frame.reshape(3, 3)
        seen.append(max((float(np.linalg.norm(force)) for force in sums.values()), default=0.0))
        assert meter.largest() == pytest.approx(seen[-1])
    assert max(seen) > 1.0


def test_forces_of_other_contact_models_are_refused() -> None:
    env = make("InclinePush").unwrapped
    env.model.opt.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    with pytest.raises(ConfigError, match="elliptic"):
        ContactMeter(env.model, env.data)


def test_full_force_into_the_table_saturates_a_servo() -> None:
    env = make("PlanarPush").unwrapped
    env.reset(seed=0)
    env.hand.place(np.array([0.1, 0.25, 0.10]))
    down = env.hand.action_for(np.array([0.1, 0.25, -0.03]))
    infos = [env.step(down)[-1] for _ in range(40)]
    assert infos[-1]["saturation"] and not infos[0]["saturation"]
    assert infos[-1]["contact_force"] == pytest.approx(40.0, rel=0.02)  # 80 N on two fingers


def test_a_hard_knock_is_a_violation_even_if_it_is_over_within_the_step() -> None:
    env = make("PlanarPush").unwrapped
    env.reset(seed=0)
    env.hand.place(np.array([0.1, 0.25, 0.02]))
    env.data.joint("z").qvel = -3.0  # m/s
    info = env.step(env.hand.action_for(np.array([0.1, 0.25, 0.1])))[-1]
    assert info["contact_violation"] and info["contact_force"] > 100.0
    assert env.hand.position[2] > 0.02  # already off the table
    assert not env.step(env.hand.action_for(np.array([0.1, 0.25, 0.1])))[-1]["contact_violation"]


@pytest.mark.parametrize("task", PUSHES)
def test_random_actions_earn_nothing(task: str) -> None:
    env = make(task).unwrapped
    for seed in range(4):
        env.reset(seed=seed)
        assert sum(env.step(action)[1] for action in noise(env, 50, seed)) == 0.0


@pytest.mark.parametrize("task", PUSHES)
def test_demonstrators_solve_their_tasks_gently(task: str) -> None:
    env, demonstrator = make(task), demonstrator_of(f"worldplan/{task}-v0")
    episodes = [demonstrate(env, demonstrator, noise=0.05, seed=seed) for seed in range(5)]
    assert sum(episode.success for episode in episodes) >= 4
    assert max(episode.contact_force.max() for episode in episodes) < 60.0 and not any(
        episode.saturation.any() for episode in episodes
    )
    assert all(episode.success == (episode.reward.sum() >= 5) for episode in episodes)


def test_a_demonstration_records_what_was_executed() -> None:
    env = make("PlanarPush")
    episode = demonstrate(env, demonstrator_of("PlanarPush"), noise=0.1, seed=7)
    assert (
        episode.action.shape == (50, 5)
        and episode.observation.shape == (51, 38)
        and np.abs(episode.action).max() <= 1.0
    )
    assert np.array_equal(play(env, episode.action, 7)[0], episode.observation)
    again = demonstrate(env, demonstrator_of("PlanarPush"), noise=0.1, seed=7)
    assert np.array_equal(again.action, episode.action)
    clean = demonstrate(env, demonstrator_of("PlanarPush"), noise=0.0, seed=7)
    assert 0.05 < np.std(episode.action[0] - clean.action[0]) < 0.2


@pytest.mark.parametrize("task", ALL)
def test_a_restored_state_continues_exactly(task: str) -> None:
    env, other = make(task).unwrapped, make(task).unwrapped
    demonstration = demonstrate(env, demonstrator_of(task), 0.0, 1)
    middle = int(demonstration.contact_force.argmax()) + 1  # in contact with the object
    play(env, demonstration.action[:middle], 1)
    state = env.get_state()
    actions = noise(env, 10, 1)
    ahead = [env.step(action) for action in actions]
    other.reset(seed=9)
    other.set_state(state)
    assert other.get_state().step == middle
    for action, expected in zip(actions, ahead, strict=True):
        observation, *rest = other.step(action)
        assert np.array_equal(observation, expected[0]) and rest == list(expected[1:])


@pytest.mark.usefixtures("gl")
def test_pixels() -> None:
    env = make(
        "PlanarPush",
        observation="pixels",
        image_size=48,
        frames=3,
        render_mode="rgb_array",
        render_size=100,
    )
    first, _ = env.reset(seed=0)
    assert first["image"].shape == (2, 9, 48, 48) and first in env.observation_space
    assert np.array_equal(first["image"][:, :3], first["image"][:, 6:])
    second, *_ = env.step(np.array([1.0, 1, 1, 1, 0], np.float32))
    assert np.array_equal(second["image"][:, 3:6], first["image"][:, 6:])
    assert (second["image"][:, 6:] != first["image"][:, 6:]).any()
    assert (first["image"][0] != first["image"][1]).any()
    assert len(np.unique(first["image"])) > 20
    assert env.render().shape == (100, 100, 3)
    state, _ = make("PlanarPush").reset(seed=0)
    assert np.array_equal(state[:17], first["proprioception"])
    env.close()


@pytest.mark.usefixtures("gl")
def test_pictures_show_the_moment_of_the_other_senses() -> None:
    """Not that of the last substep's start: a restored state looks the same, and the physics do not
    notice that they were drawn.
    """
    looks = {
        "observation": "pixels",
        "frames": 1,
        "image_size": 128,
        "render_mode": "rgb_array",
        "render_size": 128,
        "render_camera": "left",
    }
    env, other, blind = (
        make("PlanarPush", **looks).unwrapped,
        make("PlanarPush", **looks).unwrapped,
        make("PlanarPush").unwrapped,
    )
    actions = demonstrate(blind, demonstrator_of("PlanarPush"), 0.0, 1).action[:30]
    states, _ = play(blind, actions, 1)
    env.reset(seed=1)
    for action in actions:
        observation = env.step(action)[0]
    assert np.array_equal(observation["proprioception"], states[-1][:17])
    other.reset(seed=9)
    other.set_state(env.get_state())
    for rendered in (env.render(), other.render()):
        assert np.array_equal(rendered.transpose(2, 0, 1), observation["image"][0])
    env.close()
    other.close()


@pytest.mark.usefixtures("gl")
def test_pictures_show_the_object_and_survive_other_environments() -> None:
    env, other = (
        make("InclinePush", observation="pixels", frames=1, cameras=("right",)).unwrapped
        for _ in range(2)
    )
    before = env.reset(seed=0)[0]["image"][0]
    assert np.array_equal(other.reset(seed=0)[0]["image"][0], before)
    other.close()
    assert np.array_equal(env.reset(seed=0)[0]["image"][0], before)
    env.thing.place(env.thing.goal + [0.0, 0.0, 0.05], np.array([1.0, 0, 0, 0]))
    moved = env.step(np.zeros(3))[0]["image"][0]
    orange = [
        (picture[0] > 150) & (picture[2] < 60)
        for picture in (before.astype(int), moved.astype(int))
    ]
    assert min(mask.sum() for mask in orange) > 20
    assert (
        np.argwhere(orange[1])[:, 0].mean() < np.argwhere(orange[0])[:, 0].mean() - 5
    )  # higher up in the picture
    env.close()


@pytest.mark.usefixtures("gl")
def test_an_environment_that_is_not_closed_ends_without_an_error() -> None:
    code = (
        "import gymnasium; env = gymnasium.make("
        "'worldplan.envs.manipulation:worldplan/PlanarPush-v0', observation='pixels'); "
        "env.reset(seed=0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_registered_settings_are_those_of_the_tasks() -> None:
    for name, task in TASKS.items():
        spec = gymnasium.spec(f"worldplan/{name}-v0")
        assert spec.max_episode_steps == task.steps
        assert spec.kwargs == {"task": name, "cameras": CAMERAS}


def test_scenes_are_cheap_to_draw() -> None:
    for task in PUSHES:
        model = make(task).unwrapped.model
        assert (
            not model.light_castshadow.any()
            and model.nmesh == 0
            and model.vis.quality.offsamples == 0
        )
        assert model.opt.timestep * 20 == pytest.approx(CONTROL_DT)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"cameras": ("left", "above")},
            "camera 'above' does not exist in PlanarPush; choose among left, right, video",
        ),
        ({"cameras": "left"}, r"cameras 'left': give a list of names, \[left\] for one camera"),
        ({"image_size": 0}, "image_size is 0"),
        ({"frames": 0}, "frames is 0"),
        ({"observation": "depth"}, "observation 'depth'"),
        ({"observation": "pixels", "cameras": ()}, "at least one camera"),
        ({"render_mode": "human"}, "render_mode 'human'"),
        ({"task": "Juggle"}, "task 'Juggle' is not known; choose one of PlanarPush"),
    ],
)
def test_bad_settings(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ManipulationEnv(**{"task": "PlanarPush"} | settings)


def test_bad_use() -> None:
    env = make("PlanarPush").unwrapped
    env.reset(seed=0)
    for action in (np.zeros(3), np.array([0, 0, np.nan, 1, 0])):
        with pytest.raises(InfeasibleAction, match="PlanarPush: an action needs"):
            env.step(action)
    with pytest.raises(ConfigError, match="render_mode"):
        env.render()
    with pytest.raises(ConfigError, match="no demonstrator for task 'worldplan/Juggle-v0'"):
        demonstrator_of("worldplan/Juggle-v0")
    with pytest.raises(ConfigError, match="noise is -1"):
        demonstrate(env, demonstrator_of("PlanarPush"), -1.0, 0)
    with pytest.raises(ConfigError, match="not in CartPole"):
        demonstrate(gymnasium.make("CartPole-v1"), demonstrator_of("PlanarPush"), 0.0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one way to render")
@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("", "neither libEGL nor libOSMesa"),
        ("osmesa", "libOSMesa.so.8"),
        ("egl", "libEGL.so.1"),
        ("off", "forbids"),
    ],
)
def test_without_opengl_pictures_fail_in_plain_words_and_states_work(
    monkeypatch: pytest.MonkeyPatch, variable: str, words: str
) -> None:
    monkeypatch.setenv("MUJOCO_GL", variable)
    monkeypatch.setattr(rendering, "loadable", lambda names: False)
    make("PlanarPush").reset(seed=0)
    with pytest.raises(RenderingUnavailable, match=words) as caught:
        make("PlanarPush", observation="pixels").unwrapped.reset(seed=0)
    assert all(
        part in str(caught.value) for part in ("libosmesa6", "libegl1", "libgl1", "MUJOCO_GL")
    )


def test_a_wrong_mujoco_gl_is_a_clear_error_at_the_first_import_of_mujoco() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from worldplan.envs.manipulation import ManipulationEnv"],
        env=os.environ | {"MUJOCO_GL": "cinema"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        done.returncode == 1
        and "RenderingUnavailable: MuJoCo cannot be imported with MUJOCO_GL='cinema'" in done.stderr
        and "libosmesa6" in done.stderr
    )
