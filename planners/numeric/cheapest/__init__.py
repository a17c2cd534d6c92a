"""Cheapest numeric plans by A*: model and problem in, a plan with the proven bound of its cost out.

`astar_plan` searches with lower bounds of `LandmarkCut`, which are disjunctive action landmarks of
the numeric delete relaxation (`Relaxation`).
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
