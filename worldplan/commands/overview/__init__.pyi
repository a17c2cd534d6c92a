from .found import FoundRun as FoundRun
from .found import Skipped as Skipped
from .found import find_runs as find_runs
