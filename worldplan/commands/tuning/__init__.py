"""`worldplan tune`: Bayesian optimisation over the settings of a method of value learning.

A `Tuning` in, a finished run folder with table, plots, report and best.yaml out: `run_tuning` does
what the command does, and resumes an unfinished run.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
