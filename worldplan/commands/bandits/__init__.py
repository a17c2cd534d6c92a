"""The commands `worldplan bandits run`, `decide` and `bound`, and scenarios in Python.

`run_scenario` runs a `Scenario` (settings, or a YAML file through `parse_scenario`) into a run
folder.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
