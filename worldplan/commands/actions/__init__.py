"""`worldplan actions`: trajectories in; action models, plans, verdicts on plans and scores out.

`cross_validate` runs what `worldplan actions evaluate` runs: a `CrossValidation` in, a finished run
folder out.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
