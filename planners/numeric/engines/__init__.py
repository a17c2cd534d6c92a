"""Planners of others as processes with limits: files in, plans out that are not believed yet.

`Engine` starts one of them, `EngineProcess` pauses, resumes and ends it, and `Turns` shares time
out among several engines and the search that calls it.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
