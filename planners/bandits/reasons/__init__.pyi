from .explainer import Explainer as Explainer
from .results import ClientReason as ClientReason
from .results import LimitPrice as LimitPrice
from .results import Reasons as Reasons
from .valuation import Valuation as Valuation
