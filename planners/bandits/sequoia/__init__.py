"""SEQUOIA: Q-learning for coupled bandits with a MILP as its argmax (Xu et al., ICLR 2025).

A `SequoiaModule` is trained for one instance; `SequoiaPlanner` decides exactly with the trained
network. `SequoiaSettings` has every number of the learning, and the published ones as presets.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
