"""Round trips on a graph, for `worldplan.milp.sets.path`.

The graph from its files, its blocks as chains of stations, and short tours of some stations.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
