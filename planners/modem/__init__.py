"""MoDem-V2: demonstrations and a few thousand environment steps -> an agent that plans in a latent
world model for tasks with sparse rewards.

`ModemModule` trains (usually by `worldplan fit`, with `for_task`), `load_policy` restores the
`ModemPlanner` of a checkpoint, and `ModemSettings` has every number of the method.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
