"""What RAMP learns about the actions: transitions in, action models, masks and exploration plans
out.

`ActionSplitter` splits actions by constant arguments, `LiftedViews` gives the part of a state that
an action depends on. `Experience` records transitions and learns the safe model from them; the
module `optimistic_model` makes the optimistic one.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
