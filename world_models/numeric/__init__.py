"""The language of numeric planning, in exact numbers: actions, problems, plans and trajectories.

Start with `read_trajectories` (logs and trajectory files in, `Trajectory` out; `write_trajectory`
writes one), and `run_plan` or `is_valid` (a model, a problem and a plan in, its states out).
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
