from .bound import EndlessBound as EndlessBound
from .planner import EndlessPlanner as EndlessPlanner
