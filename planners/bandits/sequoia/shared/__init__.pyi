from .network import SharedQNetwork as SharedQNetwork
from .planner import SharedPlanner as SharedPlanner
from .training import SharedModule as SharedModule
