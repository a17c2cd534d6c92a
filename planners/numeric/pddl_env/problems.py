"""Where an environment's problems come from: files, problems in Python, or a generator of the
user's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldplan.milp import checks
from worldplan.milp.addresses import import_address, own_errors
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.planners.numeric.task.grounding import check_problem
from worldplan.world_models.numeric.domain import (
    Ground,
    Lifted,
    NumericModel,
    NumericProblem,
    Vocabulary,
)
from worldplan.world_models.pddl.reading import read_model, read_problem

Problem = NumericProblem | str | Path
"""A problem, the path of its file, or the text of one, which begins with "("."""
Generator = Callable[[np.random.Generator], Problem | Iterator[Problem]]
"""Draws a problem in each call; or yields problems, and is called once."""
Problems = Problem | Sequence[Problem] | Generator


def model_of(domain: NumericModel | str | Path) -> NumericModel:
    """The domain itself, or that of a file; see `worldplan.world_models.pddl.read_model`.

    Raises:
        DatasetError: the file is missing, malformed or beyond exact linear planning; or an action
            changes an atom or fluent over objects of types for which it is not declared.
        ConfigError: it is neither.
    """
    if isinstance(domain, NumericModel):
        model = domain
    elif isinstance(domain, str | Path):
        model = read_model(domain)
    else:
        raise ConfigError(
            f"domain is {checks.shown(domain)}: give the path of a domain file, or a NumericModel"
        )
    _check_effects(model)
    return model


def problem_of(problem: Problem, model: NumericModel) -> NumericProblem:
    """The problem itself, or that of a file or text, checked.

    Raises:
        DatasetError: it is missing, malformed or does not fit the domain.
        ConfigError: it is none of these, or its goal already holds at the start.
    """
    if isinstance(problem, str) and problem.lstrip()[:1] in ("(", ";"):
        problem = _from_text(problem, model.vocabulary)
    elif isinstance(problem, str | Path):
        problem = read_problem(problem, model.vocabulary)
    elif not isinstance(problem, NumericProblem):
        raise ConfigError(
            f"problem is {checks.shown(problem)}: give the path of a problem file, its text, or a "
            "NumericProblem"
        )
    check_problem(model, problem)
    _check_types(model.vocabulary, problem)
    if problem.goal.holds(problem.initial):
        raise ConfigError(
            f"problem '{problem.name}': its goal already holds at the start: leave it out"
        )
    return problem


class ProblemSource:
    """Draws a problem for each episode.

    Args:
        problems: see `Problems`; a text "module:function" is the address of a generator.
        model: the domain.

    Attributes:
        listed: the problems, where they are listed.

    Raises:
        ConfigError: there are none, or the address leads nowhere.
        DatasetError: a problem is missing, malformed or does not fit the domain.
    """

    def __init__(self, problems: Problems, model: NumericModel) -> None:
        self.model = model
        self.listed: tuple[NumericProblem, ...] = ()
        self._generator: Generator | None = None
        self._running: Iterator[Problem] | None = None
        self._name = ""
        if isinstance(problems, str) and _is_address(problems):
            self._name = f"problem generator '{problems}'"
            problems = import_address(problems, "problem generator")
        if isinstance(problems, NumericProblem | str | Path):
            self.listed = (problem_of(problems, model),)
        elif callable(problems):
            self._generator = problems
            self._name = self._name or (
                f"problem generator '{getattr(problems, '__name__', type(problems).__name__)}'"
            )
        elif isinstance(problems, Iterable) and not isinstance(problems, Mapping):
            self.listed = tuple(problem_of(problem, model) for problem in problems)
            if not self.listed:
                raise ConfigError("problems: the sequence is empty: give at least one")
        else:
            raise ConfigError(
                f"problems is {checks.shown(problems)}: give files, NumericProblems, or a function "
                "from a numpy Generator to a problem"
            )

    def draw(self, generator: np.random.Generator) -> NumericProblem:
        """One of the listed problems at random, or the next of the user's generator.

        Raises:
            ConfigError: the user's generator fails, has no more problems, or gives something else.
            DatasetError: its problem does not fit the domain.
        """
        if self._generator is None:
            return self.listed[int(generator.integers(len(self.listed)))]
        with own_errors(self._name, "mend it"):
            problem = self._next(generator)
        try:
            return problem_of(problem, self.model)
        except (ConfigError, DatasetError) as error:
            raise type(error)(f"{self._name}: {error}") from error

    def restart(self) -> None:
        """Let a generator that yields problems begin anew, as after a reset with a seed."""
        self._running = None

    def _next(self, generator: np.random.Generator) -> Any:
        assert self._generator is not None
        if self._running is None:
            made: Any = self._generator(generator)
            if not isinstance(made, Iterator):
                return made
            self._running = made
        try:
            return next(self._running)
        except StopIteration:
            raise ConfigError(
                f"{self._name}: yields no more problems: let it yield without end, "
                "or give a list of problems"
            ) from None


def _is_address(text: str) -> bool:
    module, colon, name = text.partition(":")
    names = [*module.split("."), name]
    return bool(colon) and all(part.isidentifier() for part in names)


def _from_text(text: str, vocabulary: Vocabulary) -> NumericProblem:
    """The problem of a PDDL text.

    Raises:
        DatasetError: as `read_problem`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.pddl"
        path.write_text(text, encoding="utf-8")
        try:
            return read_problem(path, vocabulary)
        except DatasetError as error:
            raise DatasetError(str(error).replace(str(path), "the text of a problem")) from error


