from .environment import PddlEnv as PddlEnv
from .registration import register_environments as register_environments
from .slots import Slots as Slots
