"""Splits actions by their constant arguments: (tp_to crafting_table cell3) becomes an action of its
own, `tp_to-crafting_table-any`, beside `tp_to`.

From the transitions of (tp_to crafting_table cell3) alone, the data cannot tell whether the effect
`not (position ...)` refers to the parameter ?from or to the constant crafting_table. In a domain
where an agent elsewhere is never also at the table, no later transition decides it, so a safe
learner would have to drop the action. In the split action the parameter is gone, and the ambiguity
with it. Splitting assumes nothing: the true action with constants substituted for parameters is a
true action.
"""

from __future__ import annotations

from dataclasses import replace

from worldplan.milp.errors import ConfigError
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.numeric.domain import Ground, NumericAction, Vocabulary

ANY = "any"  # in the name of a split action: a parameter that is left

# the original name, and per original parameter its constant, or None if the parameter is left
Pattern = tuple[str, tuple[str | None, ...]]


class ActionSplitter:
    """Translates ground actions of the original domain to split actions and back.

    A split action is created when `split` first meets it.

    Args:
        original: the domain.
    """

    def __init__(self, original: Vocabulary) -> None:
        self.original = original
        self.vocabulary = replace(original, actions={})  # with the split actions met so far
        self._patterns: dict[str, Pattern] = {}  # by name of the split action

    def split(self, call: Ground) -> Ground:
        """The split action of a ground action, without the constants among its arguments.

        Args:
            call: (name, *objects) of an original action.

        Raises:
            ConfigError: the original domain has an action with the name of the split action.
        """
        base, *arguments = call
        constants = self.original.constants
        pattern = tuple(argument if argument in constants else None for argument in arguments)
        name = "-".join((base, *(fixed or ANY for fixed in pattern))) if any(pattern) else base
        if name not in self._patterns:
            if name != base and name in self.original.actions:
                raise ConfigError(
                    f"domain '{self.original.name}': action '{name}' has a name that is needed "
                    f"for calls of '{base}': rename it"
                )
            self._add(name, (base, pattern))
        if not any(pattern):
            return call
        return (name, *(argument for argument in arguments if argument not in constants))

    def _add(self, name: str, pattern: Pattern) -> None:
        self._patterns[name] = pattern
        base, fixed_arguments = pattern
        parameters = tuple(
            parameter
            for parameter, fixed in zip(self.original.actions[base], fixed_arguments, strict=True)
            if fixed is None
        )
        self.vocabulary = replace(
            self.vocabulary, actions={**self.vocabulary.actions, name: parameters}
        )

    def join(self, call: Ground) -> Ground:
        """The ground action of the original domain; the inverse of `split`."""
        base, pattern = self._patterns[call[0]]
        arguments = iter(call[1:])
        return (base, *(next(arguments) if fixed is None else fixed for fixed in pattern))

    def base(self, name: str) -> str:
        """Name of the original action of a split action."""
        return self._patterns[name][0]

    def without_constants(self, action: NumericAction) -> NumericAction:
        """A learned split action that is not applicable to constants: for those there are other
        split actions.
        """
        excluded = {
            (place, constant)
            for place, (_, parameter_type) in enumerate(action.parameters)
            for constant, constant_type in self.original.constants.items()
            if self.original.is_a(constant_type, parameter_type)
        }
        return replace(action, distinct=action.distinct | excluded) if excluded else action

    def declared(self, name: str, declaration: Declaration) -> Declaration:
        """The declaration of an original action, with constants substituted, for a split action.

        Args:
            name: of the split action.
            declaration: of its original action.
        """
        base, pattern = self._patterns[name]
        constant_of = {
            f"?{parameter}": constant
            for (parameter, _), constant in zip(self.original.actions[base], pattern, strict=True)
            if constant
        }

        def substitute(fluent: str) -> str:
            return " ".join(constant_of.get(word, word) for word in fluent.split())

        def substitute_all(fluents: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if fluents is None else tuple(map(substitute, fluents))

        directions, effects = declaration.directions, declaration.effect_fluents
        return replace(
            declaration,
            directions={substitute(fluent): sign for fluent, sign in directions.items()},
            groups=tuple(tuple(map(substitute, group)) for group in declaration.groups),
            precondition_fluents=substitute_all(declaration.precondition_fluents),
            effect_fluents=None
            if effects is None
            else {substitute(fluent): tuple(map(substitute, on)) for fluent, on in effects.items()},
        )

    def patterns(self) -> list[Ground]:
        """One original call per split action. Passed to `split` in this order, they recreate the
        split actions.
        """
        return [
            (base, *(fixed or f"?{place}" for place, fixed in enumerate(pattern)))
            for base, pattern in self._patterns.values()
        ]
