"""Programmes without an end: the relaxation of all steps to come, its bound and its planner.

Returns are discounted or, without a discount, averages of a step.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
