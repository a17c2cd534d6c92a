"""The coordinator's pages of a programme, and the same as an HTTP interface.

`create_app` makes the application that `worldplan bandits serve` runs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
