from .jobs import RampRun as RampRun
from .run import run_ramp as run_ramp
