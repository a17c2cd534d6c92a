from .run import run_study as run_study
from .study import DatasetTask as DatasetTask
from .study import Study as Study
