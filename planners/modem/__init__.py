"""MoDem-V2: demonstrations and a few thousand environment steps -> an agent that plans in a latent
world model for tasks with sparse rewards.

`ModemModule` trains (usually by `worldplan fit`, with `for_task`), `load_policy` restores the
`ModemPlanner` of a checkpoint, and `ModemSettings` has every number of the method.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
