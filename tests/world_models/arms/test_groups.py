"""Priors from similar arms: against exact integration, limits, known strengths, held-out moves."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.source import Constraint
from worldplan.world_models.arms.dynamics import ArmLog
from worldplan.world_models.arms.groups import Tree, log_evidence, tables
from worldplan.world_models.arms.programme import Built, Programme, build


def drawn(
    rng: np.random.Generator, arms: int, groups: int, moves: int, strengths: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts, groups, and true distributions of groups; three states."""
    code = np.arange(arms) % groups
    everybody = rng.dirichlet(np.ones(3), size=(2, 3))

    def around(means: np.ndarray, strength: float) -> np.ndarray:
        gamma = rng.standard_gamma(strength * means) + 1e-12
        return np.asarray(gamma / gamma.sum(-1, keepdims=True))

    group = around(np.repeat(everybody[None], groups, 0), strengths[0])
    arm = around(group[code], strengths[1])
    return rng.multinomial(moves, arm), code, group


def exact_prior(others: np.ndarray, strength: float) -> tuple[float, float]:
    """Mean and variance of a newcomer's probability of state 1, by integration over everybody's.

    Args:
        others: (arms, 2) moves of one action and state, two states.
        strength: of the arms.
    """
    m = (np.arange(20_000) + 0.5) / 20_000
    a, b = strength * m, strength * (1 - m)
    weight = np.zeros_like(m)
    for zeros, ones in others:
        weight += stats.betabinom.logpmf(ones, zeros + ones, a, b)
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    mean = float(weight @ m)
    second = float(weight @ (m * (a + 1) / (strength + 1)))
    return mean, second - mean**2


@pytest.mark.parametrize("seed", range(20))
def test_a_newcomer_has_nearly_the_exact_posterior_of_everybody(seed: int) -> None:
    rng = np.random.default_rng(seed)
    strength = float(rng.choice([1.0, 4.0, 20.0]))
    truth = rng.beta(2, 2, 12)
    others = rng.binomial(rng.integers(0, 30, 12)[:, None], np.stack([1 - truth, truth], 1))
    counts = np.zeros((13, 2, 2, 2), np.int64)
    counts[:12, 1, 0] = others
    prior = Tree(counts).borrow(strength, estimate=False).concentration[12, 1, 0]
    mean, variance = exact_prior(others, strength)
    share, size = prior[1] / prior.sum(), prior.sum()
    assert share == pytest.approx(mean, abs=0.02)
    assert share * (1 - share) / (size + 1) == pytest.approx(variance, rel=0.15)


@pytest.mark.parametrize("seed", range(10))
def test_own_moves_count_once(seed: int) -> None:
    """Arms that are alike by assumption: prior and own moves together are the pooled moves."""
    rng = np.random.default_rng(seed)
    counts, code, _ = drawn(rng, 9, 3, int(rng.integers(0, 8)), (5.0, 5.0))
    alike = Tree(counts, [code]).borrow(1e9, estimate=False).concentration + counts
    np.testing.assert_allclose(alike, np.broadcast_to(1.0 + counts.sum(0), alike.shape), rtol=1e-5)
    # a client alone in a group borrows nothing of the own moves
    alone = np.arange(9)
    prior = Tree(counts, [alone]).borrow(3.0, estimate=False).concentration
    for arm in range(9):
        others = np.where(np.arange(9)[:, None, None, None] == arm, 0, counts)
        without = Tree(others, [alone]).borrow(3.0, estimate=False).concentration
        np.testing.assert_allclose(prior[arm], without[arm], rtol=0.2, atol=0.1)


def test_without_any_moves_everything_is_uniform_and_weak() -> None:
    counts = np.zeros((3, 2, 4, 4), np.int64)
    borrowed = Tree(counts, [np.array([0, 0, 1])]).borrow(2.0)
    np.testing.assert_allclose(borrowed.strengths, 2.0)
    size = borrowed.concentration.sum(-1)
    group = 2.0 * 4 / (2.0 + 4 + 1)
    np.testing.assert_allclose(size, 2.0 * group / (2.0 + group + 1))
    np.testing.assert_allclose(borrowed.concentration / size[..., None], 0.25)


@pytest.mark.parametrize("strengths", [(2.0, 20.0), (20.0, 4.0), (100.0, 100.0)])
def test_the_strengths_come_from_the_data(strengths: tuple[float, float]) -> None:
    rng = np.random.default_rng(3)
    counts, code, _ = drawn(rng, 240, 12, 15, strengths)
    estimated = Tree(counts, [code]).borrow(2.0).strengths
    assert estimated[1] == pytest.approx(strengths[1], rel=0.35)
    assert strengths[0] / 3 < estimated[0] < strengths[0] * 3


def test_with_little_data_the_strengths_stay_near_the_given_one() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        counts, code, _ = drawn(rng, 3, 2, 1, (5.0, 5.0))
        estimated = Tree(counts, [code]).borrow(2.0).strengths
        assert (estimated > 2.0 / 20).all() and (estimated < 2.0 * 20).all()


