"""Policies that learn the dynamics while they decide: Thompson sampling and optimistic indices.

`play_online` plays episodes one after the other with the same arms; the planner learns each step.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
