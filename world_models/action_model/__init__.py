"""Safe action models from trajectories: a vocabulary and trajectories in, a `NumericModel` out.

`learn` does it in one call, `ActionModelLearner` incrementally. A `Declaration` says what is known
about an action's numbers beforehand; `save_model` and `load_model` keep models as exact JSON.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
