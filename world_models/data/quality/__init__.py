"""The quality of a dataset: how well it was collected and how much it covers, and corruption of it
for studies of robustness.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
