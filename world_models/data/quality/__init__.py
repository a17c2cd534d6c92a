"""The quality of a dataset: how well it was collected and how much it covers, and corruption of it
for studies of robustness.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
