"""Model-free yardsticks: behaviour cloning, TD3+BC (with ReBRAC) and IQL (with RIQL's options).

The settings of a method choose it: `ModelFreeModule(model_free_task(dataset), IQLSettings())` is
its training, `ModelFreePolicy` loads the result as a planner. `for_dataset` of the method's own
module makes the training in a YAML file (`worldplan.planners.offline.model_free.iql.for_dataset`).
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
