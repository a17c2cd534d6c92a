"""Planning by sampling-based search in a dynamics model: MPPI, CEM and iCEM.

`ShootingPlanner` turns observations into actions; start there. `search_plan` is the search itself,
over any function that scores action sequences; `RollOuts` makes such a function from a dynamics
model.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
