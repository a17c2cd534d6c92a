"""Reads PDDL 2.1 (level 2) files through unified-planning into exact numeric models and problems.

A metric is left out: the cost of a plan is its length. What has no exact counterpart (disjunctions,
quantifiers, conditional effects, products of fluents, time) is refused by name, never simplified.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING

from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import Rational
from worldplan.world_models.numeric.domain import (
    Goal,
    Ground,
    Lifted,
    Linear,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
    Vocabulary,
)
from worldplan.world_models.pddl.expressions import Conditions, ExpressionReader, linear, pair
from worldplan.world_models.pddl.parsing import check_initial, parse, read_text
from worldplan.world_models.pddl.writing import vocabulary_text

if TYPE_CHECKING:
    from unified_planning.model import Fluent, InstantaneousAction, Problem


def read_vocabulary(path: str | Path) -> Vocabulary:
    """What a domain file declares; preconditions and effects may be missing, and are not looked at.

    Raises:
        DatasetError: the file is missing or malformed.
    """
    return vocabulary_of(parse(read_text(path), None, path), path)


def read_model(path: str | Path) -> NumericModel:
    """A whole domain file as a model.

    Two numeric effects of one action on the same function would meet if it were called with the
    same object twice (PDDL adds the changes up or forbids the call, a model here knows one value
    after): such calls are left out, by a pair in `distinct`.

    Raises:
        DatasetError: the file is missing or malformed, or an action (named) is beyond exact linear
            planning.
    """
    return _model(parse(read_text(path), None, path), str(path), {})


def read_problem(path: str | Path, domain: Vocabulary | str | Path) -> NumericProblem:
    """A problem file, given the vocabulary of its domain (read once for many problems) or the
    domain file.

    Fluents without an initial value stay undefined.

    Raises:
        DatasetError: the file is missing or malformed, names something the domain does not declare,
            or uses it with the wrong number or type of arguments; or the goal is beyond
            conjunctions of literals and linear comparisons.
    """
    vocabulary = domain if isinstance(domain, Vocabulary) else read_vocabulary(domain)
    text = read_text(path)
    check_initial(text, vocabulary, path)
    return _problem(parse(vocabulary_text(vocabulary), text, path), str(path))


def from_unified_planning(problem: Problem) -> tuple[NumericModel, NumericProblem]:
    """A unified-planning problem as a model and a problem. Its quality metrics are left out: plan
    length is the cost.

    Raises:
        DatasetError: something in it is beyond exact linear planning.
    """
    where = f"unified-planning problem '{problem.name}'"
    mentioned: dict[str, None] = {}
    model = _model(problem, where, mentioned)
    converted = _problem(problem, where)
    constants = {name: converted.objects[name] for name in mentioned}
    v = model.vocabulary
    vocabulary = Vocabulary(v.name, v.types, constants, v.predicates, v.functions, v.actions)
    return NumericModel(vocabulary, model.actions, model.detail), converted


def vocabulary_of(problem: Problem, where: str | Path) -> Vocabulary:
    """What a unified-planning problem declares; its objects count as constants."""
    types = {
        str(kind.name): str(kind.father.name) if kind.father else "object"
        for kind in problem.user_types
        if kind.name != "object"
    }
    predicates, functions = {}, {}
    for fluent in problem.fluents:
        kinds = tuple(
            _kind(parameter.type, f"{where}: {fluent.name}") for parameter in fluent.signature
        )
        if fluent.type.is_bool_type():
            predicates[str(fluent.name)] = kinds
        elif (
            fluent.type.is_user_type()
            or fluent.type.lower_bound is not None
            or fluent.type.upper_bound is not None
        ):
            raise DatasetError(
                f"{where}: fluent '{fluent.name}' has type {fluent.type}; only truth values and numbers without bounds are taken"
            )
        else:
            functions[str(fluent.name)] = kinds
    actions = {
        str(action.name): tuple(
            (str(p.name), _kind(p.type, f"{where}: action '{action.name}'"))
            for p in action.parameters
        )
        for action in problem.actions
    }
    constants = {str(one.name): str(one.type.name) for one in problem.all_objects}
    return Vocabulary(
        str(problem.name or "domain"), types, constants, predicates, functions, actions
    )


def _kind(kind: object, where: str) -> str:
    if not kind.is_user_type():  # type: ignore[attr-defined]
        raise DatasetError(f"{where}: a parameter of type {kind}; only objects are taken")
    return str(kind.name)  # type: ignore[attr-defined]


def _model(problem: Problem, where: str, mentioned: dict[str, None]) -> NumericModel:
    from unified_planning.model import InstantaneousAction

    vocabulary = vocabulary_of(problem, where)
    for beyond, what in (
        (problem.processes, "processes"),
        (problem.events, "events"),
        (problem.trajectory_constraints, "constraints"),
    ):
        if beyond:
            raise DatasetError(f"{where}: {what} are beyond the exact models here")
    actions = {}
    for action in problem.actions:
        if type(action) is not InstantaneousAction:
            raise DatasetError(
                f"{where}: action '{action.name}' is a {type(action).__name__}; only instantaneous actions are taken"
            )
        actions[str(action.name)] = _action(
            action, vocabulary, f"{where}: action '{action.name}'", mentioned
        )
    return NumericModel(vocabulary, actions, {"source": where})


def _action(
    action: InstantaneousAction, vocabulary: Vocabulary, where: str, mentioned: dict[str, None]
) -> NumericAction:
    parameters = vocabulary.actions[str(action.name)]
    read = ExpressionReader(
        where, {name: position for position, (name, _) in enumerate(parameters)}, mentioned
    )
    needs = Conditions()
    for condition in action.preconditions:
        read.conditions(condition, needs)
    if action.simulated_effect is not None:
        raise read.refuse(action.simulated_effect, "a simulated effect")
    adds: set[Lifted] = set()
    deletes: set[Lifted] = set()
    effects: dict[Lifted, Linear] = {}
    for effect in action.effects:
        if effect.is_conditional() or effect.is_forall():
            raise read.refuse(effect, "a conditional or universal effect")
        changed = read.lifted(effect.fluent)
        if effect.fluent.type.is_bool_type():
            if not effect.value.is_bool_constant():
                raise read.refuse(effect, "a truth value that depends on the state")
            (adds if effect.value.bool_constant_value() else deletes).add(changed)
        else:
            value = read.affine(effect.value)
            sign = 1 if effect.is_increase() else -1 if effect.is_decrease() else 0
            before = effects.get(changed, Linear(((changed, 1),)))
            effects[changed] = _plus(before, value, sign) if sign else value
    ordered = tuple(sorted(effects.items(), key=lambda item: [str(part) for part in item[0]]))
    return NumericAction(
        str(action.name),
        parameters,
        positive=frozenset(needs.positive),
        negative=frozenset(needs.negative),
        distinct=frozenset(
            needs.distinct | set(_meetings(list(effects), parameters, needs.distinct, vocabulary))
        ),
        comparisons=tuple(needs.comparisons),
        adds=frozenset(adds),
        deletes=frozenset(deletes),
        effects=ordered,
    )


def _plus(a: Linear, b: Linear, sign: int) -> Linear:
    terms: dict[Lifted, Rational] = dict(a.terms)
    for fluent, coefficient in b.terms:
        terms[fluent] = terms.get(fluent, 0) + sign * coefficient
    return linear(terms, a.constant + sign * b.constant)


def _meetings(
    changed: list[Lifted],
    parameters: tuple[tuple[str, str], ...],
    distinct: set[tuple[int | str, int | str]],
    vocabulary: Vocabulary,
) -> Iterator[tuple[int | str, int | str]]:
    """Pairs of terms to keep apart so that no two changed fluents can be the same one."""

    def may_meet(a: int | str, b: int | str) -> bool:
        if isinstance(a, str) and isinstance(b, str):
            return a == b
        first, second = (
            parameters[term][1]
            if isinstance(term, int)
            else vocabulary.constants.get(term, "object")
            for term in (a, b)
        )
        return vocabulary.is_a(first, second) or vocabulary.is_a(second, first)

    for one, other in combinations(changed, 2):
        if one[0] != other[0] or not all(
            may_meet(a, b) for a, b in zip(one[1:], other[1:], strict=True)
        ):
            continue
        apart = [pair(a, b) for a, b in zip(one[1:], other[1:], strict=True) if a != b]
        if not distinct & set(apart):
            yield apart[0]


def _problem(problem: Problem, where: str) -> NumericProblem:
    objects = {str(one.name): str(one.type.name) for one in problem.all_objects}
    if problem.timed_effects or problem.timed_goals or problem.trajectory_constraints:
        raise DatasetError(
            f"{where}: timed effects, timed goals and constraints are beyond the exact models here"
        )
    needs = Conditions()
    read = ExpressionReader(f"{where}: goal", {})
    for goal in _without_quantifiers(problem):
        read.conditions(goal, needs)
    positive, negative = _atoms(needs.positive), _atoms(needs.negative)
    return NumericProblem(
        str(problem.name),
        objects,
        _initial(problem, where),
        Goal(positive, negative, tuple(needs.comparisons)),
    )


def _atoms(lifted: set[Lifted]) -> frozenset[Ground]:
    return frozenset(tuple(str(part) for part in atom) for atom in lifted)


def _without_quantifiers(problem: Problem) -> list:
    """The goals, quantifiers written out over the problem's objects (in a goal, unlike in an
    action, they are known).
    """
    from unified_planning.model.walkers import ExpressionQuantifiersRemover

    remover = ExpressionQuantifiersRemover(problem.environment)
    return [remover.remove_quantifiers(goal, problem) for goal in problem.goals]


def _initial(problem: Problem, where: str) -> State:
    read = ExpressionReader(f"{where}: initial state", {})
    atoms: set[Ground] = set()
    values: dict[Ground, Rational] = {}
    given = dict(problem.explicit_initial_values)
    for fluent, default in problem.fluents_defaults.items():
        if default is not None and not default.is_false():
            for one in _groundings(problem, fluent):
                given.setdefault(one, default)
    for node, value in given.items():
        one = tuple(str(part) for part in read.lifted(node))
        if node.type.is_bool_type():
            if value.is_true():
                atoms.add(one)
        else:
            number = read.affine(value)
            if number.terms:
                raise DatasetError(f"{where}: the initial value of {node} is no number: {value}")
            values[one] = number.constant
    return State(frozenset(atoms), values)


def _groundings(problem: Problem, fluent: Fluent) -> Iterator:
    for arguments in product(
        *(list(problem.objects(parameter.type)) for parameter in fluent.signature)
    ):
        yield fluent(*arguments)
