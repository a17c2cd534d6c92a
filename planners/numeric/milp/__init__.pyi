from .action_copies import StateVariables as StateVariables
from .formulation import Formulation as Formulation
from .formulation import PlanStep as PlanStep
from .formulation import formulate as formulate
from .layers import Layer as Layer
from .planner import milp_plan as milp_plan
