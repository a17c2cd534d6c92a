"""Expert trajectories on crafting maps, and the symbolic input of learners and planners."""

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
    """A trajectory of a shortest plan.

    Args:
        dynamics: of the map.
        states: environment states (actions + 1).
        actions: gym actions.
    """

    dynamics: Dynamics
    states: tuple
    actions: tuple[int, ...]

    @staticmethod
    def on(instance: CraftingMap) -> Expert:
        """The expert trajectory on a solvable map."""
        dynamics = dynamics_of(instance)
        plan = shortest_plan(instance)
        assert plan is not None, "the generator gives solvable maps only"
        states = [dynamics.start]
        for action in plan:
            states.append(dynamics.successor(states[-1], action))
        return Expert(dynamics, tuple(states), tuple(plan))

    def trajectory(self) -> Trajectory:
        """The symbolic trajectory."""
        calls = tuple(
            self.dynamics.call(state, action)
            for state, action in zip(self.states, self.actions, strict=False)
        )
        states = tuple(symbolic(self.dynamics, state) for state in self.states)
        return Trajectory(self.dynamics.objects, states, calls, (True,) * len(calls))


def symbolic(dynamics: Dynamics, state: object) -> State:
    """An environment state as atoms and fluents."""
    atoms, values = dynamics.symbols(state)
    return State(atoms, values)


def problem_of(instance: CraftingMap) -> NumericProblem:
    """A map as a planning problem."""
    dynamics = dynamics_of(instance)
    goal = Goal(frozenset({(GOAL[instance.task],)}))
    return NumericProblem("map", dict(dynamics.objects), symbolic(dynamics, dynamics.start), goal)


@cache
def vocabulary(task: Task) -> Vocabulary:
    """The domain without preconditions and effects: the input of a learner."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{task}.pddl"
        path.write_text(partial_domain_pddl(task, "map"), encoding="utf-8")
        return read_vocabulary(path)


def split(trajectories: Iterable[Trajectory], splitter: ActionSplitter) -> list[Trajectory]:
    """Trajectories with split actions."""
    return [
        replace(trajectory, calls=tuple(map(splitter.split, trajectory.calls)))
        for trajectory in trajectories
    ]


def declarations(knowledge: str, task: Task, splitter: ActionSplitter) -> Mapping[str, Declaration]:
    """The declaration of every split action met so far.

    Args:
        knowledge: "nothing" (convex preconditions, affine effects); "relevant" (also the items on
            which the precondition depends, as in the publication); "resources" (also that more of
            an item never disables an action, and that amounts change by constants).
        task: its recipes give the relevant items.
        splitter: has the split actions.
    """
    needs = {recipe.name: recipe.needs for recipe in recipes(task, "map")}
    result = {}
    for name in splitter.vocabulary.actions:
        relevant = tuple(
            fluent(item)
            for item, need in zip(ITEMS[task], needs.get(splitter.base(name), ()), strict=False)
            if need
        )
        result[name] = {
            "nothing": Declaration(),
            "relevant": Declaration(precondition_fluents=relevant),
            "resources": Declaration(
                preconditions="monotone", precondition_fluents=relevant, effects="increment"
            ),
        }[knowledge]
    return result


def reaches_goal(instance: CraftingMap, plan: Sequence[Ground]) -> bool:
    """Whether a symbolic plan is applicable step by step in the environment up to the goal."""
    env = CraftingEnv(instance.task, maps=instance, max_steps=len(plan) + 1)
    env.reset()
    for call in plan:
        try:
            _, _, terminated, _, info = env.step(env.action_of(call))
        except InfeasibleAction:
            return False
        if terminated or not info["applied"]:
            return terminated
    return False
