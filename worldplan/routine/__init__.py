"""The daily routine of a programme: a database of its days, decisions, lists and audit trail.

`run_day` enters outcomes, updates the model and decides; `write_lists` writes what the workers get.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
