"""What a planner maximises today: the value of any joint action, and the program of the best one.

A planner explains itself if it has one of

* `action_values(observation)` -> (arms, levels): the objective is their sum over the arms (myopic,
  Whittle, prices; a policy of your own may have it too);
* `action_networks(observation)` -> ReLU networks of the action, whose minimum is the objective
  (SEQUOIA);
* the programs of `FluidPlanner`, whose objective is the optimum of its window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldplan.envs.bandits.ends import counting
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp.errors import ConfigError, SolverFailed
from worldplan.milp.networks.local_search import value as network_value
from worldplan.milp.program import Indices
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.baselines import MyopicPolicy
from worldplan.planners.bandits.classes.planner import ClassPlanner
from worldplan.planners.bandits.coupling import ValueTables
from worldplan.planners.bandits.endless.planner import EndlessPlanner
from worldplan.planners.bandits.fluid import FluidPlanner, FluidProgram
from worldplan.planners.bandits.lagrangian import LagrangianPlanner
from worldplan.planners.bandits.models import level_values, mean_dynamics
from worldplan.planners.bandits.observations import belief_of, steps_left_of
from worldplan.planners.bandits.reasons.clock import Clock
from worldplan.planners.bandits.reasons.problem import (
    DecisionProblem,
    Problem,
    additive_problem,
    check_values,
    level_score,
    network_problem,
)

MEMORY = 2**22  # numbers of actions that are scored at once
MakeProblem = Callable[[ActionSet, SolverSettings], Problem]


@dataclass(frozen=True)
class Valuation:
    """What a planner maximises for one observation.

    Args:
        words: what a value is, after its unit: "expected over the 20 days that remain".
        score: values (M,) of actions (M, components), whether they are feasible or not, up to a
            constant. For the fluid planner they are those of its dual prices, a separable function.
        problem: the program of the best action of a set; the set may be another than the
            instance's (a limit raised by one unit).
        gains: (components,) if the score is linear in the action: what each component adds.
        worth: (arms, levels, states, states), or with length 1 along an axis that does not matter:
            of each move, if a visit's benefit is the difference that it makes to their mean.
    """

    words: str
    score: Callable[[Action], Floats]
    problem: MakeProblem
    gains: Floats | None = None
    worth: Floats | None = None


def valuation(
    planner: Any,
    instance: BanditInstance,
    observation: Mapping[str, Any],
    time_limit: float | None = None,
) -> Valuation:
    """What `planner` maximises for {"state": (arms,), "steps_left": int}.

    Args:
        planner: the planner.
        instance: the programme.
        observation: of the day.
        time_limit: seconds for the prices of planners that search for them; those of their
            settings unless given.

    Raises:
        ConfigError: the planner maximises nothing over the feasible set.
        SolverFailed: the fluid planner's prices were not found within the time limit.
    """
    if isinstance(planner, EndlessPlanner):
        return _endless(planner, instance, observation, time_limit)
    left = steps_left_of(instance, observation)
    remaining = f"expected over the {left} {'day' if left == 1 else 'days'} that remain"
    if isinstance(planner, FluidPlanner):
        return _fluid(planner, instance, observation, remaining, time_limit)
    if hasattr(planner, "action_networks"):
        networks = planner.action_networks(observation)
        zero = float(network_value(networks, instance.actions.default()[None])[0])
        return Valuation(
            remaining,
            lambda actions: network_value(networks, actions),
            lambda actions, settings: network_problem(networks, zero, actions, settings),
        )
    if hasattr(planner, "action_values"):
        name = type(planner).__name__
        # searches for prices take as long as they may
        limited = isinstance(planner, ClassPlanner | LagrangianPlanner)
        options = {"time_limit": time_limit} if limited else {}
        values = check_values(planner.action_values(observation, **options), instance, name)
        return Valuation(
            getattr(planner, "value_words", "by the policy's own values"),
            lambda actions: level_score(instance.dynamics, values - values[:, :1], actions),
            lambda actions, settings: additive_problem(instance, actions, values, settings),
            _gains(instance, values),
            worth_of_moves(_counted(instance.dynamics, instance, left))
            if isinstance(planner, MyopicPolicy)
            else None,
        )
    raise ConfigError(
        f"{type(planner).__name__} has no reasons: it maximises no value over the feasible set. "
        "Choose fluid, myopic, whittle or sequoia, or give your policy action_values(observation)"
    )


def _fluid(
    planner: FluidPlanner,
    instance: BanditInstance,
    observation: Mapping[str, Any],
    words: str,
    time_limit: float | None,
) -> Valuation:
    start, left = belief_of(instance, observation), steps_left_of(instance, observation)
    models, steps = planner.program.dynamics, planner.program.steps
    counted = [_counted(model, instance, left) for model in models]
    tables = _tables(planner, start, left, time_limit)
    tail = tables if left > steps else None
    # the value of each arm's levels today, by the prices of the days that follow
    later = tables.table[left - 1]
    today = level_values(counted, start, later, instance.discount)
    units = planner.units

    def problem(actions: ActionSet, settings: SolverSettings) -> DecisionProblem:
        program, constant = _with_today(planner.program, actions, settings, start, left, tail)
        return DecisionProblem(
            program.session, program.first_action, units.total(constant, left), units.unit
        )

    return Valuation(
        words,
        lambda actions: units.unit * level_score(instance.dynamics, today, actions),
        problem,
        _gains(instance, units.unit * today),
        units.unit * worth_of_moves(counted[0], instance.discount * later),
    )


def _endless(
    planner: EndlessPlanner,
    instance: BanditInstance,
    observation: Mapping[str, Any],
    time_limit: float | None,
) -> Valuation:
    """As `_fluid`, without an end.

    Raises:
        SolverFailed: no prices within the time limit.
    """
    start, units, models = belief_of(instance, observation), planner.units, planner.program.dynamics
    clock = Clock(time_limit, planner.settings.time_limit)
    tail = planner.tail(start, clock.left())
    offset, today = planner.offset(start, tail, clock.left()), planner.action_table(start, tail)

    def problem(actions: ActionSet, settings: SolverSettings) -> Problem:
        if planner.additive:
            values = units.unit * today + offset / len(today)
            return additive_problem(instance, actions, values, settings)
        left = planner.program.steps + 1
        program, constant = _with_today(planner.program, actions, settings, start, left, tail)
        whole = units.unit * constant + offset
        return DecisionProblem(program.session, program.first_action, whole, units.unit)

    words = (
        "a day on average in the long run, less what it loses against the plan's prices"
        if instance.averaged
        else f"expected over all days to come, with the discount {instance.discount:g}"
    )
    return Valuation(
        words,
        lambda actions: units.unit * level_score(instance.dynamics, today, actions),
        problem,
        _gains(instance, units.unit * today),
        units.unit * worth_of_moves(models[0], planner.discount * tail.table[1]),
    )


def _with_today(
    window: FluidProgram,
    actions: ActionSet,
    settings: SolverSettings,
    start: Floats,
    left: int,
    tail: ValueTables | None,
) -> tuple[FluidProgram, float]:
    """The planner's program with other feasible actions today, its numbers set; and its constant,
    which the program leaves out.
    """
    program = FluidProgram(
        window.dynamics,
        window.actions,
        window.steps,
        settings,
        integral_first=True,
        first=actions,
        discount=window.discount,
        late=window.late,
    )
    program.load(start, left, tail)
    constant = program.session.matrices.offset
    program.session.set_cost(np.zeros(0, np.int64), np.zeros(0), 0.0)
    return program, constant


def _counted(model: ArmDynamics, instance: BanditInstance, left: int) -> ArmDynamics:
    """The model of a step with `left` to go: arms that have ended have no rewards."""
    counted = counting(instance.late, left)
    return model if counted is None else model.without_rewards(~counted)


def worth_of_moves(model: ArmDynamics, later: Floats | float = 0.0) -> Floats:
    """Reward of each move and the value `later` (arms, states) of the state after it.

    Shape (arms, levels, states, states), with length 1 along an axis that does not matter.
    """
    worth: Floats = (model.reward + later)[:, None, None, :]
    return worth if model.action_reward is None else worth + model.action_reward


def _gains(instance: BanditInstance, values: Floats) -> Floats | None:
    """What a visit of each arm adds to the sum of `values` (arms, levels); None with `effect`."""
    return values[:, 1] - values[:, 0] if instance.dynamics.effect is None else None


def _tables(
    planner: FluidPlanner, start: Floats, left: int, time_limit: float | None
) -> ValueTables:
    """The value tables of the days that follow today.

    Raises:
        SolverFailed: not found within the time limit.
    """
    relaxation = planner.relaxation
    if relaxation is None:  # the window reaches to the end, and has no dual prices
        program = planner.program
        settings = program.session.settings
        relaxation = FluidProgram(
            [mean_dynamics(program.dynamics)],
            program.actions,
            program.steps,
            settings,
            first=program.first,
            discount=program.discount,
            late=program.late,
        )
    limit = relaxation.session.settings.time_limit if time_limit is None else time_limit
    solution = relaxation.solve(start, left, time_limit=limit)
    if solution.x is None:
        raise SolverFailed(f"no prices for the reasons within {limit:.3g} s: give more time")
    return relaxation.value_tables(solution, left)


def benefits(valuation: Valuation, action: Action, components: Indices) -> dict[int, float]:
    """By component (n,): the score of `action` (components,) with it minus that without it."""
    if valuation.gains is not None:
        found = valuation.gains[components]
    else:
        found = np.concatenate([np.zeros(0), *_differences(valuation, action, components)])
    return dict(zip(components.tolist(), found.tolist(), strict=True))


def _differences(valuation: Valuation, action: Action, components: Indices) -> Iterator[Floats]:
    """The benefits in blocks that fit in memory."""
    for block in np.array_split(components, 1 + len(components) * len(action) // MEMORY):
        rows = np.repeat(action[None], len(block), axis=0)
        scores = []
        for present in (1, 0):
            rows[np.arange(len(block)), block] = present
            scores.append(valuation.score(rows) if len(block) else np.zeros(0))
        yield scores[0] - scores[1]
