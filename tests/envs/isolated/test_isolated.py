"""Environments in another interpreter: the same numbers as in this one, one line for every failure,
no process left over.
"""

from __future__ import annotations

import ast
import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import worldplan.envs.isolated.client
from tests.places import ROOT
from worldplan.envs.isolated.client import EnvironmentFailed, IsolatedEnv
from worldplan.envs.isolated.server import PREFIX, Codec, find
from worldplan.milp.errors import ConfigError, InfeasibleAction

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")

EXAMPLE = '''
import os, time
import gymnasium as gym
import numpy as np

class Example(gym.Env):
    """Random walk; the entries of an action above 0.9 make it fail, die or hang."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(self, start=0.0, size=3, render_mode="rgb_array"):
        self.start, self.size, self.render_mode = np.asarray(start), size, render_mode
        state = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        image = gym.spaces.Box(0, 255, (2, 2), np.uint8)
        self.observation_space = gym.spaces.Dict({"image": image, "state": state})
        self.action_space = gym.spaces.Box(np.float32([-1, -1, -2]), np.float32([1, 1, 2]))

    def observe(self):
        image = np.full((2, 2), self.time, np.uint8)
        return {"image": image, "state": self.state.astype(np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.state = 0, self.start + np.zeros(self.size)
        if options is not None:
            self.state = self.state + options["shift"]
        return self.observe(), {"time": 0}

    def step(self, action):
        print("this is not an answer", flush=True)
        if action[0] > 0.9:
            raise ValueError("two\\nlines")
        if action[1] > 0.9:
            os._exit(7)
        if action[2] > 0.9:
            time.sleep(60)
        self.time += 1
        self.state = self.state + action.sum() + self.np_random.standard_normal(self.size)
        numbers = {"time": self.time, "odd": bool(self.time % 2), "force": np.float32(0.1)}
        arrays = {"solved": np.bool_(True), "place": self.state}
        rest = {"words": "left out", "nested": {"left": "out"}, "nothing": None}
        info = {**numbers, **arrays, **rest}
        return self.observe(), np.float64(self.state[0]), False, self.time >= 5, info

    def render(self):
        return np.full((4, 6, 3), self.time, np.uint8)

    def pid(self):
        return os.getpid()

    def linger(self):
        self.close = lambda: time.sleep(60)

    def twice(self, value):
        return {"array": 2 * value, "word": "kept"}
'''
CALM = np.zeros(3, np.float32)
FAIL, DIE, HANG = np.eye(3, dtype=np.float32)


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The example; an environment is kept so that most tests share a child."""
    file = tmp_path_factory.mktemp("isolated") / "example.py"
    file.write_text(EXAMPLE, encoding="utf-8")
    keeper = IsolatedEnv(sys.executable, f"{file}:Example")
    yield f"{file}:Example"
    keeper.close()


@pytest.fixture
def lonely(factory: str, tmp_path: Path) -> str:
    """The example under another name: whoever takes it gets a child that no other test shares."""
    file = tmp_path / "example.py"
    shutil.copy(factory.rpartition(":")[0], file)
    return f"{file}:Example"


def gone(pid: int) -> bool:
    """Whether the process ends within some seconds (a zombie has ended, too)."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def assert_same(received: Any, expected: Any) -> None:
    """Equal in every number and, for arrays, type and shape."""
    if isinstance(expected, dict):
        assert received.keys() == expected.keys()
        for name in expected:
            assert_same(received[name], expected[name])
    elif isinstance(expected, np.ndarray):
        assert received.dtype == expected.dtype
        np.testing.assert_array_equal(received, expected, strict=True)
    else:
        assert received == expected and isinstance(received, bool) == isinstance(
            expected, bool | np.bool_
        )


# --- the same as here -----------------------------------------------------------------------------


def test_equal_to_the_environment_in_this_process(factory: str) -> None:
    options = {"start": np.array([1.0, -2.0, 0.5]), "render_mode": "rgb_array"}
    there, here = IsolatedEnv(sys.executable, factory, options), find(factory)(**options)
    assert (
        there.observation_space == here.observation_space
        and there.action_space == here.action_space
    )
    assert there.render_mode == here.render_mode and there.metadata == here.metadata
    generator = np.random.default_rng(0)
    for seed, shift in ((3, None), (None, {"shift": np.ones(3)}), (3, {"shift": 2.0})):
        received, expected = (
            there.reset(seed=seed or 9, options=shift),
            here.reset(seed=seed or 9, options=shift),
        )
        assert_same(received[0], expected[0])
        over = False
        while not over:
            action = generator.uniform(-0.9, 0.9, 3).astype(np.float32)
            received, expected = there.step(action), here.step(action)
            expected[4].pop("words"), expected[4].pop("nested"), expected[4].pop("nothing")
            for mine, theirs in zip(received, expected, strict=True):
                assert_same(mine, theirs)
            over = expected[3]
        assert_same(there.render(), here.render())
    assert received[0]["state"].flags.writeable
    there.close()


