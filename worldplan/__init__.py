"""Learn a model of the world from data and plan in it.

`milp` <- `envs` <- `world_models` <- `planners`: each folder imports only what stands before it,
and each family is one package in it. Errors that a user can mend are here: `worldplan.ConfigError`.
"""

from importlib.metadata import version

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
__version__ = version("worldplan")
