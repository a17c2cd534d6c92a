"""D4RL-style HDF5 files: written, and read with the ends of episodes that they mark or leave out.

`save_hdf5` writes `Transitions` to such a file and `load_hdf5` reads one.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
