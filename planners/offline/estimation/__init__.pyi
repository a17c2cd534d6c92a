from .estimate import Estimate as Estimate
from .estimate import policy_actions as policy_actions
from .fitted_q import FittedQSettings as FittedQSettings
from .fitted_q import fitted_q_evaluation as fitted_q_evaluation
from .held_out_models import value_in_models as value_in_models
