"""Actions called with a constant as actions of their own: "teleport from the table" beside
"teleport from anywhere else".

What is seen of (tp_to table cell3) does not tell whether the place left or the table stops being
the position, and where an agent that is not at the table is never seen to be at the table as well,
it never will; so a safe learner has to give the whole action up. Taken apart there is no doubt, and
nothing is assumed: a true action with constants put in for parameters is a true action.
"""

from __future__ import annotations

from dataclasses import replace

from worldplan.milp.errors import ConfigError
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.numeric.domain import Ground, NumericAction, Vocabulary


class ConstantCalls:
    """Splits calls, and joins them again. The names of the new actions: "tp_to-table-any".

    Args:
        original: the domain.
    """

    def __init__(self, original: Vocabulary) -> None:
        self.original = original
        self.vocabulary = replace(original, actions={})  # with the actions found so far
        self._patterns: dict[
            str, tuple[str, tuple[str | None, ...]]
        ] = {}  # a new action's old name and arguments; None: a parameter that is left

    def split(self, call: Ground) -> Ground:
        """A call in the new actions. Raises ConfigError: a new name is taken."""
        base, *arguments = call
        constants = self.original.constants
        pattern = tuple(one if one in constants else None for one in arguments)
        name = "-".join((base, *(one or "any" for one in pattern))) if any(pattern) else base
        if name not in self._patterns:
            if name != base and name in self.original.actions:
                raise ConfigError(
                    f"domain '{self.original.name}': action '{name}' has a name that is needed for calls of '{base}': rename it"
                )
            self._patterns[name] = (base, pattern)
            left = tuple(
                one
                for one, fixed in zip(self.original.actions[base], pattern, strict=True)
                if fixed is None
            )
            self.vocabulary = replace(
                self.vocabulary, actions={**self.vocabulary.actions, name: left}
            )
        return (name, *(one for one in arguments if one not in constants)) if any(pattern) else call

    def join(self, call: Ground) -> Ground:
        """The inverse of `split`."""
        base, pattern = self._patterns[call[0]]
        left = iter(call[1:])
        return (base, *(next(left) if fixed is None else fixed for fixed in pattern))

    def base(self, name: str) -> str:
        """The original action of a new one."""
        return self._patterns[name][0]

    def apart(self, action: NumericAction) -> NumericAction:
        """A new action as it was learned, kept from being called with the constants that other new
        actions are for.
        """
        constants, parameters = self.original.constants, action.parameters
        fitting = {
            (place, constant)
            for place, (_, wanted) in enumerate(parameters)
            for constant, kind in constants.items()
            if self.original.is_a(kind, wanted)
        }
        return replace(action, distinct=action.distinct | fitting) if fitting else action

    def declared(self, name: str, declaration: Declaration) -> Declaration:
        """What is declared of an original action, in the words of a new one."""
        base, pattern = self._patterns[name]
        fixed = {
            f"?{parameter}": constant
            for (parameter, _), constant in zip(self.original.actions[base], pattern, strict=True)
            if constant
        }

        def text(fluent: str) -> str:
            return " ".join(fixed.get(word, word) for word in fluent.split())

        def texts(fluents: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if fluents is None else tuple(map(text, fluents))

        effects = declaration.effect_fluents
        return replace(
            declaration,
            directions={text(fluent): sign for fluent, sign in declaration.directions.items()},
            groups=tuple(tuple(map(text, group)) for group in declaration.groups),
            precondition_fluents=texts(declaration.precondition_fluents),
            effect_fluents=None
            if effects is None
            else {text(fluent): tuple(map(text, on)) for fluent, on in effects.items()},
        )

    def patterns(self) -> list[Ground]:
        """Calls that name every new action, for `split` to find them again in the same order."""
        return [
            (base, *(fixed or f"?{place}" for place, fixed in enumerate(pattern)))
            for base, pattern in self._patterns.values()
        ]
