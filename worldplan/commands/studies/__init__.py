"""`worldplan run`: methods of value learning, compared on one task over several seeds.

A `Study` in, a finished run folder with table, plots and report out: `run_study` does what the
command does, and resumes an unfinished run.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
