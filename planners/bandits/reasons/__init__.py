"""Reasons and what-ifs of one day's decision: benefits, costs of forcing, prices of limits.

`Explainer(planner, instance, observation).reasons()` gives all of it; `decide(force, forbid)`
re-decides with arms forced in or out. `worldplan bandits decide` prints the same.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
