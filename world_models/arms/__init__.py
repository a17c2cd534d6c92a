"""Models of restless arms: known from tables, or learned from a log of observed moves.

`build` turns the settings of a `Programme` into a bandit instance (and posterior samples of its
dynamics). `read_tables` and `read_log` read the dynamics alone.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
