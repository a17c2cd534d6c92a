from .map_run import MapRecord as MapRecord
from .planner import RampPlanner as RampPlanner
from .ramp import Ramp as Ramp
from .settings import RampSettings as RampSettings
