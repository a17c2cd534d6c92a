"""Ground numeric tasks: a lifted model and a problem in, what a planner searches in out.

`GroundTask` compiles a problem to bits and value tuples, `reachable_box` bounds its fluents,
`SearchLimits` watches time and memory, and every planner returns a `PlanResult`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