def test_equal_for_a_registered_environment() -> None:
    there, here = (
        IsolatedEnv(sys.executable, "gymnasium:make", {"id": "Pendulum-v1", "g": 5.0}),
        gym.make("Pendulum-v1", g=5.0),
    )
    assert_same(there.reset(seed=1)[0], here.reset(seed=1)[0])
    for action in np.linspace(-2, 2, 20, dtype=np.float32)[:, None]:
        received, expected = there.step(action), here.step(action)
        assert_same(received[0], expected[0])
        assert received[1:4] == expected[1:4]
    there.close()


def test_vectors_of_them(factory: str) -> None:
    envs_ = gym.vector.SyncVectorEnv([lambda: IsolatedEnv(sys.executable, factory)] * 3)
    assert_same(envs_.reset(seed=0)[0]["state"], np.zeros((3, 3), np.float32))
    observation, *_, info = envs_.step(np.zeros((3, 3), np.float32))
    assert len(np.unique(observation["state"])) == 9 and info["time"].tolist() == [1, 1, 1]
    envs_.close()


def test_large_arrays_both_ways(factory: str) -> None:
    env = IsolatedEnv(sys.executable, factory, {"size": 300_000})
    large = np.arange(300_000.0)
    assert_same(env.reset(seed=0, options={"shift": large})[0]["state"], large.astype(np.float32))
    env.close()


def test_methods_of_the_environment(factory: str) -> None:
    env = IsolatedEnv(sys.executable, factory)
    received = env.call("twice", value=np.arange(3))
    assert_same(received, {"array": 2 * np.arange(3), "word": "kept"})
    with pytest.raises(EnvironmentFailed, match="thrice: AttributeError: .* no attribute 'thrice'"):
        env.call("thrice")
    env.close()


def test_actions_that_do_not_fit(factory: str) -> None:
    env = IsolatedEnv(sys.executable, factory)
    env.reset(seed=0)
    for wrong in (np.zeros(2), np.array([0, np.nan, 0])):
        with pytest.raises(InfeasibleAction, match="3,"):
            env.step(wrong)
    assert env.step(CALM)[4]["time"] == 1
    env.close()


# --- failures -------------------------------------------------------------------------------------


def test_an_error_there_is_one_line_here_and_does_no_harm(factory: str) -> None:
    env = IsolatedEnv(sys.executable, factory)
    env.reset(seed=0)
    with pytest.raises(EnvironmentFailed, match="step: ValueError: two lines$"):
        env.step(FAIL)
    assert env.step(CALM)[4]["time"] == 1
    env.close()


def test_death(lonely: str, tmp_path: Path) -> None:
    env, sibling = (IsolatedEnv(sys.executable, lonely) for _ in range(2))
    env.reset(seed=0)
    with pytest.raises(EnvironmentFailed, match=r"step: its process died \(exit status 7\)"):
        env.step(DIE)
    for dead in (env, sibling):
        with pytest.raises(
            EnvironmentFailed, match="reset: its process has ended: make a new environment"
        ):
            dead.reset(seed=0)
        dead.close()
    new = IsolatedEnv(sys.executable, lonely)
    new.reset(seed=0)
    os.kill(new.call("pid"), 9)
    with pytest.raises(EnvironmentFailed, match=r"step: its process died \(signal SIGKILL\)"):
        new.step(CALM)


def test_hang(lonely: str) -> None:
    env = IsolatedEnv(sys.executable, lonely)
    pid = env.call("pid")
    env.reset(seed=0)
    env._timeout = 0.5
    with pytest.raises(
        EnvironmentFailed, match=r"step: no answer within 0.5 s, its process was ended"
    ):
        env.step(HANG)
    assert gone(pid)
    with pytest.raises(EnvironmentFailed, match="has ended"):
        env.step(CALM)


