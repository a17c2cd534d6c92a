"""Models of the world that are learned from data, and the data themselves.

`data` holds datasets of transitions and demonstrations, `collection` makes them. `ensemble`,
`latent`, `arms` and `action_model` learn models of dynamics, of latent dynamics, of restless arms
and of numeric planning actions. `numeric`, `exact` and `pddl` are the planning language and its
files, `training` trains and resumes, `storage` writes files whole or not at all.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
