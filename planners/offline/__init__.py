"""Offline model-based value learning: a dataset and a dynamics model in, a policy out.

`dataset_task` makes a task of a dataset, `ReachAwareModule` trains on it (RAVL, its ancestors and
rivals are `ReachAwareSettings`), `ReachAwarePolicy` loads the result as a planner. `for_dataset`
does the same from a YAML file; `for_plane` trains on the illustration of the edge of reach.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
