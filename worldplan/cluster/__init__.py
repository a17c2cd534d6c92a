"""Independent jobs on a Ray cluster whose machines share no folder: what a job reads travels with
it, and what it writes comes back and is put into the run folder by the command.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
