"""Dynamics learned from data: transitions in, an ensemble of networks out that predicts steps.

`EnsembleModule` is what `worldplan.world_models.training.fit` trains into a folder, `load_ensemble`
reads the result, and `LearnedDynamics` makes of it a `DynamicsModel` for rollouts. `PENALTIES`
measure the disagreement of its members; `fit_termination` learns where episodes end.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
