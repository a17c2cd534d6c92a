from .heuristic import Estimate as Estimate
from .heuristic import RelaxedPlanHeuristic as RelaxedPlanHeuristic
from .search import METHODS as METHODS
from .search import search_plan as search_plan
from .shortening import shorten as shorten
