"""Very many arms of few classes: the fluid relaxation by one price per class and step.

Arms are of one class where the limits on joint actions treat them alike, such as all arms of one
cost. Their dynamics and states may differ.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
