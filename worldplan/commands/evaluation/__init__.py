"""`worldplan evaluate`: the folder of a finished run in, a table of new episodes out.

`main` chooses by the kind of the run: `evaluate_bandits` for restless bandits, `evaluate_policies`
for offline learning, `evaluate_modem` for MoDem. Each plays every policy of the run, prints a table
and returns the CSV file that it wrote.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
