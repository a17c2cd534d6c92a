"""SEQUOIA with weights that all arms share: a network that also decides for other clients.

`SharedModule` trains a `SharedQNetwork`; `SharedPlanner` decides with it, for the programme it was
trained on or another one, whose arms have the same features.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
