"""Numeric planning: an action model and a problem in, an exactly checked plan out.

`solve` plans with any planner of `PLANNERS`, which takes your own by name or address.
`NumericPlanner` acts by plans in an environment, such as one with the members of `SymbolicEnv`.
`worldplan.world_models.action_model` learns models, `worldplan.world_models.pddl` reads them.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
