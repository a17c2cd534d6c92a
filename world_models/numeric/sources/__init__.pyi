from .log_files import trajectory_files as trajectory_files
from .object_types import inferred_types as inferred_types
from .python_logs import trajectories_from_steps as trajectories_from_steps
