"""Options of the agent of reach-aware value learning, each in files of its own.

`CostConstraint` bounds the costs of a task, `Guardian` ends model rollouts where the data do not
support them, `DynamicsGap` weights the transitions of an imperfect simulator, `Finetuning` lets the
last epochs act in the real environment, and `Option` is what an addition to the update defines.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
