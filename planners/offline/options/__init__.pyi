from .cost_settings import CostConstraint as CostConstraint
from .option import Option as Option
