"""PDDL files and unified-planning problems in and out, with every number exact.

`read_model`, `read_problem` and `read_vocabulary` read files, `write_domain` and `write_problem`
write them; `from_unified_planning` and `to_unified_planning` convert objects of that library.
`validate_with_unified_planning` checks a plan with its independent validator.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
