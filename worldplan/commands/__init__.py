"""The commands of `worldplan`, a package or module for each.

`worldplan.cli.COMMANDS` names the entry function of every command. An entry function takes the
arguments after the command's name, prints its result and returns the exit code.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
