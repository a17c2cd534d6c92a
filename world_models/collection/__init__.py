"""Collect data: an environment and a policy in, transitions or demonstrations out.

`collect_transitions` makes datasets the way D4RL's were made, with random, medium and expert agents
that it trains itself. `collect_demonstrations` records the scripted demonstrators of the
manipulation tasks, `collect_metaworld_demonstrations` those of Meta-World.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
