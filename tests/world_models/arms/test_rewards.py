"""Rewards of actions and costs of visits in files: their meaning, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from worldplan.envs.bandits.environment import ArmDynamics, BanditVectorEnv
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.source import Constraint
from worldplan.world_models.arms.programme import Programme, build
from worldplan.world_models.arms.rewards import read_reward_table
from worldplan.world_models.arms.tables import read_log, read_tables

ARMS, STATES = ("Ada", "Ben", "Cy"), 3


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return name


def tables(folder: Path, seed: int) -> np.ndarray:
    """Random transitions (arms, 2, states, states), written to transitions.csv and, as moves that
    were observed, to log.csv.
    """
    generator = np.random.default_rng(seed)
    move = generator.dirichlet(np.ones(STATES), size=(3, 2, STATES))
    rows = [
        (ARMS[j], s, k, t, repr(float(move[j, k, s, t]))) for j, k, s, t in np.ndindex(*move.shape)
    ]
    columns = ["arm", "state", "action", "next_state", "probability"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "transitions.csv", index=False)
    seen = [row[:4] for row in rows for _ in range(int(generator.integers(0, 4)))]
    pd.DataFrame(seen, columns=columns[:4]).to_csv(folder / "log.csv", index=False)
    return move


def reward_file(folder: Path, header: str, generator: np.random.Generator) -> np.ndarray:
    """Random rewards under a header, as an array (arms, levels, states, next states)."""
    full = np.zeros((3, 2, STATES, STATES))
    rows = []
    for j, s, k in np.ndindex(3, STATES, 2):
        value = round(float(generator.normal()), 6)
        if header == "state":
            if k:
                continue
            full[j, :, :, s] += value
            rows.append(f"{ARMS[j]},{s},{value!r}")
        elif header == "state,action":
            full[j, k, s, :] += value
            rows.append(f"{ARMS[j]},{s},{k},{value!r}")
        else:
            full[j, k, :, s] += value
            rows.append(f"{ARMS[j]},{s},{k},{value!r}")
    generator.shuffle(rows)
    rows.sort(key=lambda row: ARMS.index(row.split(",")[0]))
    write(folder, "rewards.csv", f"arm,{header},reward\n" + "\n".join(rows) + "\n")
    return full


@pytest.mark.parametrize("costs", ["none", "arm,cost", "arm,state,cost"])
@pytest.mark.parametrize("header", ["state", "state,action", "next_state,action"])
@pytest.mark.parametrize("source", ["transitions", "log"])
def test_expected_and_sampled_rewards(source: str, header: str, costs: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(len(header) + len(costs))
    tables(tmp_path, 1)
    full = reward_file(tmp_path, header, generator)
    cost = np.round(generator.uniform(0, 2, (3, STATES)), 3)
    if costs == "arm,cost":
        cost[:] = cost[:, :1]
        lines = [f"{name},{cost[j, 0]}" for j, name in enumerate(ARMS)]
        write(tmp_path, "costs.csv", "\n".join(["arm,cost", *lines[::-1]]))
    elif costs == "arm,state,cost":
        lines = [f"{ARMS[j]},{s},{cost[j, s]}" for j, s in np.ndindex(3, STATES)]
        write(tmp_path, "costs.csv", "\n".join(["arm,state,cost", *lines[::-1]]))
    if costs != "none":
        full[:, 1] -= cost[:, :, None]
    programme = Programme(
        **{source: f"{source}.csv"},
        rewards="rewards.csv",
        visit_costs=None if costs == "none" else "costs.csv",
        members=2 if source == "log" else 0,
        horizon=4,
        constraint=Constraint(kind="budget", budget=2),
    )
    built = build(programme, tmp_path)
    for model in (built.instance.dynamics, *(built.models or ())):
        expected = (model.transition * full).sum(-1)
        np.testing.assert_allclose(model.one_step(), expected, atol=1e-9)
    check_environment(built.instance.dynamics, full, BanditVectorEnv(built.instance, 40))


def check_environment(model: ArmDynamics, full: np.ndarray, env: BanditVectorEnv) -> None:
    """The rewards of a random policy in the environment, move by move."""
    generator, arms = np.random.default_rng(3), np.arange(3)
    state = env.reset(seed=0)[0]["state"]
    for _ in range(3):
        action = env.instance.actions.sample(generator)
        after, reward, *_, info = env.step(np.repeat(action[None], 40, axis=0))
        sampled = full[arms, action, state, after["state"]].sum(-1)
        expected = (model.transition * full).sum(-1)[arms, action, state].sum(-1)
        np.testing.assert_allclose(info["sampled_reward"], sampled, atol=1e-9)
        np.testing.assert_allclose(reward, expected, atol=1e-9)
        state = after["state"]


def test_the_arms_of_a_path_keep_their_own_rewards(tmp_path: Path) -> None:
    tables(tmp_path, 2)
    full = reward_file(tmp_path, "state,action", np.random.default_rng(5))
    write(tmp_path, "edges.csv", "from,to\nCy,Ada\nAda,Ben\n")
    write(tmp_path, "costs.csv", "arm,cost\nAda,1\nBen,2\nCy,3\n")
    constraint = Constraint(kind="path", connections="edges.csv", budget=2, moves=3, source="Cy")
    for source in ("transitions", "log"):
        programme = Programme(
            **{source: f"{source}.csv"}, rewards="rewards.csv", visit_costs="costs.csv",
            horizon=3, constraint=constraint,
        )  # fmt: skip
        built = build(programme, tmp_path)
        instance = built.instance
        order = [ARMS.index(name) for name in instance.arm_names]
        less = np.array([0.0, 1.0])[None, :, None] * np.array([1.0, 2.0, 3.0])[:, None, None]
        expected = (full[..., 0] - less)[order]
        np.testing.assert_allclose(instance.dynamics.one_step(), expected, atol=1e-9)
        if built.posterior is not None:
            assert built.posterior.arm_names == instance.arm_names
            np.testing.assert_allclose(built.posterior.mean().one_step(), expected, atol=1e-9)


TWO = "arm,state,action,reward\n" + "".join(
    f"A,{s},{k},{s + k}\n" for s in range(2) for k in range(2)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TWO.replace("A,1,1,2\n", ""), r"arm 'A' has no reward for state 1, action 1.*each action"),
        (TWO + "A,1,1,2\n", "line 6: this arm, state and action already appeared on line 5"),
        (TWO.replace("A,1,1,2", "A,1,2,2"), "line 5: action 2 is out of range: use a number from"),
        (TWO.replace("A,1,1,2", "A,1,,2"), "line 5: column 'action' is empty"),
        (TWO.replace("A,1,1,2", "A,1,1,x"), "line 5: reward 'x' is not a finite number"),
        ("arm,state,next_state,action,reward\nA,0,0,0,1\n", "columns state and next_state: keep"),
        ("arm,action,reward\nA,0,1\n", "column 'state' is missing"),
        ("arm,next_state,reward\nA,0,1\n", "column 'state' is missing"),
    ],
)  # fmt: skip
def test_what_a_table_of_rewards_refuses(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"rewards\.csv.*" + message):
        read_reward_table(tmp_path / write(tmp_path, "rewards.csv", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arm,cost\nAda,1\nBen,2\n", "arm 'Cy' has no cost of a visit: add a row"),
        ("arm,cost\nAda,1\nBen,2\nCy,-1\n", "line 4: cost -1 is negative: give 0 or more"),
        ("arm,cost\nAda,1\nBen,2\nDora,1\n", "line 4: unknown arm 'Dora'"),
        ("arm,cost\nAda,1\nBen,2\nCy,1\nAda,1\n", "line 5: this arm already appeared on line 2"),
        ("arm,state,cost\nAda,0,1\n", "arm 'Ada' has no cost of a visit in state 1"),
        ("arm,state,cost\nAda,3,1\n", "line 2: state 3 is out of range"),
        ("arm,hours\nAda,3\n", "column 'cost' is missing"),
    ],
)
def test_what_a_table_of_costs_refuses(text: str, message: str, tmp_path: Path) -> None:
    tables(tmp_path, 0)
    reward_file(tmp_path, "state", np.random.default_rng(0))
    programme = Programme(
        transitions="transitions.csv", rewards="rewards.csv", visit_costs="costs.csv",
        constraint=Constraint(kind="budget", budget=1),
    )  # fmt: skip
    write(tmp_path, "costs.csv", text)
    with pytest.raises(DatasetError, match=r"costs\.csv.*" + message):
        build(programme, tmp_path)


def test_other_actions_and_generated_arms_are_refused(tmp_path: Path) -> None:
    tables(tmp_path, 0)
    reward_file(tmp_path, "state,action", np.random.default_rng(0))
    table = pd.read_csv(tmp_path / "transitions.csv")
    more = table[table.action == 1].assign(action=2)
    pd.concat([table, more]).to_csv(tmp_path / "transitions.csv", index=False)
    with pytest.raises(DatasetError, match=r"rewards\.csv: rewards of actions 0 and 1"):
        read_tables(tmp_path / "transitions.csv", tmp_path / "rewards.csv")
    pd.read_csv(tmp_path / "log.csv").assign(action=2).to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DatasetError, match=r"rewards\.csv: rewards of actions 0 and 1"):
        read_log(tmp_path / "log.csv", tmp_path / "rewards.csv")
    with pytest.raises(ConfigError, match=r"programme\.visit_costs needs arms of your own"):
        build(Programme(domain="budget", visit_costs="costs.csv"), tmp_path)


@pytest.mark.parametrize("shape", [(2, 2, 2, 2), (3, 2, 2), (3, 1, 2, 3), (0, 1, 1, 1)])
def test_rewards_of_actions_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    move, reward = np.full((3, 2, 2, 2), 0.5), np.zeros((3, 2))
    with pytest.raises(DatasetError, match="action_reward has shape"):
        ArmDynamics(move, reward, action_reward=np.zeros(shape))


@pytest.mark.parametrize("header", ["state", "state,action", "next_state,action"])
def test_a_newcomer_has_the_mean_rewards_of_the_group(header: str, tmp_path: Path) -> None:
    tables(tmp_path, 4)
    full = reward_file(tmp_path, header, np.random.default_rng(7))
    write(tmp_path, "who.csv", "arm,town\nAda,a\nBen,a\nCy,b\nDora,a\nEve,c\n")
    programme = Programme(
        log="log.csv", rewards="rewards.csv", groups="town",
        constraint=Constraint(kind="budget", budget=1, attributes="who.csv"),
    )  # fmt: skip
    model = build(programme, tmp_path).instance.dynamics
    full = np.concatenate([full, full[:2].mean(0)[None], full.mean(0)[None]])
    expected = (model.transition * full).sum(-1)
    np.testing.assert_allclose(model.one_step(), expected, atol=1e-9)
