from .run import run_scenario as run_scenario
from .scenario import Scenario as Scenario
from .scenario import make_scenario as make_scenario
from .scenario import parse_scenario as parse_scenario
from .scenario import scenario_from_dict as scenario_from_dict
from .scenario import scenario_parser as scenario_parser
from .summary import mean_bound as mean_bound
from .summary import summarise as summarise
