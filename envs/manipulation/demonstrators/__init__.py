"""Scripted demonstrators of the manipulation tasks.

A `Demonstrator` reads the simulator's state and returns the action of one step.
`demonstrator_of("BinPick")` makes the one of a task, and `demonstrate(env, demonstrator, noise,
seed)` plays and records an episode with it.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
