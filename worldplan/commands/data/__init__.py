"""`worldplan data collect | describe | convert | corrupt`.

`collect` makes a dataset of transitions with a policy, or of demonstrations with a scripted
demonstrator; `describe` prints what a dataset holds, also as `describe_tables`; `convert` writes
datasets in another format; `corrupt` writes a copy with corrupted rows.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
