from .constant_arguments import ActionSplitter as ActionSplitter
from .experience import Experience as Experience
from .exploration import nearest_untried as nearest_untried
from .masks import Masks as Masks
from .state_graph import StateGraph as StateGraph
from .views import LiftedViews as LiftedViews
from .views import View as View
