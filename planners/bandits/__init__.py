"""Policies for restless bandits with coupled arms, and bounds on what any policy can reach.

`make_policy` makes a planner from a name in `POLICIES`, to which your own can be added; each
planner is also a class (`FluidPlanner(instance)`). `FluidBound` bounds the return of every policy.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
