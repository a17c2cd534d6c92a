"""RAMP (arXiv 2502.13006): reinforcement learning, safe action-model learning and numeric planning
in one online loop over a sequence of maps.

`Ramp` runs the loop on a symbolic environment (`worldplan.planners.numeric.symbolic_env`) with
`RampSettings`, and gives a `MapRecord` per map. `RampPlanner` is the planner that results: it
decides in the environment and works with `worldplan.planners.base.evaluate`.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
