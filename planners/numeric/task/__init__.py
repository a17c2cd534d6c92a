"""Ground numeric tasks: a lifted model and a problem in, what a planner searches in out.

`GroundTask` compiles a problem to bits and value tuples, `reachable_box` bounds its fluents,
`SearchLimits` watches time and memory, and every planner returns a `PlanResult`.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
