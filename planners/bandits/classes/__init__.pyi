from .planner import ClassPlanner as ClassPlanner
from .prices import ClassBound as ClassBound
