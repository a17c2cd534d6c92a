"""Run folders side by side: `worldplan runs` lists them, `worldplan compare` tables and plots them.

What a run is of is read from its settings, and its figures from the tables that reports show.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
