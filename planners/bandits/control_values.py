"""A guess of the value of good policies, to take chance out of measured returns."""

from __future__ import annotations

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.milp.errors import SolverFailed
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bounds import is_priced
from worldplan.planners.bandits.endless.program import EndlessProgram
from worldplan.planners.bandits.endless.values import planning_discount
from worldplan.planners.bandits.fluid import FluidProgram
from worldplan.planners.bandits.models import models_of
from worldplan.planners.bandits.units import in_units


def control_values(instance: BanditInstance, solver: SolverSettings | None = None) -> Floats:
    """(horizon + 1, arms, states) values for `worldplan.envs.bandits.control`, by steps to go.

    They are the dual values of one fluid program from the start distribution. Without an end, they
    are those of the relaxation of all steps to come (`endless.program`), the same with every number
    of steps to go; of an average they are differences to a constant. For very many arms,
    whose mean varies little, and where the program takes too long, they are zero: returns are then
    as they are.

    Args:
        instance: the programme.
        solver: of the fluid program, and its time limit.
    """
    model = instance.dynamics
    nothing = np.zeros((instance.horizon + 1, model.arms, model.states))
    if instance.endless:
        return nothing + _endless(instance, solver or SolverSettings())
    if is_priced(instance):
        return nothing
    models, units = in_units(models_of(instance, None), instance.discount, instance.late)
    program = FluidProgram(
        models,
        instance.actions,
        instance.horizon,
        solver or SolverSettings(),
        discount=instance.discount,
        late=instance.late,
    )
    solution = program.solve(instance.initial)
    try:
        return units.unit * program.value_tables(solution).table
    except SolverFailed:  # no values within the time limit
        return nothing


def found_none(instance: BanditInstance, values: Floats) -> bool:
    """Whether the fluid program took too long: `values` are zero where it is solved at all."""
    varies = bool(np.ptp(instance.dynamics.one_step()) > 0)
    solved = instance.endless or not is_priced(instance)
    return varies and solved and not values.any()


def _endless(instance: BanditInstance, solver: SolverSettings) -> Floats:
    """(arms, states) what first states are worth in a programme without an end."""
    discount = planning_discount(instance.discount)
    (model,), units = in_units(models_of(instance, None), discount)
    program = EndlessProgram(model, instance.actions, discount, solver)
    try:
        table, _ = program.later_values(program.solve(model.uniform))
    except SolverFailed:  # no values within the time limit
        return np.zeros_like(model.uniform)
    values: Floats = units.unit * (table - table.mean(1, keepdims=True))
    return values
