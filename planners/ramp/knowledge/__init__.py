"""What RAMP learns about the actions: transitions in, action models, masks and exploration plans
out.

`ActionSplitter` splits actions by constant arguments, `LiftedViews` gives the part of a state that
an action depends on. `Experience` records transitions and learns the safe model from them; the
module `optimistic_model` makes the optimistic one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
