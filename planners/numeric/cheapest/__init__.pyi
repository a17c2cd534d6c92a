from .planner import UnboundedMetric as UnboundedMetric
from .planner import astar_plan as astar_plan
