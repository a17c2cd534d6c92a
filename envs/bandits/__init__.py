"""Coupled restless bandits: many arms that move at every step, and joint actions under constraints.

`generate("capacity", arms=20, budget=5)` makes a random `BanditInstance` of one of the `DOMAINS` of
the SEQUOIA paper; an instance of your own is `BanditInstance(ArmDynamics(transition, reward),
action_set, horizon, initial)`. `BanditVectorEnv` steps many episodes at once, `BanditEnv` one.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
