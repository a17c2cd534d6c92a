"""Expert trajectories of the crafting maps, and what a learner and a planner of symbolic models see
of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from worldplan.envs.crafting.dynamics import Dynamics, dynamics_of, fluent
from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.pddl import partial_domain_pddl
from worldplan.envs.crafting.rules import GOAL, ITEMS, CraftingMap, Task, recipes
from worldplan.milp.errors import InfeasibleAction
from worldplan.planners.ramp.knowledge.constant_arguments import ActionSplitter
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.numeric.domain import Goal, Ground, NumericProblem, State, Vocabulary
from worldplan.world_models.numeric.trajectories import Trajectory
from worldplan.world_models.pddl.reading import read_vocabulary


@dataclass(frozen=True)
class Expert:
    """A shortest plan carried out.

    Args:
        dynamics: of its map.
        states: of the environment, one more than there are actions.
        actions: gym actions.
    """

    dynamics: Dynamics
    states: tuple
    actions: tuple[int, ...]

    @staticmethod
    def on(instance: CraftingMap) -> Expert:
        """The expert of a solvable map."""
        dynamics = dynamics_of(instance)
        plan = shortest_plan(instance)
        assert plan is not None, "the generator gives solvable maps only"
        states = [dynamics.start]
        for action in plan:
            states.append(dynamics.successor(states[-1], action))
        return Expert(dynamics, tuple(states), tuple(plan))

    def trajectory(self) -> Trajectory:
        """The same in exact symbols."""
        calls = tuple(
            self.dynamics.call(state, action)
            for state, action in zip(self.states, self.actions, strict=False)
        )
        states = tuple(symbolic(self.dynamics, state) for state in self.states)
        return Trajectory(self.dynamics.objects, states, calls, (True,) * len(calls))


def symbolic(dynamics: Dynamics, state: object) -> State:
    """A state of the environment as atoms and fluents."""
    atoms, values = dynamics.symbols(state)
    return State(atoms, values)


def problem_of(instance: CraftingMap) -> NumericProblem:
    """A map as a planning problem."""
    dynamics = dynamics_of(instance)
    goal = Goal(frozenset({(GOAL[instance.task],)}))
    return NumericProblem("map", dict(dynamics.objects), symbolic(dynamics, dynamics.start), goal)


@cache
def vocabulary(task: Task) -> Vocabulary:
    """What a learner is told of the domain: names and types only."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{task}.pddl"
        path.write_text(partial_domain_pddl(task, "map"), encoding="utf-8")
        return read_vocabulary(path)


def split(trajectories: Iterable[Trajectory], calls: ActionSplitter) -> list[Trajectory]:
    """Trajectories with actions called with a constant as actions of their own."""
    return [replace(one, calls=tuple(map(calls.split, one.calls))) for one in trajectories]


def declarations(knowledge: str, task: Task, calls: ActionSplitter) -> Mapping[str, Declaration]:
    """What the numbers of each action found so far are declared to be.

    Args:
        knowledge: "nothing" (convex preconditions, affine effects); "relevant" (also which items an
            action's precondition looks at, as the publication's learner is told); "resources" (also
            that more of an item never hurts, and that amounts change by constants).
        task: whose recipes say what is relevant.
        calls: with the actions.
    """
    needs = {recipe.name: recipe.needs for recipe in recipes(task, "map")}
    found = {}
    for name in calls.vocabulary.actions:
        looked_at = tuple(
            fluent(item)
            for item, need in zip(ITEMS[task], needs.get(calls.base(name), ()), strict=False)
            if need
        )
        found[name] = {
            "nothing": Declaration(),
            "relevant": Declaration(precondition_fluents=looked_at),
            "resources": Declaration(
                preconditions="monotone", precondition_fluents=looked_at, effects="increment"
            ),
        }[knowledge]
    return found


def carried_out(instance: CraftingMap, plan: Sequence[Ground]) -> bool:
    """Whether the environment takes every step of a symbolic plan until it says that the goal is
    reached.
    """
    env = CraftingEnv(instance.task, maps=instance, max_steps=len(plan) + 1)
    env.reset()
    for call in plan:
        try:
            _, _, won, _, info = env.step(env.action_of(call))
        except InfeasibleAction:
            return False
        if won or not info["applied"]:
            return won
    return False
