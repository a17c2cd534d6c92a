"""A guess of the value of good policies, to take chance out of measured returns."""

from __future__ import annotations

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.milp.errors import SolverFailed
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bounds import is_priced
from worldplan.planners.bandits.fluid import FluidProgram
from worldplan.planners.bandits.models import models_of
from worldplan.planners.bandits.units import in_units


def control_values(instance: BanditInstance, solver: SolverSettings | None = None) -> Floats:
    """(horizon + 1, arms, states) values for `worldplan.envs.bandits.control`, by steps to go.

    They are the dual values of one fluid program from the start distribution. For very many arms,
    whose mean varies little, and where the program takes too long, they are zero: returns are then
    as they are.

    Args:
        instance: the programme.
        solver: of the fluid program, and its time limit.
    """
    model = instance.dynamics
    nothing = np.zeros((instance.horizon + 1, model.arms, model.states))
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
    return varies and not is_priced(instance) and not values.any()
