"""Numeric planning by state-space search: a model and a problem in, a `PlanResult` out.

`search_plan` runs breadth-first search (shortest plans, proofs) and greedy best-first search with
the `RelaxedPlanHeuristic`; `shorten` makes a plan of a ground task shorter.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
