"""SEQUOIA: Q-learning for coupled bandits with a MILP as its argmax (Xu et al., ICLR 2025).

A `SequoiaModule` is trained for one instance; `SequoiaPlanner` decides exactly with the trained
network. `SequoiaSettings` has every number of the learning, and the published ones as presets.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
