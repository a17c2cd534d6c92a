"""Safe action models from trajectories: a vocabulary and trajectories in, a `NumericModel` out.

`learn` does it in one call, `ActionModelLearner` incrementally. A `Declaration` says what is known
about an action's numbers beforehand; `save_model` and `load_model` keep models as exact JSON.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
