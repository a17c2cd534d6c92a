from .files import load_model as load_model
from .files import save_model as save_model
from .hypothesis_classes import Declaration as Declaration
from .hypothesis_classes import SeenPoints as SeenPoints
from .hypothesis_classes import fluent_text as fluent_text
from .learner import ActionModelLearner as ActionModelLearner
from .learner import LearningReport as LearningReport
from .learner import learn as learn
