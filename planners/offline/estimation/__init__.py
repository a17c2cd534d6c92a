"""What a policy is worth, without playing it in the environment: fitted Q evaluation on logged
data, and full-length rollouts in dynamics models that the policy was not trained in.

Both return an `Estimate`, a mean with an interval.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
