"""Gymnasium environments in another Python interpreter, for simulators with clashing packages.

`IsolatedEnv(python, factory)` runs any environment there. Importing this package registers
worldplan/MetaWorld-v0, a Meta-World task; `make_metaworld("push-v3")` makes the same without
gymnasium's registry.
"""

import gymnasium

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

gymnasium.register(
    id="worldplan/MetaWorld-v0",
    entry_point="worldplan.envs.isolated.metaworld:make_metaworld",
    kwargs={"task": "push-v3"},
)
