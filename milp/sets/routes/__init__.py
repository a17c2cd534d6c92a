"""Round trips on a graph: the graph's files, its chains of stations, and short tours."""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
