"""Datasets: transitions for offline reinforcement learning, and demonstrations as whole episodes.

`load_transitions` reads .npz, D4RL-style HDF5 and Minari datasets into `Transitions`, which are
checked on construction, and `save_transitions` writes them. `load_demonstrations` reads the
successful episodes of a Minari dataset as `Episode`s with vector or image observations.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
