from .client import EnvironmentFailed as EnvironmentFailed
from .client import IsolatedEnv as IsolatedEnv
from .metaworld import VARIABLE as VARIABLE
from .metaworld import make_metaworld as make_metaworld