def test_weights_do_not_make_clients_alike() -> None:
    """Strengths from a log with a half-life are those of whole moves, where nothing drifts."""
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        up, weight = rng.beta(2, 2, (200, 2)), 2.0 ** (-np.arange(160) / 25)
        arm, action = np.arange(200), rng.integers(0, 2, (160, 200))
        after = (rng.random((160, 200)) < up[arm, action]).astype(int)
        tables = np.zeros((3, 200, 2, 2, 2))
        for step, each in enumerate(weight):
            for table, power in zip(tables, (each**0, each, each**2), strict=True):
                np.add.at(table, (arm, action[step], 0, after[step]), power)
        whole, sums, squares = tables
        trees = Tree(whole), Tree(sums, squares=squares), Tree(sums)
        found.append([tree.borrow(5.0).strengths[0] for tree in trees])
    same, mended, before = np.mean(found, axis=0)
    assert same == pytest.approx(4.0, rel=0.1)  # Beta(2, 2)
    assert mended == pytest.approx(4.0, rel=0.1)
    assert before > 4.5


@pytest.mark.parametrize("seed", range(6))
def test_arms_with_fewer_states_borrow_with_the_same_strength(seed: int) -> None:
    """Beside arms with three states, arms with two have priors as among their own kind."""
    rng = np.random.default_rng(seed)
    counts, _, _ = drawn(rng, 40, 1, 12, (1e6, 6.0))
    own = np.where(np.arange(40) < 20, 2, 3)
    counts[:20, :, 2] = counts[:20, :, :, 2] = 0
    borrowed = Tree(counts, own_states=own).borrow(5.0)
    prior = borrowed.concentration
    assert (prior[:20, :, :, 2] == 0).all() and (prior[20:] > 0).all()
    size = prior.sum(-1)
    np.testing.assert_allclose(size[:20, :, :2], size[20:, :, :2].mean(), rtol=0.15)
    alone = Tree(counts[:20, :, :2, :2]).borrow(borrowed.strengths[0], estimate=False)
    apart = prior[:20, :, :2, :2] / size[:20, :, :2, None]
    expected = alone.concentration / alone.concentration.sum(-1, keepdims=True)
    np.testing.assert_allclose(apart, expected, atol=0.2)
    assert 2.0 < borrowed.strengths[0] < 18.0


KINDS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "alike": lambda rng: rng.beta(15, 45, (60, 2)),
    "as the year's clients": lambda rng: rng.uniform([0.05, 0.5], [0.45, 0.95], (60, 2)),
    "apart": lambda rng: rng.beta(0.8, 1.2, (60, 2)),
    "two kinds": lambda rng: np.array([[0.1, 0.9], [0.5, 0.55]])[rng.integers(2, size=60)],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moves", [2, 8, 30])
def test_the_default_predicts_as_well_as_the_best_fixed_strength(kind: str, moves: int) -> None:
    """Log-likelihood of later moves, by move; the fixed strengths are 0.5 to 60."""
    got = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        up = KINDS[kind](rng)
        rows = np.stack([1 - up, up], axis=-1)[:, :, None]
        counts = np.zeros((60, 2, 2, 2), np.int64)
        counts[:, :, :1] = rng.multinomial(rng.integers(0, moves + 1, (60, 2, 1)), rows)
        later = rng.multinomial(100, rows)
        log = ArmLog(counts, np.zeros((60, 2)), tuple(map(str, range(60))))
        posteriors = [log.posterior(concentration=Tree(counts).borrow(5.0).concentration)]
        posteriors += [log.posterior(strength) for strength in (0.5, 2.0, 8.0, 30.0, 60.0)]
        means = [each.mean().transition[:, :, :1] for each in posteriors]
        got.append([(later * np.log(mean)).sum() / later.sum() for mean in means])
    estimated, *fixed = np.mean(got, axis=0)
    assert estimated > max(fixed) - 0.015
    assert estimated > min(fixed) + 0.01


def test_the_default_estimates(tmp_path: Path) -> None:
    """Without groups too; `auto` is the default of before."""
    folder = files(tmp_path)
    default, estimated = built(folder, groups=()), built(folder, groups=(), borrow="estimated")
    assert default.evidence is not None and set(default.evidence.strengths) == {"clients"}
    assert default.posterior is not None and estimated.posterior is not None
    np.testing.assert_array_equal(
        default.posterior.concentration, estimated.posterior.concentration
    )
    for changes in ({"groups": ()}, {"groups": (), "prior_strength": 2.0}):
        before, fixed = (built(folder, borrow=how, **changes) for how in ("auto", "fixed"))
        assert before.posterior is not None and fixed.posterior is not None
        np.testing.assert_array_equal(before.posterior.concentration, fixed.posterior.concentration)


