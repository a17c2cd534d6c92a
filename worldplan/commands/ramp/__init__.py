"""`worldplan ramp`: RAMP over the problems of a PDDL domain, in a run folder.

`run_ramp` runs what the command runs: a `RampRun` in, a finished run folder out.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
