"""Instances of every kind of set, and the same instances in other words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import pyomo.environ as pyo

from tests.planners.bandits.builders import random_dynamics
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.milp.program import Indices, Program
from worldplan.milp.sets.base import Action, ActionSet, Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.schedule import Schedule

EXTRAS = (
    "none", "costs", "of the state", "of the next state", "of the move", "of all arms",
)  # fmt: skip
KINDS = ("budget", "exactly", "capacity", "schedule", "path", "interventions", "custom", "own")


class Apart(ActionSet):
    """A set of one's own: no two arms of a pair, and at most `most`."""

    def __init__(self, size: int, pairs: Sequence[tuple[int, int]], most: int) -> None:
        self.size, self.most, self.selectable = size, most, np.ones(size, bool)
        self.pairs = list(pairs)

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        rows = [np.isin(range(self.size), pair) for pair in self.pairs]
        program.add_rows(
            (action, np.array([*rows, np.ones(self.size)], float)),
            upper=[1.0] * len(rows) + [float(self.most)],
        )

    def witness(self, action: Action, *, exact: bool = True) -> np.ndarray | None:
        apart = all(not (action[i] and action[j]) for i, j in self.pairs)
        return np.zeros(0) if apart and action.sum() <= self.most else None

    def explain(self, action: Action) -> list[dict[str, Any]]:
        return [{"arm": int(arm)} for arm in np.flatnonzero(action)]


@dataclass(frozen=True)
class Rules:
    """Pyomo rules: arms in pairs, and no more than `most` of them, but at least two."""

    pairs: list[tuple[int, int]]
    most: int

    def __call__(self, block: Any) -> None:
        block.rows = pyo.ConstraintList()
        for i, j in self.pairs:
            block.rows.add(block.a[i] == block.a[j])
        total = sum(block.a[arm] for arm in block.arms)
        block.rows.add(total <= self.most)
        block.rows.add(total >= 2)


