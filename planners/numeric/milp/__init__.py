"""Shortest numeric plans by mixed-integer programming: model and problem in, `PlanResult` out.

`milp_plan` solves one program per horizon; `formulate` builds the program of a horizon from one
scaled copy of the state for each ground action (`StateVariables`) and outer bounds (`Layer`).
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
