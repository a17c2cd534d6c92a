"""`worldplan data collect | describe | convert | corrupt`.

`collect` makes a dataset of transitions with a policy, or of demonstrations with a scripted
demonstrator; `describe` prints what a dataset holds, also as `describe_tables`; `convert` writes
datasets in another format; `corrupt` writes a copy with corrupted rows.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
