"""The coordinator's pages of a programme, and the same as an HTTP interface.

`create_app` makes the application that `worldplan bandits serve` runs.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
