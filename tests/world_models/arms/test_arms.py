"""Arm dynamics from tables and logs: the estimates are right, and every bad file is refused with
file and line.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.places import ROOT
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.world_models.arms.dynamics import ArmLog
from worldplan.world_models.arms.example_log import (
    example_dynamics,
    write_example_log,
    write_tables,
)
from worldplan.world_models.arms.tables import read_log, read_states, read_tables

REWARDS = "arm,state,reward\nb,0,0\nb,1,1\na,1,2\na,0,0.5\n"
LAWS = "".join(
    f"{arm},{state},{action},{target},0.5\n"
    for arm in "ab"
    for state in (0, 1)
    for action in (0, 1)
    for target in (0, 1)
)
TRANSITIONS = "arm,state,action,next_state,probability\n" + LAWS
ONE_ACTION = "arm,state,action,next_state,probability\n" + "".join(
    f"{arm},{state},0,0,1\n" for arm in "ab" for state in (0, 1)
)
LOG = "arm,state,action,next_state\na,0,1,1\nb,1,0,0\nb,1,0,0\n"
TODAY = "arm,state\na,1\nb,0\n"


def put(folder: Path, **texts: str) -> dict[str, Path]:
    given = {"rewards": REWARDS, "transitions": TRANSITIONS, "log": LOG, "today": TODAY} | texts
    for name, text in given.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.csv" for name in given}


def read_all(files: dict[str, Path]) -> None:
    tables = read_tables(files["transitions"], files["rewards"])
    read_log(files["log"], files["rewards"], levels=2)
    read_states(files["today"], tables.arm_names, tables.dynamics.states)


def test_tables_round_trip(tmp_path: Path) -> None:
    dynamics = example_dynamics(7, 2, np.random.default_rng(3))
    write_tables(tmp_path, dynamics, np.array([f"p{i:02}" for i in range(7)]))
    tables = read_tables(tmp_path / "transitions.csv", tmp_path / "rewards.csv")
    assert tables.arm_names == tuple(f"p{i:02}" for i in range(7))
    np.testing.assert_allclose(tables.dynamics.transition, dynamics.transition, atol=1e-9)
    np.testing.assert_allclose(tables.dynamics.reward, dynamics.reward)


def test_order_of_the_rewards_file_is_the_order_of_the_arms(tmp_path: Path) -> None:
    files = put(tmp_path)
    tables = read_tables(files["transitions"], files["rewards"])
    assert tables.arm_names == ("b", "a")
    assert tables.dynamics.reward.tolist() == [[0, 1], [0.5, 2]]
    assert read_states(files["today"], tables.arm_names, 2).tolist() == [0, 1]
    counts = read_log(files["log"], files["rewards"]).counts
    assert counts.shape == (2, 2, 2, 2)
    assert counts[0, 0, 1, 0] == 2
    assert counts[1, 1, 0, 1] == 1
    assert counts.sum() == 3


def test_ids_stay_text_and_blank_lines_do_not_shift_line_numbers(tmp_path: Path) -> None:
    files = put(tmp_path, rewards="arm,state,reward\n\n007,0,1\n\n")
    log = put(
        tmp_path,
        log="arm, state ,action,next_state\n007,0,0,0\n\n007,0,0,5\n",
        rewards=files["rewards"].read_text(),
    )["log"]
    with pytest.raises(DatasetError, match=r"log.csv, line 4: next_state 5 is out of range"):
        read_log(log, files["rewards"])


def replaced(text: str, line: int, row: str) -> str:
    lines = text.splitlines()
    return "\n".join([*lines[: line - 1], row, *lines[line:]]) + "\n"


BAD = {
    "column": ({"rewards": "arm,state\nb,0\n"}, "rewards.csv, line 1: column 'reward' is missing"),
    "log column": (
        {"log": "arm,state,action\na,0,1\n"},
        "log.csv, line 1: column 'next_state' is missing",
    ),
    "no rows": ({"today": "arm,state\n"}, "today.csv: the file has no rows"),
    "empty file": ({"log": ""}, "log.csv: the file is empty"),
    "too many cells": ({"today": "arm,state\na,1\nb,0,3\n"}, "today.csv, line 3: more cells"),
    "too many cells everywhere": ({"today": "arm,state\na,1,2\nb,0,3\n"}, "today.csv"),
    "too few cells": (
        {"log": replaced(LOG, 3, "b,1")},
        "log.csv, line 3: column 'action' is empty",
    ),
    "NaN": (
        {"rewards": replaced(REWARDS, 3, "b,1,NaN")},
        "rewards.csv, line 3: column 'reward' is empty or NaN",
    ),
    "infinite": (
        {"rewards": replaced(REWARDS, 3, "b,1,inf")},
        "rewards.csv, line 3: reward 'inf' is not a finite number",
    ),
    "empty cell": (
        {"transitions": replaced(TRANSITIONS, 4, "a,0,,0,0.5")},
        "transitions.csv, line 4: column 'action' is empty",
    ),
    "empty arm": ({"today": replaced(TODAY, 2, ",1")}, "today.csv, line 2: column 'arm' is empty"),
    "fraction": (
        {"log": replaced(LOG, 2, "a,0.5,1,1")},
        "log.csv, line 2: state '0.5' is not an integer",
    ),
    "word": (
        {"today": replaced(TODAY, 3, "b,low")},
        "today.csv, line 3: state 'low' is not an integer",
    ),
    "negative": (
        {"transitions": replaced(TRANSITIONS, 5, "a,0,1,1,-0.5")},
        "transitions.csv, line 5: probability -0.5 is negative",
    ),
    "sum": (
        {"transitions": replaced(TRANSITIONS, 5, "a,0,1,1,0.4")},
        "csv, line 4: arm 'a', state 0, action 1: probabilities sum to 0.9",
    ),
    "no law": (
        {"transitions": TRANSITIONS.replace("b,1,1,0,0.5\nb,1,1,1,0.5\n", "")},
        "transitions.csv: arm 'b', state 1, action 1 has no rows",
    ),
    "one action": (
        {"transitions": ONE_ACTION},
        "transitions.csv: arm 'b', state 0, action 1 has no rows",
    ),
    "unknown arm": (
        {"transitions": replaced(TRANSITIONS, 2, "z,0,0,0,0.5")},
        "transitions.csv, line 2: unknown arm 'z'",
    ),
    "unknown arm in log": (
        {"log": replaced(LOG, 4, "z,0,0,0")},
        "log.csv, line 4: unknown arm 'z'",
    ),
    "unknown arm today": (
        {"today": replaced(TODAY, 3, "z,0")},
        "today.csv, line 3: unknown arm 'z'",
    ),
    "repeat": (
        {"transitions": TRANSITIONS + "a,0,0,1,0.5\n"},
        "transitions.csv, line 18: .* already appeared on line 3",
    ),
    "repeat reward": (
        {"rewards": REWARDS + "b,1,1\n"},
        "rewards.csv, line 6: .* already appeared on line 3",
    ),
    "repeat today": (
        {"today": TODAY + "a,1\n"},
        "today.csv, line 4: this arm already appeared on line 2",
    ),
    "state": ({"today": replaced(TODAY, 3, "b,2")}, "today.csv, line 3: state 2 is out of range"),
    "negative state": (
        {"log": replaced(LOG, 2, "a,-1,0,0")},
        "log.csv, line 2: state -1 is out of range",
    ),
    "huge state": (
        {"rewards": REWARDS + "b,99999999999,1\n"},
        "rewards.csv, line 6: state 99999999999 is out of range",
    ),
    "action": ({"log": replaced(LOG, 2, "a,0,2,1")}, "log.csv, line 2: action 2 is out of range"),
    "target": (
        {"transitions": TRANSITIONS + "a,0,0,2,0\n"},
        "transitions.csv, line 18: next_state 2 is out of range",
    ),
    "reward missing": (
        {"rewards": REWARDS.replace("a,0,0.5\n", "")},
        "rewards.csv: arm 'a' has no reward for state 0",
    ),
    "reward gap": (
        {"rewards": REWARDS + "a,9999,0\n"},
        "rewards.csv: arm 'b' has no reward for state 2",
    ),
    "arm missing": ({"today": "arm,state\na,1\n"}, "today.csv: arm 'b' has no row"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_name_file_line_and_remedy(tmp_path: Path, case: str) -> None:
    read_all(put(tmp_path))
    texts, message = BAD[case]
    with pytest.raises(DatasetError, match=message) as caught:
        read_all(put(tmp_path, **texts))
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(": ") >= 2


def test_missing_and_binary_files(tmp_path: Path) -> None:
    files = put(tmp_path)
    with pytest.raises(DatasetError, match="nowhere.csv: no such file"):
        read_tables(tmp_path / "nowhere.csv", files["rewards"])
    with pytest.raises(DatasetError, match="cannot be read"):
        read_states(tmp_path, ("a",), 2)
    (tmp_path / "log.csv").write_bytes(b"\xff\xfe\x00\x81" * 30)
    with pytest.raises(DatasetError, match="not a UTF-8"):
        read_log(files["log"], files["rewards"])


def small_log(rows: int, arms: int = 4, seed: int = 0) -> tuple[ArmLog, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.dirichlet(np.ones(3), size=(arms, 2, 3))
    counts = generator.multinomial(rows, truth)
    return ArmLog(counts, np.zeros((arms, 3)), tuple(map(str, range(arms)))), truth


def test_posterior_mean_and_interval_by_hand() -> None:
    log, _ = small_log(7)
    posterior = log.posterior(prior_strength=3.0)
    low, high = posterior.interval(0.9)
    arm, action, state = 2, 1, 0
    pooled = log.counts[:, action, state].sum(0) + 1
    alpha = 3.0 * pooled / pooled.sum() + log.counts[arm, action, state]
    np.testing.assert_allclose(posterior.mean().transition[arm, action, state], alpha / alpha.sum())
    for target in range(3):
        marginal = stats.beta(alpha[target], alpha.sum() - alpha[target])
        assert marginal.cdf(low[arm, action, state, target]) == pytest.approx(0.05)
        assert marginal.cdf(high[arm, action, state, target]) == pytest.approx(0.95)


def test_posterior_recovers_the_truth_as_data_grow() -> None:
    errors, widths = [], []
    for rows in (0, 10, 1_000, 100_000):
        log, truth = small_log(rows, arms=200)
        posterior = log.posterior()
        low, high = posterior.interval()
        errors.append(np.abs(posterior.mean().transition - truth).mean())
        widths.append((high - low).mean())
        if rows:
            assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.95, abs=0.04)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.003
    assert widths == sorted(widths, reverse=True)


def test_posterior_samples_follow_the_posterior() -> None:
    log, _ = small_log(20)
    posterior = log.posterior(concentration=np.full(3, 0.5))
    draws = np.stack(
        [member.transition for member in posterior.sample(4_000, np.random.default_rng(1))]
    )
    low, high = posterior.interval()
    np.testing.assert_allclose(draws.mean(0), posterior.mean().transition, atol=0.01)
    assert ((draws >= low) & (draws <= high)).mean() == pytest.approx(0.95, abs=0.01)
    again = posterior.sample(1, np.random.default_rng(1))[0].transition
    np.testing.assert_array_equal(
        again, posterior.sample(1, np.random.default_rng(1))[0].transition
    )


def test_bad_priors_and_levels() -> None:
    log, _ = small_log(5)
    for setting in (
        {"prior_strength": 0.0},
        {"prior_strength": np.nan},
        {"concentration": np.zeros(3)},
    ):
        with pytest.raises(ConfigError):
            log.posterior(**setting)
    with pytest.raises(ConfigError):
        log.posterior().interval(1.0)


def test_example_log_is_readable_and_repeatable(tmp_path: Path) -> None:
    write_example_log(tmp_path / "one", arms=23, weeks=400)
    subprocess.run(
        [sys.executable, "-m", "worldplan.world_models.arms.example_log", str(tmp_path / "two")],
        check=True,
        cwd=ROOT,
    )
    tables = read_tables(tmp_path / "one" / "transitions.csv", tmp_path / "one" / "rewards.csv")
    log = read_log(tmp_path / "one" / "log.csv", tmp_path / "one" / "rewards.csv")
    assert log.arm_names == tables.arm_names
    assert len(set(log.arm_names)) == 23
    assert log.counts.sum() == 23 * 400
    assert read_states(tmp_path / "one" / "today.csv", log.arm_names, 4).shape == (23,)
    low, high = log.posterior().interval(0.99)
    truth = tables.dynamics.transition
    assert ((low <= truth) & (truth <= high))[truth > 0].mean() > 0.9
    assert sum(file.stat().st_size for file in (tmp_path / "two").iterdir()) < 150_000
