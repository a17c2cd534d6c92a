"""Arms with different numbers of states: nothing starts in, moves to or counts an invented one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from worldplan.cli import main
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, BanditVectorEnv
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.source import Constraint
from worldplan.planners.bandits.fluid import FluidBound, FluidPlanner
from worldplan.planners.bandits.observations import belief_of, state_of
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.world_models.arms.beliefs import read_present
from worldplan.world_models.arms.dynamics import ArmLog
from worldplan.world_models.arms.programme import Built, Programme, build
from worldplan.world_models.arms.tables import read_log, read_states

OWN = {"Ada": 3, "Ben": 5, "Cy": 1, "Dee": 3}


def write(folder: Path, name: str, lines: list[str]) -> str:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def files(folder: Path, source: str, *, action: bool = False) -> Programme:
    """A programme whose arms have the numbers of states of `OWN`."""
    generator = np.random.default_rng(0)
    moves, rewards = [], []
    for name, states in OWN.items():
        for s in range(states):
            for k in range(2):
                row = generator.dirichlet(np.ones(states))
                moves += [f"{name},{s},{k},{t},{float(row[t])!r}" for t in range(states)]
                if action:
                    rewards.append(f"{name},{s},{k},{generator.normal():.6f}")
            if not action:
                rewards.append(f"{name},{s},{generator.normal():.6f}")
    write(folder, "transitions.csv", ["arm,state,action,next_state,probability", *moves])
    seen = [row.rsplit(",", 1)[0] for row in moves for _ in range(int(generator.integers(3)))]
    write(folder, "log.csv", ["arm,state,action,next_state", *seen])
    write(folder, "rewards.csv", [f"arm,state,{'action,' if action else ''}reward", *rewards])
    write(folder, "own.csv", ["arm,states", *(f"{name},{n}" for name, n in OWN.items())])
    return Programme(
        **{source: f"{source}.csv"}, rewards="rewards.csv", own_states="own.csv", horizon=6,
        members=3 if source == "log" else 0, constraint=Constraint(kind="budget", budget=2),
    )  # fmt: skip


def check_nothing_invented(built: Built) -> None:
    instance = built.instance
    own = np.array(list(OWN.values()))
    missing = np.arange(5) >= own[:, None]
    assert (instance.dynamics.state_counts == own).all()
    assert (instance.initial[missing] == 0).all()
    np.testing.assert_allclose(instance.initial.sum(-1), 1)
    for model in (instance.dynamics, *(built.models or ())):
        assert (model.transition[np.repeat(missing[:, None, None], 2, 1).repeat(5, 2)] == 0).all()
    env = BanditVectorEnv(instance, 300)
    state = env.reset(seed=1)[0]["state"]
    assert state.max(0).tolist() == (own - 1).tolist()  # drawn from all states that it has
    for _ in range(6):
        actions = np.stack([instance.actions.sample(np.random.default_rng(i)) for i in range(300)])
        state = env.step(actions)[0]["state"]
        assert (state < own).all() and env.single_observation_space["state"].contains(state[0])


@pytest.mark.parametrize("action", [False, True])
@pytest.mark.parametrize("source", ["transitions", "log"])
def test_no_state_is_invented(source: str, action: bool, tmp_path: Path) -> None:
    built = build(files(tmp_path, source, action=action), tmp_path)
    check_nothing_invented(built)
    if built.posterior is not None:
        low, high = built.posterior.interval()
        missing = np.arange(5) >= built.instance.dynamics.state_counts[:, None]
        assert (high[np.broadcast_to(missing[:, None, None, :], high.shape)] == 0).all()
        assert ((low <= high) & (high <= 1)).all() and (high[2, :, 0, 0] == 1).all()


def test_an_arm_s_prior_has_its_own_states_and_the_given_weight(tmp_path: Path) -> None:
    programme = files(tmp_path, "log")
    log = read_log(
        tmp_path / "log.csv", tmp_path / "rewards.csv", own_states_csv=tmp_path / "own.csv"
    )
    posterior = log.posterior(prior_strength=7.0)
    prior = posterior.concentration - log.counts
    for arm, states in enumerate(OWN.values()):
        np.testing.assert_allclose(prior[arm, :, :states, :states].sum(-1), 7.0)
        pooled = log.counts.sum(0)[:, :states, :states] + 1.0
        expected = 7.0 * pooled / pooled.sum(-1, keepdims=True)
        np.testing.assert_allclose(prior[arm, :, :states, :states], expected)
    assert build(programme, tmp_path).moves is not None


@pytest.mark.parametrize("seed", range(6))
def test_values_and_bounds_are_those_of_each_arm_alone(seed: int) -> None:
    """With room for every visit, the joint problem is the sum of the arms' own ones, whatever the
    arrays hold for states that an arm does not have.
    """
    generator = np.random.default_rng(seed)
    own, extra = np.array([2, 4, 1]), generator.normal(size=(3, 2, 4, 4))
    move, reward = np.zeros((3, 2, 4, 4)), generator.normal(size=(3, 4))
    for arm, states in enumerate(own):
        move[arm, :, :states, :states] = generator.dirichlet(np.ones(states), size=(2, states))
        move[arm, :, states:] = generator.random((2, 4 - states, 4))
        reward[arm, states:] = 1e6
        extra[arm, :, states:] = -1e6
        extra[arm, :, :, states:] = 1e6
    model = ArmDynamics(move, reward, action_reward=extra, own_states=own)
    instance = BanditInstance(model, Budget(3, 3), 4, model.uniform)
    state, total = np.array([0, 3, 0]), 0.0
    for arm, states in enumerate(own):
        cut = slice(states)
        one = (move[arm, :, cut, cut] * (reward[arm, cut] + extra[arm, :, cut, cut])).sum(-1)
        value = np.zeros(states)
        for _ in range(4):
            value = (one + move[arm, :, cut, cut] @ value).max(0)
        total += value[state[arm]]
    assert FluidBound(instance).from_state(state) == pytest.approx(total, abs=1e-6)
    decision = FluidPlanner(instance).plan({"state": state, "steps_left": 4})
    assert decision.value == pytest.approx(total, abs=1e-5)


def test_forgotten_rows_are_found(tmp_path: Path) -> None:
    """Whoever forgets the rows of a highest state is told so, however few rows are declared."""
    programme = files(tmp_path, "log")
    for without in ("Ada,2", "Ben,4"):
        rows = (tmp_path / "rewards.csv").read_text().splitlines()
        kept = [row for row in rows if not row.startswith(without)]
        write(tmp_path, "short.csv", kept)
        name, state = without.split(",")
        with pytest.raises(DatasetError, match=f"arm '{name}' has no reward for state {state}"):
            build(replace(programme, rewards="short.csv"), tmp_path)
    undeclared = replace(programme, own_states=None)
    with pytest.raises(DatasetError, match="arm 'Ada' has no reward for state 3.*own_states"):
        build(undeclared, tmp_path)
    others = [f"{name},{states}" for name, states in OWN.items() if name != "Ada"]
    for lines, message in (
        (["Ada,2"], "rewards.csv, line 4: state 2: arm 'Ada' has states 0 to 1"),
        (["Ada,4"], "rewards.csv: arm 'Ada' has no reward for state 3"),
        (["Eve,4"], "own.csv, line 2: unknown arm 'Eve'"),
        (["Ada,3", "Ada,3"], "own.csv, line 3: this arm already appeared on line 2"),
        (["Ada,0"], "own.csv, line 2: states 0: give at least 1"),
        (["Ada,2.5"], "own.csv, line 2"),
        ([], "own.csv: arm 'Ada' has no row: add its number of states"),
    ):
        write(tmp_path, "own.csv", ["arm,states", *lines, *others])
        with pytest.raises(DatasetError, match=message):
            build(programme, tmp_path)


def rectangular() -> BanditInstance:
    move = np.full((2, 2, 3, 3), 0.0)
    move[..., 0] = 1.0
    model = ArmDynamics(move, np.zeros((2, 3)), own_states=np.array([2, 3]))
    return BanditInstance(model, Budget(2, 1), 3, model.uniform, ("Ada", "Ben"))


def test_states_that_an_arm_does_not_have_are_refused() -> None:
    instance = rectangular()
    with pytest.raises(DatasetError, match="state: arm 'Ada' in state 2: it has states 0 to 1"):
        state_of(instance, {"state": np.array([2, 2])})
    with pytest.raises(DatasetError, match="belief: arm 'Ada' in state 2"):
        belief_of(instance, {"belief": np.full((2, 3), 1 / 3)})
    with pytest.raises(DatasetError, match="start: arm 'Ada' in state 2"):
        FluidBound(instance).from_distribution(np.full((2, 3), 1 / 3))
    with pytest.raises(DatasetError, match="initial: arm 'Ada' in state 2"):
        BanditInstance(
            instance.dynamics, Budget(2, 1), 3, np.full((2, 3), 1 / 3), instance.arm_names
        )
    with pytest.raises(DatasetError, match="arm 0, state 0, action 0: moves to state 2"):
        ArmDynamics(np.full((2, 2, 3, 3), 1 / 3), np.zeros((2, 3)), own_states=np.array([2, 3]))
    with pytest.raises(DatasetError, match="own_states"):
        ArmDynamics(instance.dynamics.transition, np.zeros((2, 3)), own_states=np.array([0, 3]))
    counts = np.zeros((2, 2, 3, 3), int)
    counts[0, 0, 0, 2] = 1
    with pytest.raises(DatasetError, match="arm 'Ada': a move from state 0 to state 2"):
        ArmLog(counts, np.zeros((2, 3)), ("Ada", "Ben"), own_states=np.array([2, 3]))
    other = ArmDynamics(instance.dynamics.transition, np.zeros((2, 3)))
    with pytest.raises(ConfigError, match="differ in arms, states"):
        make_policy("myopic", PolicyContext(instance, models=(other,)))


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("transitions.csv", "Ada,3,0,0,1", "state 3: arm 'Ada' has states 0 to 2: correct"),
        ("transitions.csv", "Ada,0,0,3,1", "next_state 3: arm 'Ada' has states 0 to 2"),
        ("log.csv", "Cy,1,0,0", "state 1: arm 'Cy' has states 0 to 0"),
        ("log.csv", "Cy,0,0,5", "next_state 5 is out of range: use a number from 0 to 4"),
    ],
)
def test_rows_of_other_states_are_refused(
    name: str, row: str, message: str, tmp_path: Path
) -> None:
    programme = files(tmp_path, name.removesuffix(".csv"))
    lines = (tmp_path / name).read_text().splitlines()
    write(tmp_path, name, [*lines, row])
    with pytest.raises(DatasetError, match=rf"{name}, line {len(lines) + 1}: {message}"):
        build(programme, tmp_path)


def test_state_files_refuse_a_state_that_the_arm_has_not(tmp_path: Path) -> None:
    model = build(files(tmp_path, "transitions"), tmp_path).instance.dynamics
    names = tuple(OWN)
    rows = [f"{name},{states - 1}" for name, states in OWN.items()]
    present = tmp_path / write(tmp_path, "today.csv", ["arm,state", *rows])
    assert read_states(present, names, model.state_counts).tolist() == [2, 4, 0, 2]
    assert read_present(present, names, model).known.tolist() == [2, 4, 0, 2]
    for header, row in (
        ("arm,state", "Cy,1"),
        ("arm,state,last_state,days_since", "Cy,,1,2"),
        ("arm,state,probability", "Cy,1,1"),
    ):
        wrong = tmp_path / write(tmp_path, "wrong.csv", [header, row])
        with pytest.raises(DatasetError, match="state 1: arm 'Cy' has states 0 to 0"):
            read_present(wrong, names, model)
        if header == "arm,state":
            with pytest.raises(DatasetError, match="line 2: state 1: arm 'Cy' has states 0 to 0"):
                read_states(wrong, names, model.state_counts)


def test_decide_and_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files(tmp_path, "log")
    lines = ["name: p", "programme:", "  log: log.csv", "  rewards: rewards.csv", "  horizon: 6"]
    lines += ["  own_states: own.csv", "  constraint: {kind: budget, budget: 2}"]
    write(tmp_path, "p.yaml", lines)
    rows = [f"{name},{states - 1}" for name, states in OWN.items()]
    write(tmp_path, "today.csv", ["arm,state", *rows])
    write(tmp_path, "wrong.csv", ["arm,state", *rows[:2], "Cy,1", *rows[3:]])
    assert main(["bandits", "decide", "p.yaml", "--state", "today.csv"]) == 0
    assert main(["bandits", "decide", "p.yaml", "--state", "wrong.csv"]) != 0
    day = ["bandits", "day", "p.yaml", "--date", "2026-11-30", "--outcomes"]
    assert main([*day, "wrong.csv"]) != 0
    assert "client 'Cy' in state 1" in "".join(capsys.readouterr())
    assert main([*day, "today.csv"]) == 0