def _check_types(vocabulary: Vocabulary, problem: NumericProblem) -> None:
    """Check the types of the arguments in the initial state and the goal.

    Raises:
        DatasetError: one does not fit.
    """
    goal = problem.goal
    fluents = [f for comparison in goal.comparisons for f in comparison.expression.fluents]
    for declared, terms in (
        (vocabulary.predicates, problem.initial.atoms | goal.positive | goal.negative),
        (vocabulary.functions, [*problem.initial.values, *fluents]),
    ):
        for term in terms:
            kinds = [problem.objects[str(name)] for name in term[1:]]
            if not _fit(vocabulary, kinds, declared[str(term[0])]):
                raise DatasetError(
                    f"problem '{problem.name}': ({' '.join(map(str, term))}): its arguments must "
                    f"have the types {', '.join(declared[str(term[0])])}"
                )


def _check_effects(model: NumericModel) -> None:
    """Check that actions have the parameters that are declared, and change only what is declared
    for objects of these types.

    Raises:
        DatasetError: one does not.
    """
    words = model.vocabulary
    for action in model.actions.values():
        declared_parameters = words.actions.get(action.name, ())
        if [kind for _, kind in declared_parameters] != [kind for _, kind in action.parameters]:
            raise DatasetError(
                f"action '{action.name}': domain '{words.name}' declares it with other parameters"
            )
        changed: list[tuple[Lifted, Mapping[str, tuple[str, ...]]]] = [
            *((atom, words.predicates) for atom in action.adds),
            *((fluent, words.functions) for fluent, _ in action.effects),
        ]
        for term, declared in changed:
            kinds = [
                action.parameters[each][1] if isinstance(each, int) else words.constants.get(each)
                for each in term[1:]
            ]
            expected = declared.get(str(term[0]))
            if expected is None or not _fit(words, kinds, expected):
                raise DatasetError(
                    f"action '{action.name}': changes ({' '.join(_words(term, action.parameters))})"
                    f", which domain '{words.name}' does not declare for these types"
                )


def _fit(vocabulary: Vocabulary, kinds: Sequence[str | None], expected: Sequence[str]) -> bool:
    return len(kinds) == len(expected) and all(
        kind is not None and vocabulary.is_a(kind, ancestor)
        for kind, ancestor in zip(kinds, expected, strict=True)
    )


def _words(term: Lifted, parameters: Sequence[tuple[str, str]]) -> Ground:
    return tuple(f"?{parameters[e][0]}" if isinstance(e, int) else str(e) for e in term)
