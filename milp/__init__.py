"""Mixed-integer linear programs of actions, and the parts that worldplan builds them from.

`Program` is a program in matrix form; `open_session` loads it into HiGHS or Gurobi. Feasible sets
of actions are in `worldplan.milp.sets`, networks inside a program in `worldplan.milp.networks`.
`Registry` holds interchangeable classes by name. The error types are those of `worldplan` itself.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
