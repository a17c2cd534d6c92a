"""Feasible sets of joint actions: budgets, workers' capacities, schedules, routes, your own rules.

A set comes from a constructor (`Capacity(costs, capacities)`) or from the files that a scenario
names (`make_set`). It checks, samples, completes and explains actions, and writes its MILP
constraints. Start with `ActionSet`; `SETS` lists the kinds, to which your own can be added.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
