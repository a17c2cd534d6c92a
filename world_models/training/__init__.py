"""Training into a folder: `fit(module, folder)` trains, resumes and returns the result's file.

Every learned part is a `ResumableModule`, which defines its length, its origin and its result. A
`Journal` writes metrics and state, so that a killed run ends like an unbroken one.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
