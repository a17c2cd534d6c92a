"""Environments to plan and learn in, as gymnasium environments, and true dynamics of them.

One package per family: `bandits`, `crafting`, `manipulation`, `isolated` (environments in another
interpreter) and `dynamics` (batches of states stepped by a simulator). Single tasks are here: the
edge-of-reach plane, the swing-ups and the Adroit hand. `make_environment(name)` makes any of them.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
