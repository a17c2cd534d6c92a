from . import envs as envs
from . import milp as milp
from . import planners as planners
from . import world_models as world_models
from .milp.errors import CheckpointError as CheckpointError
from .milp.errors import ConfigError as ConfigError
from .milp.errors import DatasetError as DatasetError
from .milp.errors import Diverged as Diverged
from .milp.errors import FolderInUse as FolderInUse
from .milp.errors import InfeasibleAction as InfeasibleAction
from .milp.errors import InfeasibleActionSet as InfeasibleActionSet
from .milp.errors import JobKilled as JobKilled
from .milp.errors import MissingExtra as MissingExtra
from .milp.errors import RenderingUnavailable as RenderingUnavailable
from .milp.errors import SolverFailed as SolverFailed
from .milp.errors import SolverUnavailable as SolverUnavailable
from .milp.errors import WorldplanError as WorldplanError

__version__: str
