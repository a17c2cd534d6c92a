from .log_files import trajectory_files as trajectory_files
from .object_types import inferred_types as inferred_types