def test_an_interrupted_request_ends_the_child(
    lonely: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = IsolatedEnv(sys.executable, lonely)
    pid = env.call("pid")
    env.reset(seed=0)

    def interrupted(descriptor: int, event: int, deadline: float) -> None:
        if event == worldplan.envs.isolated.client.select.POLLIN:
            raise KeyboardInterrupt

    monkeypatch.setattr(worldplan.envs.isolated.client, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        env.step(CALM)
    assert gone(pid)
    with pytest.raises(
        EnvironmentFailed, match="has ended"
    ):  # not the answer of the request before
        env.step(CALM)


def test_ctrl_c_is_left_to_this_process(factory: str) -> None:
    env = IsolatedEnv(sys.executable, factory)
    env.reset(seed=0)
    os.kill(env.call("pid"), signal.SIGINT)
    assert env.step(CALM)[4]["time"] == 1
    env.close()


@pytest.mark.parametrize(
    ("named", "options", "message"),
    [
        ("no_such_module:make", {}, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("gymnasium:fake", {}, "AttributeError: module 'gymnasium' has no attribute 'fake'"),
        ("no/such/file.py:Example", {}, "FileNotFoundError: .*no/such/file.py"),
        (None, {"fake": 1}, "TypeError: .* unexpected keyword argument 'fake'"),
        (None, {"start": object()}, "object cannot be passed between processes"),
        (
            "gymnasium:make",
            {"id": "CartPole-v1"},
            r"TypeError: space Discrete\(2\) cannot be passed",
        ),
    ],
)
def test_what_cannot_be_made(
    factory: str, named: str | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        IsolatedEnv(sys.executable, named or factory, options)
    assert "\n" not in str(caught.value)


def test_interpreters_that_are_none(factory: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="python9 cannot be started .*No such file"):
        IsolatedEnv(tmp_path / "python9", factory)
    false = shutil.which("false")
    assert false is not None
    with pytest.raises(
        ConfigError, match=r"its process died \(exit status 1\).* interpreter .*false"
    ):
        IsolatedEnv(false, factory)


# --- nothing is left ------------------------------------------------------------------------------


def test_the_last_one_ends_the_child(lonely: str) -> None:
    first, second = (IsolatedEnv(sys.executable, lonely) for _ in range(2))
    pid = first.call("pid")
    assert second.call("pid") == pid
    second.reset(seed=0)
    first.close()
    first.close()
    with pytest.raises(EnvironmentFailed, match="the environment is closed"):
        first.reset(seed=0)
    assert second.step(CALM)[4]["time"] == 1
    del second
    gc.collect()
    assert gone(pid)


def test_a_child_that_does_not_end_is_killed(lonely: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worldplan.envs.isolated.client, "_PATIENCE", 0.3)
    env = IsolatedEnv(sys.executable, lonely)
    pid = env.call("pid")
    env.call("linger")
    del env
    gc.collect()
    assert gone(pid)


@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), 9)", "raise KeyboardInterrupt"])
def test_the_child_ends_with_its_parent(lonely: str, end: str) -> None:
    code = (
        "import os, sys\nfrom worldplan.envs.isolated.client import IsolatedEnv\n"
        f"env = IsolatedEnv(sys.executable, {lonely!r})\n"
        f"print(env.call('pid'), flush=True)\n{end}\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert gone(int(parent.stdout))


# --- messages -------------------------------------------------------------------------------------


def test_messages_hold_numbers_only() -> None:
    codec = Codec()
    message = {
        "a": np.zeros((0, 3)),
        "b": [np.array(True), np.int64(3), float("nan")],
        "c": np.arange(6, dtype=">i2").reshape(2, 3).T,
    }
    sent = codec.encode(message)
    length, _ = PREFIX.unpack_from(sent)
    received = codec.decode(sent[PREFIX.size : PREFIX.size + length], sent[PREFIX.size + length :])
    assert_same(received["a"], message["a"])
    assert_same(received["c"], message["c"])
    assert (
        received["b"][0] == np.array(True) and received["b"][1] == 3 and np.isnan(received["b"][2])
    )
    for wrong in (np.array([None]), object(), np.array(["text"]), 1j):
        with pytest.raises(TypeError, match="cannot be passed"):
            codec.encode(wrong)
    for kind in ("|O", "O,f4"):  # an address from outside must never become an object
        with pytest.raises(ValueError, match="OBJECT"):
            codec.decode(b'{"__array__": ["%s", [1], 0]}' % kind.encode(), bytes(16))
    with pytest.raises(ValueError, match="smaller"):
        codec.decode(b'{"__array__": ["<f8", [3], 0]}', bytes(16))


def test_the_server_imports_little_and_neither_side_pickles() -> None:
    for path, allowed in (
        (Path(worldplan.envs.isolated.client.__file__), {"worldplan"}),
        (Path(find.__code__.co_filename), set()),
    ):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        names |= {
            str(node.module).split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        assert names <= set(sys.stdlib_module_names) | {"gymnasium", "numpy"} | allowed
        assert not names & {"pickle", "marshal", "shelve", "multiprocessing", "copyreg"}


def test_search_paths_of_this_process_do_not_reach_the_child(
    lonely: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    IsolatedEnv(sys.executable, lonely).close()
