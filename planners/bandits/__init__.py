"""Policies for restless bandits with coupled arms, and bounds on what any policy can reach.

`make_policy` makes a planner from a name in `POLICIES`, to which your own can be added; each
planner is also a class (`FluidPlanner(instance)`). `FluidBound` bounds the return of every policy.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
