"""Any numeric PDDL domain with its problems as a gymnasium environment with a symbolic view.

Start with `PddlEnv`, or with `gymnasium.make` and the id
"worldplan.planners.numeric.pddl_env:worldplan/NumericPddl-v0"; importing this package registers it.
`Slots` says which action and which number of an observation stands for what.
"""

from worldplan.extras import attach
from worldplan.planners.numeric.pddl_env.registration import register_environments

__getattr__, __dir__, __all__ = attach(__name__, __file__)

register_environments()
