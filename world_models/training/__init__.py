"""Training into a folder: `fit(module, folder)` trains, resumes and returns the result's file.

Every learned part is a `ResumableModule`, which defines its length, its origin and its result. A
`Journal` writes metrics and state, so that a killed run ends like an unbroken one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
