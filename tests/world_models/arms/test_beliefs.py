"""Today's states from files: days since an arm was seen, or the distribution itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldplan.envs.bandits.environment import ArmDynamics
from worldplan.milp.errors import DatasetError
from worldplan.world_models.arms.beliefs import belief_after, read_present

NAMES = ("ana", "bo", "chen")
HEAD = "arm,state,last_state,days_since,visited_then\n"


def dynamics(states: int = 3, arms: int = 3) -> ArmDynamics:
    generator = np.random.default_rng(4)
    return ArmDynamics(
        generator.dirichlet(np.ones(states), size=(arms, 2, states)), np.zeros((arms, states))
    )


def read(folder: Path, text: str):
    file = folder / "today.csv"
    file.write_text(text, encoding="utf-8")
    return read_present(file, NAMES, dynamics())


@pytest.mark.parametrize("seed", range(5))
def test_the_belief_is_the_model_applied_day_by_day(seed: int) -> None:
    generator, model = np.random.default_rng(seed), dynamics(arms=40)
    state, first = generator.integers(0, 3, 40), generator.integers(0, 2, 40)
    days = generator.integers(0, 30, 40)
    found = belief_after(model, state, days, first)
    for arm in range(40):
        belief = np.eye(3)[state[arm]]
        for day in range(days[arm]):
            belief = belief @ model.transition[arm, first[arm] if day == 0 else 0]
        assert found[arm] == pytest.approx(belief, abs=1e-12)


def test_years_without_a_visit_end_in_the_stationary_distribution() -> None:
    model = dynamics()
    found = belief_after(model, np.zeros(3, int), np.full(3, 9_999), np.zeros(3, int))
    assert found == pytest.approx(np.einsum("js,jst->jt", found, model.transition[:, 0]))


def test_known_and_unknown_states_in_one_file(tmp_path: Path) -> None:
    present = read(tmp_path, HEAD + "chen,,2,3,1\nana,1,,,\nbo,,0,0,\n")
    assert present.known.tolist() == [1, 0, -1] and present.days.tolist() == [0, 0, 3]
    assert present.belief[:2].tolist() == [[0, 1, 0], [1, 0, 0]]
    step = dynamics().transition[2]
    assert present.belief[2] == pytest.approx(step[1, 2] @ step[0] @ step[0])
    row = present.belief[2]
    words = f"not seen for 3 days: most likely state {row.argmax()} ({100 * row.max():.0f} %)"
    assert present.words(2) == words and present.words(0) == ""
    assert set(present.observation(4)) == {"belief", "steps_left"}


def test_everybody_seen_is_as_before(tmp_path: Path) -> None:
    for text in ("arm,state\nana,1\nbo,0\nchen,2\n", HEAD + "ana,1,0,4,1\nbo,0,,,\nchen,2,2,0,\n"):
        observation = read(tmp_path, text).observation(4)
        assert observation["state"].tolist() == [1, 0, 2]


def test_a_file_of_beliefs(tmp_path: Path) -> None:
    text = "arm,state,probability\nbo,0,0.25\nbo,2,0.75\nana,1,1\nchen,0,0.5\nchen,1,0.5\n"
    present = read(tmp_path, text)
    assert present.belief.tolist() == [[0, 1, 0], [0.25, 0, 0.75], [0.5, 0.5, 0]]
    assert present.known.tolist() == [1, -1, -1]
    assert present.words(1) == "not seen today: most likely state 2 (75 %)"


REST = "bo,0,,,\nchen,0,,,\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "ana,,,3,\n" + REST, "line 2: arm 'ana': column 'state' is empty"),
        (HEAD + "ana,,,,\n" + REST, "line 2: arm 'ana': column 'state' is empty"),
        ("arm,state\nana,\nbo,0\nchen,0\n", "line 2: arm 'ana': column 'state' is empty"),
        (HEAD + "ana,,1,,\n" + REST, "line 2: arm 'ana': column 'days_since' is empty"),
        (HEAD + "ana,,1,-2,\n" + REST, "line 2: days_since -2 is out of range"),
        (HEAD + "ana,,1,1.5,\n" + REST, "line 2: days_since '1.5' is not an integer"),
        (HEAD + "ana,,1,soon,\n" + REST, "line 2: days_since 'soon' is not an integer"),
        (HEAD + "ana,,3,1,\n" + REST, "line 2: last_state 3 is out of range"),
        (HEAD + "ana,,1,1,2\n" + REST, "line 2: visited_then 2 is out of range"),
        (HEAD + "ana,,1,0,1\n" + REST, "seen today"),
        (HEAD + "ana,2,1,0,\n" + REST, "state 2 and last_state 1 of today disagree"),
        (HEAD + "ana,2,,3,\n" + REST, "state 2 with days_since 3"),
        (HEAD + "ana,,1,1,\nana,0,,,\n" + REST, "line 3: this arm already appeared"),
        (HEAD + REST, "arm 'ana' has no row"),
        (HEAD + "dan,0,,,\n" + REST, "unknown arm 'dan'"),
        ("arm,days_since\nana,1\nbo,1\nchen,1\n", "column 'state' is missing"),
        ("arm,state,probability\nana,0,0.5\nana,1,0.6\nbo,0,1\nchen,0,1\n", "sum to 1.1"),
        ("arm,state,probability\nana,0,-0.5\nbo,0,1\nchen,0,1\n", "-0.5 is out of range"),
        ("arm,state,probability\nana,0,0.5\nana,0,0.5\n", "already appeared"),
        ("arm,state,probability\nana,0,1\nbo,0,1\n", "arm 'chen' has no row"),
        ("arm,state,probability\nana,3,1\nbo,0,1\nchen,0,1\n", "state 3 is out of range"),
        ("arm,state,probability,days_since\nana,0,1,2\n", "keep one of them"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DatasetError, match=r"today\.csv") as error:
        read(tmp_path, text)
    assert words in str(error.value)
