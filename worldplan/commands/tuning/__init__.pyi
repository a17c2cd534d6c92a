from .run import run_tuning as run_tuning
from .space import Choice as Choice
from .space import Range as Range
from .tuning import Tuning as Tuning
