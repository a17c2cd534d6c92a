"""Where SEQUOIA's learning starts: the separable action values whose decisions earn most.

A start is a value Q(s, n, a) = sum_j base[n, j, s_j] + gain[n, j, s_j] a_j or, where several
interventions reach an arm, sum_j levels[n, j, s_j, k_j] with the level k_j at which the action
reaches arm j. As the network begins with exactly these values, its MILP then decides like the
policy that they stand for:

* "fluid": dual values of the fluid relaxation, the mean over several start states;
* "hull": values at the prices of the hull bound (`worldplan.planners.bandits.hull`);
* "whittle": the arms' Whittle indices of the steps that are left;
* "hull-whittle": the mean of the gains of both;
* "whittle-hull": Whittle indices, and the hull's gains in the last `LAST` of the horizon, where
  what can still be reached counts;
* "joint": for interventions that work together, the separable part of the values of groups of arms
  at the prices of the joint bound (`worldplan.planners.bandits.joint`);
* "myopic": one-step gains;
* "null": nothing is worth doing.

Which of them is best depends on the instance. So each plays episodes, the same ones for all, that
neither the training, nor its checks, nor an evaluation plays again. Their returns have control
variates (`worldplan.envs.bandits.control`), so that a few episodes tell starts apart.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from scipy import stats

from worldplan.envs.bandits.control import ControlledVectorEnv
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats, Ints
from worldplan.milp.errors import SolverFailed
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.group_values import GroupTable, separable_levels
from worldplan.planners.bandits.hull import HullBound
from worldplan.planners.bandits.joint import JointBound, suits
from worldplan.planners.bandits.sequoia.network import StateQNetwork
from worldplan.planners.bandits.sequoia.planner import SequoiaPlanner
from worldplan.planners.bandits.sequoia.targets import FluidTargets
from worldplan.planners.bandits.units import of_counting
from worldplan.planners.bandits.whittle_horizon import whittle_table
from worldplan.planners.base import Planner, evaluate

Candidate = TypeVar("Candidate")

SEED = 800_001  # of the episodes; apart from those of checks and evaluations
FIRST_EPISODES, LAST_EPISODES = 4, 16  # of all starts, and of the better half
LEVEL = 0.95  # of the tests that one start, or a trained network, is better than another
LAST = 0.2  # of the horizon, in which "whittle-hull" has the hull's gains
HULL_GAP = 2e-3  # of the search for the hull's prices
JOINT_GAP = 2e-3  # of the search for the joint bound's prices


@dataclass(frozen=True)
class Start:
    """Separable action values.

    Args:
        name: what they stand for.
        base: (horizon + 1, arms, states) value without a pull.
        gain: (horizon + 1, arms, states) gain of a pull, or of the strongest level.
        groups: values of groups of arms, of which the others are the separable part.
        levels: (horizon + 1, arms, states, levels) value of each level, where several interventions
            reach an arm; None: its value is linear in their strength.
    """

    name: str
    base: Floats
    gain: Floats
    groups: tuple[GroupTable, ...] = ()
    levels: Floats | None = None

    @classmethod
    def of_levels(cls, name: str, levels: Floats, groups: tuple[GroupTable, ...] = ()) -> Start:
        """The start of values (horizon + 1, arms, states, levels) of each level."""
        none, most = levels[..., 0], levels[..., -1]
        return cls(name, none, most - none, groups, levels)


def fluid_start(instance: BanditInstance, fluid: FluidTargets) -> Start:
    """The start from the fluid relaxation."""
    if instance.dynamics.effect is not None:
        return Start.of_levels("fluid", fluid.levels())
    return Start("fluid", *fluid.separable())


def starts(instance: BanditInstance, fluid: Start, solver: SolverSettings) -> Iterator[Start]:
    """All starts that suit the instance; the first of those that episodes cannot tell apart counts.

    Args:
        instance: the programme.
        fluid: the start from the fluid relaxation.
        solver: of the search for the hull's prices, and its time limit.
    """
    model = instance.dynamics
    shape = (instance.horizon + 1, model.arms, model.states)
    discount, late, lefts = instance.discount, instance.late, np.arange(shape[0])
    if model.effect is None:
        table, own = whittle_table(model, instance.horizon, discount), lefts[:, None]
        if late is not None:  # an arm has the indices of its own steps
            own = np.maximum(own - late, 0)
        index = table[own, np.arange(model.arms)]
        yield Start("whittle", fluid.base, index)
    yield fluid
    now = np.stack([of_counting(model.one_step(), late, int(left)) for left in lefts])
    if model.effect is not None:
        yield Start.of_levels("myopic", np.moveaxis(now, 2, 3))
        if suits(instance):
            groups = tuple(JointBound(instance, solver, gap=JOINT_GAP).group_values())
            rest = np.zeros((*shape, model.levels)) if fluid.levels is None else fluid.levels
            yield Start.of_levels("joint", separable_levels(groups, model, rest), groups)
        return
    yield Start("myopic", now[:, :, 0], now[:, :, -1] - now[:, :, 0])
    yield Start("null", fluid.base, np.full(shape, -1.0))
    try:
        tables = HullBound(instance, solver, gap=HULL_GAP).value_tables()
    except SolverFailed:  # no prices within the time limit
        return
    base, gain = action_values(model, tables.table, discount, late)
    base[1:] += discount * tables.constant[:-1, None, None] / model.arms
    yield Start("hull", base, gain)
    yield Start("hull-whittle", base, (gain + index) / 2)
    last = lefts <= LAST * instance.horizon
    yield Start("whittle-hull", base, np.where(last[:, None, None], gain, index))


def action_values(
    model: ArmDynamics, table: Floats, discount: float = 1.0, late: Ints | None = None
) -> tuple[Floats, Floats]:
    """Value without a pull and gain of a pull, each (horizon + 1, arms, states), zero at the end.

    Args:
        model: arms with two levels.
        table: (horizon + 1, arms, states) value of each arm by steps to go.
        discount: per step.
        late: (arms,) as in `worldplan.envs.bandits.ends`.
    """
    base, gain = np.zeros_like(table), np.zeros_like(table)
    later = discount * np.einsum("jkst,njt->njks", model.transition, table[:-1])
    lefts = range(1, len(table))
    worth = later + np.stack([of_counting(model.one_step(), late, left) for left in lefts])
    base[1:] = worth[:, :, 0]
    gain[1:] = worth[:, :, 1] - worth[:, :, 0]
    return base, gain


def best_start(
    instance: BanditInstance,
    candidates: list[Start],
    network: StateQNetwork,
    values: Floats,
    episodes: int,
    solver: SolverSettings,
) -> Start:
    """The start whose decisions earn most; the first that a t test cannot tell from it.

    Args:
        instance: the programme.
        candidates: the starts.
        network: is copied and begins at each start.
        values: (horizon + 1, arms, states) of the control variates.
        episodes: that the better half of the starts plays, at least `LAST_EPISODES`.
        solver: of the decisions.
    """
    return most_earning(
        candidates,
        lambda start, count: _returns(instance, start, network, values, count, solver),
        episodes,
    )


def most_earning(
    candidates: Sequence[Candidate], play: Callable[[Candidate, int], Floats], episodes: int
) -> Candidate:
    """The candidate that earns most; the first that a t test cannot tell from it.

    Args:
        candidates: starts, or their names.
        play: returns (episodes,) of a candidate in a number of episodes, the same ones for all.
        episodes: that the better half plays, at least `LAST_EPISODES`.
    """
    left = list(candidates)
    if len(left) == 1:
        return left[0]
    for last, count in enumerate((FIRST_EPISODES, max(episodes, LAST_EPISODES))):
        earned = [play(each, count) for each in left]
        means = np.array([returns.mean() for returns in earned])
        if not last:
            better = np.argsort(-means, kind="stable")[: (len(left) + 1) // 2]
            left = [left[place] for place in sorted(better)]
    best = earned[int(means.argmax())]
    same = [place for place, returns in enumerate(earned) if not exceeds(best - returns)]
    return left[same[0]]


def exceeds(gain: Floats) -> bool:
    """Whether the mean of paired differences (episodes,) is above zero: one-sided t test."""
    if len(gain) < 2:
        return bool(gain.mean() > 0)
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    return bool(gain.mean() > stats.t.ppf(LEVEL, len(gain) - 1) * error)


def _returns(
    instance: BanditInstance,
    start: Start,
    network: StateQNetwork,
    values: Floats,
    episodes: int,
    solver: SolverSettings,
) -> Floats:
    trial = copy.deepcopy(network)
    trial.start_from(start.base, start.gain, start.levels)
    planner = SequoiaPlanner(instance, trial.eval(), solver)
    return steady_returns(planner, instance, values, episodes, SEED)


def steady_returns(
    planner: Planner, instance: BanditInstance, values: Floats, episodes: int, seed: int
) -> Floats:
    """Returns (episodes,) of a planner, with control variates.

    Args:
        planner: decides.
        instance: the programme.
        values: (horizon + 1, arms, states) of the control variates; zeros: there are none.
        episodes: how many.
        seed: of the episodes.
    """
    env = ControlledVectorEnv(instance, values, episodes)
    played = evaluate(planner, env, episodes, seed)
    weights = instance.discount ** np.arange(instance.horizon)
    returns: Floats = (played.step_reward + env.corrections) @ weights
    return returns


def as_tensors(start: Start) -> dict[str, Any]:
    """A start for a checkpoint."""
    groups = [
        {"arms": torch.as_tensor(group.arms), "values": torch.as_tensor(group.values)}
        for group in start.groups
    ]
    tables = {"base": torch.as_tensor(start.base), "gain": torch.as_tensor(start.gain)}
    levels = None if start.levels is None else torch.as_tensor(start.levels)
    return {"name": start.name, **tables, "groups": groups, "levels": levels}


def as_start(saved: dict[str, Any]) -> Start:
    """The start that `as_tensors` made plain; those of earlier versions have neither groups
    nor levels.
    """
    groups = tuple(
        GroupTable(group["arms"].numpy(), group["values"].numpy())
        for group in saved.get("groups", [])
    )
    levels = saved.get("levels")
    levels = None if levels is None else levels.numpy()
    return Start(saved["name"], saved["base"].numpy(), saved["gain"].numpy(), groups, levels)
