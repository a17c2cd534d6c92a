"""Where logs come from: files and folders, the written forms of trajectories, objects without a
problem file.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
