"""Scripted demonstrators of the manipulation tasks.

A `Demonstrator` reads the simulator's state and returns the action of one step.
`demonstrator_of("BinPick")` makes the one of a task, and `demonstrate(env, demonstrator, noise,
seed)` plays and records an episode with it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
