"""The commands `worldplan bandits run`, `decide` and `bound`, and scenarios in Python.

`run_scenario` runs a `Scenario` (settings, or a YAML file through `parse_scenario`) into a run
folder.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
