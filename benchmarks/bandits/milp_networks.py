"""Networks for benchmarks/bandits/milp_decisions.py: trained briefly, then played by worldplan."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from worldplan.envs.bandits.environment import BanditInstance, BanditVectorEnv, Ints
from worldplan.envs.episodes import EpisodeBatch
from worldplan.milp.networks.argmax import Argmax, NetworkArgmax
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.sequoia.level_bends import strength_unit
from worldplan.planners.bandits.sequoia.network import NETWORKS, QNetwork
from worldplan.planners.bandits.sequoia.targets import LevelTargets
from worldplan.planners.bandits.units import of_counting

BATCH = 32


class DefaultTargets(LevelTargets):
    """Values of an action now and no action later: exact, and without a linear program.

    One step of policy iteration from the policy that never acts. For programmes of so many arms
    that the fluid program is not solved within minutes.

    Args:
        instance: the programme.
    """

    def __init__(self, instance: BanditInstance) -> None:
        model = instance.dynamics
        reward, move = model.one_step()[:, 0], model.transition[:, 0]
        value = np.zeros((1, instance.horizon + 1, model.arms, model.states))
        for left in range(1, instance.horizon + 1):
            later = np.einsum("jst,jt->js", move, value[0, left - 1])
            value[0, left] = of_counting(reward, instance.late, left) + instance.discount * later
        super().__init__(instance, value, np.zeros(value.shape[:2]))


def train(
    instance: BanditInstance,
    kind: str,
    hidden: tuple[int, ...],
    targets: LevelTargets,
    pool: torch.Tensor,
    steps: int,
) -> QNetwork:
    """A network trained by regression on action values.

    Each batch has random states, with good and random feasible actions of the pool.

    Args:
        instance: the programme.
        kind: "state" or "plain".
        hidden: widths of the ReLU layers.
        targets: action values.
        pool: (actions, components).
        steps: gradient steps.
    """
    generator, model = np.random.default_rng(0), instance.dynamics
    torch.manual_seed(0)
    network: QNetwork = NETWORKS[kind](model, instance.horizon, hidden)
    base, direct = targets.separable()
    if kind == "state":
        network.start_from(base, direct)  # type: ignore[operator]
    gain = torch.as_tensor(direct, dtype=torch.float32)
    effect = (
        torch.eye(model.arms)
        if model.effect is None
        else torch.as_tensor(model.effect / strength_unit(model.effect), dtype=torch.float32)
    )
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        state = torch.as_tensor(generator.integers(0, model.states, (BATCH, model.arms)))
        # the paper's network has no input for time: it learns one stage of the episode
        left = (
            torch.as_tensor(generator.integers(1, instance.horizon + 1, BATCH))
            if kind == "state"
            else torch.full((BATCH,), instance.horizon // 2)
        )
        with torch.no_grad():
            score = (gain[left[:, None], torch.arange(model.arms), state] @ effect) @ pool.T
            noisy = score + torch.rand_like(score) * score.std(1, keepdim=True)
            chosen = torch.cat(
                [
                    noisy.topk(12, 1).indices,
                    torch.as_tensor(generator.integers(len(pool), size=(BATCH, 4))),
                ],
                1,
            )
            actions = pool[chosen]
            values = targets(state, left, actions)
        loss = torch.nn.functional.smooth_l1_loss(network(state, left, actions), values)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


@dataclass
class Decided:
    """One state: its network of the action, worldplan's decision and the CPU time.

    The first decision's time includes building the model.

    Args:
        network: of the action.
        result: worldplan's.
        seconds: CPU time.
        gap: bound - value at which every method may stop.
    """

    network: ReluNetwork
    result: Argmax
    seconds: float
    gap: float


def spread(network: ReluNetwork, actions: ActionSet, draws: int = 300) -> float:
    """The spread of a network's values over random feasible actions and the default action."""
    generator = np.random.default_rng(0)
    drawn = [actions.default(), *(actions.sample(generator) for _ in range(draws))]
    return float(np.ptp(network(np.stack(drawn))))


def play(
    instance: BanditInstance, network: QNetwork, count: int, gap: float, limit: float
) -> list[Decided]:
    """Decide in the first `count` states of episodes with one NetworkArgmax.

    The search may end at `gap` times the spread of the values; its time does not count.
    """
    env = BanditVectorEnv(instance, 1)
    solver: NetworkArgmax | None = None
    decided: list[Decided] = []

    def decide(observation: dict[str, Ints]) -> Action:
        nonlocal solver
        given = network.action_networks(observation["state"], observation["steps_left"])[0]
        absolute = gap * spread(given, instance.actions)
        started = time.process_time()
        solver = solver or NetworkArgmax(
            given, instance.actions, SolverSettings(gap=gap, time_limit=limit)
        )
        result = solver.maximise(given, absolute_gap=absolute)
        decided.append(Decided(given, result, time.process_time() - started, absolute))
        return result.action[None]

    for episode in range(-(-count // instance.horizon)):
        steps = EpisodeBatch(env, seed=episode).play(decide)
        for _ in islice(steps, count - len(decided)):
            pass
    return decided