@dataclass(frozen=True)
class Parts:
    """An instance whose arms can be put in another order, or be joined by another arm.

    Args:
        kind: of the set.
        dynamics: of the arms.
        horizon: steps.
        budget: of the set.
        costs: (arms,) of the capacity set.
        free: (arms, slots) of the schedule.
        edges: of the path's graph, between arm numbers; the source is arm `source`.
        pairs: of the custom and own sets.
        source: of the path.
        discount: per step.
        endless: the programme has no end.
    """

    kind: str
    dynamics: ArmDynamics
    horizon: int
    budget: int
    costs: np.ndarray
    free: np.ndarray
    edges: list[tuple[int, int]]
    pairs: list[tuple[int, int]]
    source: int = 0
    discount: float = 1.0
    endless: bool = False

    def instance(self) -> BanditInstance:
        arms, budget = self.dynamics.arms, self.budget
        if self.kind == "capacity":
            actions: ActionSet = Capacity(self.costs, [3.0, 2.0])
        elif self.kind == "schedule":
            actions = Schedule(self.free, np.ones((2, 3), bool), 2, budget)
        elif self.kind == "path":
            graph = nx.Graph()
            graph.add_nodes_from(range(arms))
            graph.add_edges_from(self.edges)
            actions = Path(graph, self.source, 4, budget)
        elif self.kind == "custom":
            actions = PyomoSet(Rules(self.pairs, budget + budget % 2 + 1), arms)
        elif self.kind == "own":
            actions = Apart(arms, self.pairs, budget)
        else:
            forced = self.kind in ("exactly", "interventions")
            actions = Budget(self.dynamics.components, budget, exactly=forced)
        return BanditInstance(
            self.dynamics,
            actions,
            self.horizon,
            self.dynamics.uniform,
            discount=self.discount,
            endless=self.endless,
        )

    def in_unit(self, factor: float, constant: np.ndarray) -> Parts:
        """Rewards times `factor`, plus `constant` (arms,)."""
        reward = factor * self.dynamics.reward + constant[:, None]
        extra = self.dynamics.action_reward
        extra = None if extra is None else factor * extra
        dynamics = dataclasses.replace(self.dynamics, reward=reward, action_reward=extra)
        return dataclasses.replace(self, dynamics=dynamics)

    def with_action_rewards(self, kind: str, generator: np.random.Generator) -> Parts:
        """Rewards of actions besides: none, or of one of the shapes that they may have."""
        d = self.dynamics
        arms, levels, states = d.arms, d.levels, d.states
        shapes = {
            "costs": (arms, levels, 1, 1),
            "of the state": (arms, levels, states, 1),
            "of the next state": (arms, levels, 1, states),
            "of the move": (arms, levels, states, states),
            "of all arms": (1, levels, states, 1),
        }
        if kind == "none":
            return self
        extra = generator.normal(size=shapes[kind])
        if kind == "costs":
            extra = -np.abs(extra) * (np.arange(levels) > 0)[:, None, None]
        return dataclasses.replace(self, dynamics=dataclasses.replace(d, action_reward=extra))

    def with_own_states(self, generator: np.random.Generator) -> Parts:
        """Arms with numbers of states of their own, some with fewer; what lies beyond is large."""
        d = self.dynamics
        own = generator.integers(1, d.states + 1, d.arms)
        own[int(generator.integers(d.arms))] = d.states
        there = np.arange(d.states) < own[:, None]
        move = np.where(there[:, None, None, :], d.transition, 0.0)
        reward = np.where(there, d.reward, 1e3 * np.abs(d.reward).max())
        dynamics = dataclasses.replace(
            d, transition=move / move.sum(-1, keepdims=True), reward=reward, own_states=own
        )
        return dataclasses.replace(self, dynamics=dynamics)

    def in_order(self, order: np.ndarray) -> Parts:
        """Arm k is the former arm order[k]; components too, where they are the arms."""
        d, place = self.dynamics, {int(old): new for new, old in enumerate(order)}
        moved = d.select(order)
        return dataclasses.replace(
            self,
            dynamics=moved,
            costs=self.costs[order],
            free=self.free[order],
            edges=[(place[i], place[j]) for i, j in self.edges],
            pairs=[(place[i], place[j]) for i, j in self.pairs],
            source=place[self.source],
        )

    def with_idle_arm(self, like: int, reward: np.ndarray) -> Parts:
        """One more arm: moves like arm `like` left alone, whatever is done; its own rewards."""
        d = self.dynamics
        idle = np.repeat(d.transition[like : like + 1, :1], d.levels, axis=1)
        effect, strengths = d.effect, d.strengths
        if effect is not None and strengths is not None:
            effect = np.vstack([effect, np.zeros(effect.shape[1])])
            strengths = np.vstack([strengths, np.zeros(d.levels)])
        extra = d.action_reward
        if extra is not None:  # the same of every level
            extra = np.broadcast_to(extra, (d.arms, *extra.shape[1:]))
            extra = np.concatenate([extra, 0.0 * extra[:1]])
        joined = ArmDynamics(
            np.concatenate([d.transition, idle]),
            np.vstack([d.reward, reward]),
            effect,
            strengths,
            extra,
        )
        return dataclasses.replace(
            self,
            dynamics=joined,
            # too much for every worker: another cost that fits has another linear relaxation
            costs=np.append(self.costs, 9.0),
            free=np.vstack([self.free, np.ones(3, bool)]),
            edges=[*self.edges, (self.source, d.arms)],
        )


def parts_of_kind(kind: str, generator: np.random.Generator) -> Parts:
    """A random instance of four arms, of a kind of set."""
    arms = 4
    states, effects = int(generator.integers(2, 4)), 3 if kind == "interventions" else 0
    components = effects or arms
    free = generator.random((arms, 3)) < 0.6
    free[:, 0] = True
    return Parts(
        kind,
        random_dynamics(generator, arms, states, effects),
        int(generator.integers(1, 5)),
        int(generator.integers(1, components)),
        generator.integers(1, 4, arms).astype(float),
        free,
        [(0, 1), (1, 2), (0, 3), *([(2, 3)] if generator.random() < 0.5 else [])],
        [(0, 1), (2, 3)],
    )
