"""Datasets larger than memory: arrays that stay in their file, and passes over rows in parts.

Arrays that are stored without compression are mapped where a dataset does not fit into memory.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
