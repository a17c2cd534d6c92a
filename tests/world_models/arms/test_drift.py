"""Moves of a log that count less the older they are."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, BanditVectorEnv
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.source import Constraint
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.planners.base import bootstrap, evaluate
from worldplan.world_models.arms.drift import HalfLife
from worldplan.world_models.arms.programme import Built, Programme, build

FIRST = dt.date(2026, 1, 1)


def write(folder: Path, log: pd.DataFrame, arms: int, states: int) -> None:
    log.to_csv(folder / "log.csv", index=False)
    arm, state = np.indices((arms, states)).reshape(2, -1)
    rewards = {"arm": arm, "state": state, "reward": state * (1.0 + arm % 3)}
    pd.DataFrame(rewards).to_csv(folder / "rewards.csv", index=False)


def random_log(seed: int, arms: int, states: int, rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 200, rows)
    return pd.DataFrame(
        {
            "arm": rng.integers(0, arms, rows),
            "state": rng.integers(0, states, rows),
            "action": rng.integers(0, 2, rows),
            "next_state": rng.integers(0, states, rows),
            "episode": np.arange(rows),  # rows do not follow each other
            "step": 300 - age,
            "date": [FIRST + dt.timedelta(days=300 - int(days)) for days in age],
        }
    )


def learned(folder: Path, half_life: str, today: dt.date | None = None, **more: object) -> Built:
    programme = Programme(
        log="log.csv",
        rewards="rewards.csv",
        half_life=half_life,
        constraint=Constraint(budget=2),
        **more,  # type: ignore[arg-type]
    )
    return build(programme, folder, today=today)


@pytest.mark.parametrize("seed", range(8))
def test_weights_are_those_of_an_independent_count(tmp_path: Path, seed: int) -> None:
    arms, states = 3 + seed % 3, 2 + seed % 2
    log = random_log(seed, arms, states, 150)
    write(tmp_path, log, arms, states)
    days = [7.0, 30.0, 365.0][seed % 3]
    today = None if seed % 2 else FIRST + dt.timedelta(days=310)
    unit = "days" if today else ["days", "steps"][seed % 4 // 2]
    built = learned(tmp_path, f"{days:g} {unit}", today, prior_strength=1.5, borrow="fixed")
    last = max(log["date"]) if today is None else today
    expected = np.zeros((arms, 2, states, states))
    for row in log.itertuples():
        expected[row.arm, row.action, row.state, row.next_state] += 0.5 ** (
            (last - row.date).days / days
        )
    np.testing.assert_allclose(built.weighted, expected)
    assert built.posterior is not None and built.moves is not None and built.evidence is not None
    pooled = expected.sum(0) + 1
    prior = 1.5 * pooled / pooled.sum(-1, keepdims=True)
    np.testing.assert_allclose(built.posterior.concentration, prior + expected)
    np.testing.assert_allclose(built.evidence.own, expected.sum(-1))
    assert built.moves.sum() == len(log)  # what was observed stays what it is


def test_a_long_half_life_and_none_are_alike(tmp_path: Path) -> None:
    write(tmp_path, random_log(0, 4, 3, 200), 4, 3)
    for groups in ({"borrow": "fixed"}, {"borrow": "estimated"}):
        plain, long = (learned(tmp_path, text, **groups) for text in ("", "1000000 steps"))
        assert plain.weighted is None and plain.posterior is not None
        assert long.posterior is not None
        np.testing.assert_allclose(
            plain.posterior.concentration, long.posterior.concentration, rtol=5e-3
        )


@pytest.mark.parametrize("text", ["12 weeks", "84 days", "84 day", " 84.0  days "])
def test_units(text: str) -> None:
    half_life = HalfLife.parse(text)
    assert half_life is not None
    np.testing.assert_allclose(half_life.weight(np.array([0.0, 84.0, 168.0])), [1, 0.5, 0.25])


@pytest.mark.parametrize("text", ["90", "days", "-3 days", "0 days", "1e9 days", "3 years", "nan"])
def test_what_is_no_half_life_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"programme\.half_life .* such as '90 days'"):
        Programme(log="log.csv", half_life=text)


def test_logs_without_times_are_refused(tmp_path: Path) -> None:
    log = random_log(0, 3, 2, 40)
    write(tmp_path, log.drop(columns="date"), 3, 2)
    with pytest.raises(DatasetError, match=r"log\.csv, line 1.*column date.*in steps"):
        learned(tmp_path, "90 days")
    write(tmp_path, log.assign(step="soon"), 3, 2)
    with pytest.raises(DatasetError, match=r"log\.csv, line 2.*step"):
        learned(tmp_path, "9 steps")
    for wrong in ("1.2.2026", "", "2026-02-30"):
        log["date"] = log["date"].astype(str)
        log.loc[5, "date"] = wrong
        write(tmp_path, log, 3, 2)
        with pytest.raises(DatasetError, match=r"log\.csv, line 7.*date.*(write it as|fill it in)"):
            learned(tmp_path, "90 days")
    write(tmp_path, random_log(0, 3, 2, 40), 3, 2)
    with pytest.raises(DatasetError, match="is after today, 2026-05-01"):
        learned(tmp_path, "90 days", dt.date(2026, 5, 1))
    with pytest.raises(ConfigError, match=r"programme\.half_life .*give programme\.log"):
        build(Programme(domain="budget", half_life="9 steps"), tmp_path)


def drifting(rng: np.random.Generator, arms: int, steps: int) -> tuple[pd.DataFrame, ArmDynamics]:
    """A log whose probabilities to move up change over to others, and the dynamics at its end."""
    old, new = rng.uniform(0.1, 0.9, (2, arms, 2))
    state, rows = rng.integers(0, 2, arms), []
    share = np.linspace(0, 1, steps)
    for step in range(steps):
        up = (1 - share[step]) * old + share[step] * new
        action = (rng.random(arms) < 0.5).astype(int)
        after = (rng.random(arms) < up[np.arange(arms), action]).astype(int)
        rows.append(np.stack([np.arange(arms), state, action, after, np.full(arms, step)], axis=1))
        state = after
    columns = ["arm", "state", "action", "next_state", "step"]
    transition = np.stack([1 - new, new], axis=-1)[:, :, None].repeat(2, axis=2)
    reward = np.arange(2) * (1.0 + np.arange(arms)[:, None] % 3)
    return pd.DataFrame(np.concatenate(rows), columns=columns), ArmDynamics(transition, reward)


def test_forgetting_beats_none_where_dynamics_drift(tmp_path: Path) -> None:
    """Policies of both posteriors play the dynamics at the end of the log."""
    gained, closer = [], []
    prior: dict[str, object] = {"borrow": "fixed", "prior_strength": 2.0}
    for seed in range(6):
        log, now = drifting(np.random.default_rng(seed), 12, 160)
        write(tmp_path, log, 12, 2)
        true = BanditInstance(now, Budget(12, 3), 10, np.full((12, 2), 0.5))
        played, errors = [], []
        for text in ("25 steps", ""):
            model = learned(tmp_path, text, **prior).instance.dynamics
            errors.append(np.abs(model.transition - now.transition).mean())
            planner = WhittlePolicy(true, dynamics=model)
            result = evaluate(planner, BanditVectorEnv(true, 40), 40, seed)
            played.append(result.episodes["return"].to_numpy())
        gained.append(played[0] - played[1])
        closer.append(errors[1] - errors[0])
    assert min(closer) > 0
    assert bootstrap(np.concatenate(gained))["low"] > 0
