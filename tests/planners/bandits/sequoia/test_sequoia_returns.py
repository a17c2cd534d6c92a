"""SEQUOIA with a discount, with own ends and with own numbers of states: against exact dynamic
programming.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.planners.bandits.sequoia.test_sequoia import SMALL
from tests.planners.bandits.test_exact_optimum import EXACT, Joint, case
from tests.planners.bandits.test_own_states import pair
from worldplan.envs.bandits.environment import BanditInstance, BanditVectorEnv
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.bandits.policies import PolicyContext, check_policy, make_policy
from worldplan.planners.bandits.sequoia import settings as presets
from worldplan.planners.bandits.sequoia.network import PlainQNetwork
from worldplan.planners.bandits.sequoia.planner import SequoiaPlanner
from worldplan.planners.bandits.sequoia.starts import action_values
from worldplan.planners.bandits.sequoia.targets import FluidTargets, expected_reward

RETURNS = [(1.0, "own"), (0.6, "alike"), (0.8, "own")]  # discount and ends


def drawn(kind: str, seed: int, discount: float, ends: str, states: str = "own") -> BanditInstance:
    return case(seed, kind, 1.0, -3.0, discount, "none", states, ends)[0]


@pytest.mark.parametrize(("discount", "ends"), RETURNS)
@pytest.mark.parametrize("kind", ["capacity", "interventions"])
def test_rewards_are_those_of_the_environment(kind: str, discount: float, ends: str) -> None:
    instance, rng = drawn(kind, 2, discount, ends), np.random.default_rng(0)
    env = BanditVectorEnv(instance, 5)
    seen, _ = env.reset(seed=0)
    for left in range(instance.horizon, 0, -1):
        actions = np.stack([instance.actions.sample(rng) for _ in range(5)])
        state = torch.as_tensor(np.array(seen["state"]))
        lefts = torch.full((5,), left)
        found = expected_reward(instance, state, lefts, torch.as_tensor(actions)[:, None])
        seen, _, _, _, info = env.step(actions)
        np.testing.assert_allclose(found[:, 0], info["expected_reward"], rtol=1e-5)


@pytest.mark.parametrize(("discount", "ends"), RETURNS)
@pytest.mark.parametrize("kind", ["capacity", "path", "interventions"])
def test_the_targets_are_above_the_optimal_action_values(
    kind: str, discount: float, ends: str
) -> None:
    for seed in range(2):
        instance = drawn(kind, seed, discount, ends)
        joint, targets = Joint(instance), FluidTargets(instance, 6, np.random.default_rng(0))
        actions = torch.as_tensor(joint.actions, dtype=torch.float32)
        for left in range(1, instance.horizon + 1):
            best = joint.optimum(left)[1]  # (actions, n)
            state = torch.as_tensor(joint.states)
            many = actions.expand(len(state), *actions.shape)
            found = targets(state, torch.full((len(state),), left), many).numpy()
            assert (best - 1e-4 <= found.T).all()


def test_action_values_are_one_step_ahead_of_the_table() -> None:
    instance = drawn("capacity", 1, 0.7, "own", "alike")
    model, late = instance.dynamics, instance.late
    assert late is not None and late.any()
    shape = (instance.horizon + 1, model.arms, model.states)
    table = np.random.default_rng(0).normal(size=shape)
    base, gain = action_values(model, table, 0.7, late)
    for left, arm, state in np.ndindex(shape):
        if left == 0:
            continue
        both = [
            sum(
                p * (model.reward[arm, t] * (left > late[arm]) + 0.7 * table[left - 1, arm, t])
                for t, p in enumerate(model.transition[arm, level, state])
            )
            for level in (0, 1)
        ]
        assert base[left, arm, state] == pytest.approx(both[0])
        assert gain[left, arm, state] == pytest.approx(both[1] - both[0])


def trained(instance: BanditInstance, folder: Path, **changes: int) -> SequoiaPlanner:
    context = PolicyContext(
        instance, solver=EXACT, sequoia=replace(SMALL, **changes), folder=folder  # type: ignore[arg-type]
    )  # fmt: skip
    planner = make_policy("sequoia", context)
    assert isinstance(planner, SequoiaPlanner)
    return planner


@pytest.mark.parametrize(("discount", "ends"), RETURNS)
@pytest.mark.parametrize("kind", ["capacity", "path"])
def test_what_is_learned_is_near_the_optimum(
    kind: str, discount: float, ends: str, tmp_path: Path
) -> None:
    instance = drawn(kind, 3, discount, ends)
    joint, left = Joint(instance), instance.horizon
    best = joint.optimum(left)[0]
    null = joint.of_policy(make_policy("null", PolicyContext(instance)), left)
    reached = joint.of_policy(trained(instance, tmp_path), left)
    assert (reached <= best + 1e-9).all()
    assert (reached - null).sum() >= 0.95 * (best - null).sum()


@pytest.mark.parametrize(("discount", "ends"), RETURNS)
def test_a_constant_in_the_rewards_changes_the_value_alone(
    discount: float, ends: str, tmp_path: Path
) -> None:
    plain = drawn("capacity", 3, discount, ends)
    shifted = replace(plain, dynamics=replace(plain.dynamics, reward=plain.dynamics.reward + 100.0))
    short = {"pretrain_steps": 10, "updates": 10, "check_every": 20, "check_episodes": 2}
    one, other = (
        trained(each, tmp_path / name, **short)
        for name, each in (("plain", plain), ("shifted", shifted))
    )
    arms = plain.dynamics.arms
    late = np.zeros(arms, np.int64) if plain.late is None else plain.late
    for left in range(1, plain.horizon + 1):
        seen = {"state": np.zeros(arms, np.int64), "steps_left": left}
        first, second = one.plan(seen), other.plan(seen)
        assert first.action.tolist() == second.action.tolist()
        steps = [sum(discount**t for t in range(max(left - end, 0))) for end in late.tolist()]
        assert first.value is not None and second.value is not None
        assert second.value - first.value == pytest.approx(100.0 * sum(steps), abs=1e-2)


def test_what_a_network_cannot_learn_is_refused(tmp_path: Path) -> None:
    ending = drawn("capacity", 3, 1.0, "own", "alike")
    for name in ("iterative_dqn", "repaired_dqn", "sequoia_paper"):
        with pytest.raises(ConfigError, match=r"programme\.ends: .* do not see the steps to go"):
            check_policy(name, PolicyContext(ending))
    for instance, setting in ((ending, "ends"), (replace(ending, ends=None, discount=0.9), "disc")):
        shared = PolicyContext(instance, sequoia=replace(SMALL, network="shared"))
        with pytest.raises(ConfigError, match=rf"programme\.{setting}.*sequoia\.network to state"):
            check_policy("sequoia", shared)
    short = {"pretrain_steps": 5, "updates": 0, "check_every": 5, "check_episodes": 2, "solves": 2}
    staying = replace(ending, ends=None)
    trained(staying, tmp_path, **short)
    file = str(tmp_path / "best.ckpt")
    for instance, words in (
        (ending, "stay to the horizon"),
        (replace(staying, discount=0.9), "0.9"),
    ):
        with pytest.raises(CheckpointError, match=f"{words}.*train for it"):
            check_policy("sequoia", PolicyContext(instance, checkpoint=file))


@pytest.mark.parametrize("name", ["iterative_dqn", "repaired_dqn", "sequoia_paper"])
@pytest.mark.parametrize("kind", ["capacity", "interventions"])
def test_the_published_variants_train_in_states_that_the_arms_have(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No state beyond an arm's own is ever simulated: its rewards and moves are padding."""
    instance, _ = pair(kind, 1)
    counts, seen = instance.dynamics.state_counts, []

    def checked(state: torch.Tensor) -> None:
        seen.append(state)
        assert (state.numpy() < counts).all()

    real = presets.SequoiaSettings
    for preset in ("paper", "greedy", "repaired_greedy"):
        made = getattr(real, preset)()
        brief = replace(
            made, pretrain_steps=6, updates=6, check_every=12, check_episodes=2, pool=8, batch=8,
            hidden=(4,), replay=32,
        )  # fmt: skip
        monkeypatch.setattr(real, preset, staticmethod(lambda brief=brief: brief))
    given = PlainQNetwork.given

    def watched(self: PlainQNetwork, state: torch.Tensor, left: torch.Tensor) -> object:
        checked(state)
        return given(self, state, left)

    monkeypatch.setattr(PlainQNetwork, "given", watched)
    planner = make_policy(name, PolicyContext(instance, solver=EXACT, folder=tmp_path))
    planner.reset(seed=0)
    for state in instance.draw_start(np.random.default_rng(0), 3):
        action = planner.act({"state": state, "steps_left": 2})
        assert instance.actions.contains(action)
    assert len(seen) > 10
