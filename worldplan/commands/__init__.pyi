from . import actions as actions
from . import bandits as bandits
from . import data as data
from . import evaluation as evaluation
from . import examples as examples
from . import fit as fit
from . import report as report
from . import studies as studies
