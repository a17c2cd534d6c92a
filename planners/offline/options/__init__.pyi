from .cost_settings import CostConstraint as CostConstraint
from .finetuning import Finetuning as Finetuning
from .option import Option as Option
