"""Dynamics models: batches of states and actions in, next observations and rewards out.

`DynamicsModel` is the interface of learned ensembles, latent models and simulators alike.
`MujocoDynamics` steps gymnasium's MuJoCo tasks exactly, `MixedDynamics` interpolates between a
learned model and the simulator, `termination_for` finds the rule that ends a task's episodes.
`make_dynamics` makes a model by name; `DYNAMICS` holds the names, and takes your own.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
