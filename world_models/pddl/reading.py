"""PDDL 2.1 (level 2) files and unified-planning problems in, exact numeric models and problems out.

What has no exact counterpart (disjunctions, quantifiers, conditional effects, products of fluents,
time) raises an error that names it; nothing is simplified.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from worldplan.milp.errors import DatasetError
from worldplan.milp.user_files import read_user_text
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
    unplannable_action,
)
from worldplan.world_models.numeric.normal_forms import plus
from worldplan.world_models.pddl.beyond import BeyondModels, beyond_message, refuse_beyond
from worldplan.world_models.pddl.declared import Declarations
from worldplan.world_models.pddl.expressions import Conditions, ExpressionReader
from worldplan.world_models.pddl.files import (
    DomainFile,
    ProblemFile,
    read_domain_text,
    read_problem_text,
)
from worldplan.world_models.pddl.meeting import pairs_against_meeting
from worldplan.world_models.pddl.metrics import read_metric
from worldplan.world_models.pddl.names import decoded
from worldplan.world_models.pddl.parsing import parse_checked
from worldplan.world_models.pddl.quality import with_quality
from worldplan.world_models.pddl.writing import vocabulary_text

if TYPE_CHECKING:
    from unified_planning.model import Effect, Fluent, FNode, InstantaneousAction, Problem


def read_vocabulary(path: str | Path) -> Vocabulary:
    """The declarations of a domain file; its preconditions and effects, if any, are ignored.

    Raises:
        DatasetError: the file is missing or malformed.
    """
    return _declared(read_domain_text(read_user_text(path), path))


def _declared(domain: DomainFile) -> Vocabulary:
    """The vocabulary of a checked domain."""
    known = domain.declared
    return Vocabulary(
        domain.name,
        known.types,
        domain.constants,
        known.predicates,
        known.functions,
        domain.actions,
    )


def read_model(path: str | Path) -> NumericModel:
    """A complete domain file as a model.

    If an action is called with the same object twice, two of its numeric effects may change the
    same fluent. PDDL adds such changes up or forbids the call, whereas a model here has one next
    value per fluent. The model does not allow these calls: `distinct` has a pair against each of
    them.

    Args:
        path: the domain file.

    Raises:
        DatasetError: the file is missing or malformed, or an action, which the message names, is
            beyond exact linear planning.
    """
    domain = read_domain_text(read_user_text(path), path)
    refuse_beyond(domain.beyond, path)
    return checked_model(domain, None, path)


def checked_model(domain: DomainFile, problem: str | None, where: str | Path) -> NumericModel:
    """The model of a checked domain; with a checked problem, quantifiers are expanded over its
    objects.

    Raises:
        DatasetError: an action is beyond exact linear planning.
    """
    model = _model(parse_checked(domain, problem, where), str(where), {})
    return NumericModel(_declared(domain), model.actions, model.detail)


def read_problem(path: str | Path, domain: Vocabulary | str | Path) -> NumericProblem:
    """A problem file. Fluents without an initial value are undefined.

    Args:
        path: the problem file.
        domain: the vocabulary of its domain (read once for many problems), or the domain file.

    Raises:
        DatasetError: the file is missing or malformed, or contains something that the domain does
            not declare, or with the wrong number or type of arguments; or the goal is not a
            conjunction of literals and linear comparisons; or the metric is malformed.
    """
    vocabulary = domain if isinstance(domain, Vocabulary) else read_vocabulary(domain)
    known = Declarations(
        dict(vocabulary.types),
        {},
        dict(vocabulary.predicates),
        dict(vocabulary.functions),
        dict(vocabulary.constants),
    )
    checked = read_problem_text(read_user_text(path), DomainFile(None, known), path)
    refuse_beyond(checked.beyond, path)
    return checked_problem(checked, vocabulary, path)


def checked_problem(task: ProblemFile, vocabulary: Vocabulary, where: str | Path) -> NumericProblem:
    """The problem of a checked file, in which nothing is beyond the exact models.

    Raises:
        DatasetError: the metric is malformed, or something is beyond exact linear planning.
    """
    words = vocabulary_text(replace(vocabulary, name="domain"), named=False)
    declarations = read_domain_text(words, where)
    problem = _problem(parse_checked(declarations, task.text, where), str(where))
    return replace(problem, metric=read_metric(task.metric, vocabulary, problem.objects, where))


def from_unified_planning(problem: Problem) -> tuple[NumericModel, NumericProblem]:
    """A unified-planning problem as a model and a problem; `to_unified_planning` is the inverse.

    Costs of actions (`MinimizeActionCosts`) become a function of the model that actions increase.

    Args:
        problem: its actions must be instantaneous, its conditions conjunctions of literals and
            linear comparisons, its effects unconditional and affine.

    Raises:
        DatasetError: something in it is beyond exact linear planning, or it has several metrics.
    """
    where = f"unified-planning problem '{problem.name}'"
    mentioned: dict[str, None] = {}
    model = _model(problem, where, mentioned)
    converted = _problem(problem, where)
    constants = {name: converted.objects[name] for name in mentioned}
    vocabulary = replace(model.vocabulary, constants=constants)
    model = NumericModel(vocabulary, model.actions, model.detail)
    return with_quality(model, converted, problem, where)


def vocabulary_of(problem: Problem, where: str | Path) -> Vocabulary:
    """The declarations of a unified-planning problem; its objects count as constants.

    Args:
        problem: the problem.
        where: what errors name.

    Raises:
        DatasetError: a fluent or parameter has another type than truth values, unbounded numbers
            and objects.
    """
    types = {
        decoded(str(kind.name)): decoded(str(kind.father.name)) if kind.father else "object"
        for kind in problem.user_types
        if kind.name != "object"
    }
    predicates, functions = {}, {}
    for fluent in problem.fluents:
        kinds = tuple(
            _kind(parameter.type, f"{where}: {fluent.name}") for parameter in fluent.signature
        )
        if fluent.type.is_bool_type():
            predicates[decoded(str(fluent.name))] = kinds
        elif (
            fluent.type.is_user_type()
            or fluent.type.lower_bound is not None
            or fluent.type.upper_bound is not None
        ):
            raise DatasetError(
                f"{where}: fluent '{fluent.name}' has type {fluent.type}; only truth values and "
                "numbers without bounds are taken"
            )
        else:
            functions[decoded(str(fluent.name))] = kinds
    actions = {
        decoded(str(action.name)): tuple(
            (decoded(str(p.name)), _kind(p.type, f"{where}: action '{action.name}'"))
            for p in action.parameters
        )
        for action in problem.actions
    }
    name = decoded(str(problem.name or "domain"))
    return Vocabulary(name, types, _objects(problem), predicates, functions, actions)


def _kind(kind: object, where: str) -> str:
    """The name of a user type.

    Raises:
        DatasetError: another type.
    """
    if not kind.is_user_type():  # type: ignore[attr-defined]
        raise DatasetError(f"{where}: a parameter of type {kind}; only objects are taken")
    return decoded(str(kind.name))  # type: ignore[attr-defined]


def _model(problem: Problem, where: str, mentioned: dict[str, None]) -> NumericModel:
    """The model of a unified-planning problem.

    Args:
        problem: the problem.
        where: what errors name.
        mentioned: objects that occur in actions; filled.

    Raises:
        DatasetError: something in it is no part of the exact models.
        BeyondModels: something in it is beyond exact linear planning.
    """
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
                f"{where}: action '{action.name}' is a {type(action).__name__}; only instantaneous "
                "actions are taken"
            )
        name = decoded(str(action.name))
        actions[name] = _action(problem, action, vocabulary, f"{where}: action '{name}'", mentioned)
    if (found := unplannable_action(actions)) is not None:
        raise BeyondModels(beyond_message(f"{where}: action '{found[0]}'", found[1]))
    return NumericModel(vocabulary, actions, {"source": where})


def _action(
    problem: Problem,
    action: InstantaneousAction,
    vocabulary: Vocabulary,
    where: str,
    mentioned: dict[str, None],
) -> NumericAction:
    """One action of a unified-planning problem.

    Raises:
        DatasetError: something in it is beyond exact linear planning.
    """
    parameters = vocabulary.actions[decoded(str(action.name))]
    reader = ExpressionReader(
        where, {name: position for position, (name, _) in enumerate(parameters)}, mentioned
    )
    conditions = Conditions()
    for condition in _without_quantifiers(problem, action.preconditions):
        reader.conditions(condition, conditions)
    if action.simulated_effect is not None:
        raise reader.refuse(action.simulated_effect, "a simulated effect")
    adds: set[Lifted] = set()
    deletes: set[Lifted] = set()
    effects: dict[Lifted, Linear] = {}
    expanded: set[Lifted] = set()  # what universal effects change
    for effect, is_universal in _expanded(problem, action):
        if effect.is_conditional() or effect.is_forall():
            raise reader.refuse(effect, "a conditional or universal effect")
        changed = reader.lifted(effect.fluent)
        if effect.fluent.type.is_bool_type():
            if not effect.value.is_bool_constant():
                raise reader.refuse(effect, "a truth value that depends on the state")
            (adds if effect.value.bool_constant_value() else deletes).add(changed)
        else:
            value = reader.affine(effect.value)
            sign = 1 if effect.is_increase() else -1 if effect.is_decrease() else 0
            before = effects.get(changed, Linear(((changed, 1),)))
            effects[changed] = plus(before, value, sign) if sign else value
            expanded |= {changed} if is_universal else set()
    apart = set(pairs_against_meeting(list(effects), parameters, conditions.distinct, vocabulary))
    if apart and any(fluent in expanded for fluent in effects):
        raise reader.refuse(
            " ".join(map(str, min(expanded, key=str))),
            "a universal effect that may change the same fluent as another effect",
        )
    ordered = tuple(sorted(effects.items(), key=lambda item: [str(part) for part in item[0]]))
    return NumericAction(
        decoded(str(action.name)),
        parameters,
        positive=frozenset(conditions.positive),
        negative=frozenset(conditions.negative),
        distinct=frozenset(conditions.distinct | apart),
        comparisons=tuple(conditions.comparisons),
        adds=frozenset(adds),
        deletes=frozenset(deletes),
        effects=ordered,
    )


def _problem(problem: Problem, where: str) -> NumericProblem:
    """Objects, initial state and goal of a unified-planning problem.

    Raises:
        DatasetError: something in it is beyond exact linear planning.
    """
    objects = _objects(problem)
    if problem.timed_effects or problem.timed_goals or problem.trajectory_constraints:
        raise DatasetError(
            f"{where}: timed effects, timed goals and constraints are beyond the exact models here"
        )
    conditions = Conditions()
    reader = ExpressionReader(f"{where}: goal", {})
    for goal in _without_quantifiers(problem, problem.goals):
        reader.conditions(goal, conditions)
    positive, negative = _atoms(conditions.positive), _atoms(conditions.negative)
    return NumericProblem(
        decoded(str(problem.name)),
        objects,
        _initial(problem, where),
        Goal(positive, negative, tuple(conditions.comparisons)),
    )


def _atoms(lifted: set[Lifted]) -> frozenset[Ground]:
    return frozenset(tuple(str(part) for part in atom) for atom in lifted)


def _objects(problem: Problem) -> dict[str, str]:
    """Type of each object."""
    return {decoded(str(item.name)): decoded(str(item.type.name)) for item in problem.all_objects}


def _without_quantifiers(problem: Problem, conditions: Sequence[FNode]) -> list[FNode]:
    """Conditions with quantifiers expanded over the objects of the problem."""
    from unified_planning.model.walkers import ExpressionQuantifiersRemover

    remover = ExpressionQuantifiersRemover(problem.environment)
    return [remover.remove_quantifiers(condition, problem) for condition in conditions]


def _expanded(problem: Problem, action: InstantaneousAction) -> Iterator[tuple[Effect, bool]]:
    """The effects of an action, universal ones expanded over the objects of the problem; and
    whether each comes from a universal one.
    """
    for effect in action.effects:
        if effect.is_forall():
            yield from ((part, True) for part in effect.expand_effect(problem))
        else:
            yield effect, False


def _initial(problem: Problem, where: str) -> State:
    """The initial state, with the default values of fluents.

    Raises:
        DatasetError: an initial value is no number.
    """
    reader = ExpressionReader(f"{where}: initial state", {})
    atoms: set[Ground] = set()
    values: dict[Ground, Rational] = {}
    given = dict(problem.explicit_initial_values)
    for fluent, default in problem.fluents_defaults.items():
        if default is not None and not default.is_false():
            for ground_fluent in _groundings(problem, fluent):
                given.setdefault(ground_fluent, default)
    for node, value in given.items():
        name = tuple(str(part) for part in reader.lifted(node))
        if node.type.is_bool_type():
            if value.is_true():
                atoms.add(name)
        else:
            number = reader.affine(value)
            if number.terms:
                raise DatasetError(f"{where}: the initial value of {node} is no number: {value}")
            values[name] = number.constant
    return State(frozenset(atoms), values)


def _groundings(problem: Problem, fluent: Fluent) -> Iterator[FNode]:
    """Every ground instance of a fluent."""
    for arguments in product(
        *(list(problem.objects(parameter.type)) for parameter in fluent.signature)
    ):
        yield fluent(*arguments)
