from .cost_settings import CostConstraint as CostConstraint
from .finetuning import Finetuning as Finetuning
from .gap_settings import DynamicsGap as DynamicsGap
from .guardian import Guardian as Guardian
from .option import Option as Option
