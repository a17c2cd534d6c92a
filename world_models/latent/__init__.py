"""Decoder-free latent world models: observations are encoded into vectors, latents, in which
dynamics, reward, values and policies are learned (TD-MPC, MoDem-V2, TD-MPC2).

In come state vectors, or images of several cameras with proprioception. Start with `LatentModel`
and its `LatentSettings`; `Clone` is behaviour cloning with the same encoder and actor.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