@pytest.mark.parametrize("seed", range(5))
def test_a_newcomers_group_predicts_better_than_everybody(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts, code, group = drawn(rng, 60, 4, 10, (3.0, 30.0))
    grown = np.concatenate([counts, np.zeros((4, 2, 3, 3), np.int64)])
    with_groups = Tree(grown, [np.append(code, range(4))]).borrow(2.0).concentration[60:]
    everybody = Tree(grown).borrow(2.0).concentration[60:]
    later = rng.multinomial(200, group)
    assert log_evidence(later, with_groups) > log_evidence(later, everybody) + 20


def test_tables_are_those_of_the_restaurant() -> None:
    rng = np.random.default_rng(0)
    n, a = rng.integers(0, 40, 50), rng.gamma(1.0, 5.0, 50)
    exact = [
        sum(prior / (prior + i) for i in range(count)) for count, prior in zip(n, a, strict=True)
    ]
    np.testing.assert_allclose(tables(n.astype(float), a), exact, rtol=1e-9)


ATTRIBUTES = "arm,district,needs\na,north,nurse\nb,north,any\nc,south,any\nd,south,any\n"


def files(folder: Path, attributes: str = ATTRIBUTES) -> Path:
    rewards = "".join(f"{arm},{s},{s * k}\n" for k, arm in enumerate("abc", 1) for s in (0, 1))
    moves = "a,0,1,1\n" * 30 + "b,0,1,1\n" * 25 + "c,0,1,0\n" * 28
    (folder / "rewards.csv").write_text("arm,state,reward\n" + rewards)
    (folder / "log.csv").write_text("arm,state,action,next_state\n" + moves)
    (folder / "people.csv").write_text(attributes)
    return folder


def built(folder: Path, **changes: object) -> Built:
    settings: dict[str, object] = {
        "log": "log.csv",
        "rewards": "rewards.csv",
        "groups": "district",
        "constraint": Constraint(budget=1, attributes="people.csv"),
    }
    return build(Programme(**(settings | changes)), folder)  # type: ignore[arg-type]


def test_a_newcomer_without_rows_has_the_group(tmp_path: Path) -> None:
    programme = built(files(tmp_path, ATTRIBUTES + "e,north,any\nf,west,any\n"))
    assert programme.instance.arm_names == ("a", "b", "c", "d", "e", "f")
    dynamics = programme.instance.dynamics
    up = dynamics.transition[:, 1, 0, 1]
    assert up[0] > 0.9 and up[4] > 0.75 and up[3] < 0.25 < up[5] < up[4]
    np.testing.assert_allclose(dynamics.reward[:, 1], [1, 2, 3, 3, 1.5, 2])
    evidence = programme.evidence
    assert evidence is not None
    assert dict(evidence.newcomers) == {
        "d": "district south", "e": "district north", "f": "everybody",
    }  # fmt: skip
    assert evidence.own[:3, 1, 0].tolist() == [30, 25, 28]
    share = evidence.share(np.eye(2)[[0] * 6])
    assert (share[:3, 1] > 0.5).all() and (share[3:, 1] == 0).all()
    assert programme.posterior is not None
    total = programme.posterior.concentration.sum(-1)
    np.testing.assert_allclose(evidence.own + evidence.borrowed, total)


def test_nested_groups_and_a_fixed_strength(tmp_path: Path) -> None:
    folder = files(tmp_path)
    nested = built(folder, groups=["district", "needs"], borrow="fixed", prior_strength=7.0)
    assert nested.evidence is not None and not nested.evidence.strengths
    assert nested.evidence.groups[0] == "district north, needs nurse"
    assert (nested.evidence.borrowed < 7.0).all()
    plain = built(folder, groups=(), borrow="fixed", prior_strength=2.0)
    assert plain.instance.dynamics.arms == 3  # as before: those of the rewards file
    assert plain.evidence is not None
    np.testing.assert_allclose(plain.evidence.borrowed, 2.0)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"groups": "distrct"}, ConfigError, "distrct' is unknown: did you mean district"),
        ({"groups": ["district", "district"]}, ConfigError, "name each column once"),
        ({"constraint": Constraint(budget=1)}, ConfigError, "needs constraint.attributes"),
        ({"borrow": "some"}, ConfigError, "programme.borrow"),
        ({"groups": 3}, ConfigError, "programme.groups"),
        ({"prior_strength": 0.0}, ConfigError, "prior_strength"),
        ({"log": None, "transitions": "t.csv"}, ConfigError, "give programme.log"),
        ({"log": None, "domain": "budget"}, ConfigError, "give programme.log"),
    ],
)
def test_groups_that_do_not_fit(
    tmp_path: Path, changes: dict[str, object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        built(files(tmp_path), **changes)


def test_attributes_without_a_client(tmp_path: Path) -> None:
    lines = ATTRIBUTES.replace("b,north,any\n", "")
    with pytest.raises(DatasetError, match="people.csv: arm 'b' has no row"):
        built(files(tmp_path, lines))
