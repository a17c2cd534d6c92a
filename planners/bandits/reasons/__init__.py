"""Reasons and what-ifs of one day's decision: benefits, costs of forcing, prices of limits.

`Explainer(planner, instance, observation).reasons()` gives all of it; `decide(force, forbid)`
re-decides with arms forced in or out. `worldplan bandits decide` prints the same.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
