"""`worldplan tune`: Bayesian optimisation over the settings of a method of value learning.

A `Tuning` in, a finished run folder with table, plots, report and best.yaml out: `run_tuning` does
what the command does, and resumes an unfinished run.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
