"""Datasets larger than memory: arrays that stay in their file, and passes over rows in parts.

Arrays that are stored without compression are mapped where a dataset does not fit into memory.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
