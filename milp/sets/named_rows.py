"""The rows of a feasible set's program by rule, and what may be changed about each rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np
from scipy import sparse

from worldplan.milp.errors import Remedy
from worldplan.milp.program import Indices, Program
from worldplan.milp.sets.base import ActionSet, Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.rules import STRUCTURE
from worldplan.milp.sets.schedule import Schedule


@dataclass(frozen=True)
class Side:
    """A row that is the limit of somebody or something.

    Args:
        row: its number in the program.
        remedy: without its amount.
        words: for the remedy, before and after the new amount.
    """

    row: int
    remedy: Remedy
    words: tuple[str, str]


@dataclass(frozen=True)
class RowGroup:
    """Rows of a program that form one named rule.

    Args:
        name: in messages: "the rule 'day'".
        rows: their numbers.
        sides: single rows of them that may be loosened.
        changes: what relaxes the rule besides.
    """

    name: str
    rows: Indices
    sides: tuple[Side, ...] = ()
    changes: tuple[Remedy, ...] = ()


@singledispatch
def add_rules(actions: ActionSet, program: Program, action: Indices) -> list[RowGroup]:
    """Add the constraints of a set to a program, and name their rows; rows that are in no group
    always hold. A set of your own has one rule.

    Args:
        actions: the set.
        program: to extend.
        action: (components,) columns of the action.
    """
    return _with_budget(actions, program, action, f"the rules of {type(actions).__name__}")


@add_rules.register
def _budget(actions: Budget, program: Program, action: Indices) -> list[RowGroup]:
    exactly = "exactly" if actions.exactly else "at most"
    row = program.rows
    actions.add_constraints(program, action)
    return [_visits(f"{exactly} {actions.most} visits a day", row)]


def _visits(name: str, row: int) -> RowGroup:
    side = Side(row, Remedy("visits"), ("allow ", " visits a day"))
    return RowGroup(name, np.array([row]), (side,))


@add_rules.register
def _capacity(actions: Capacity, program: Program, action: Indices) -> list[RowGroup]:
    """With n_ic, the number of arms of cost class c that worker i serves: sum_c cost_c n_ic <=
    capacity_i, and sum_i n_ic = sum of a_j over the class.
    """
    room, names = np.asarray(actions.capacities), actions.worker_names
    classes, class_of = np.unique(np.asarray(actions.costs), return_inverse=True)
    workers, count = len(room), np.bincount(class_of)
    groups = []
    if actions.budget is not None and actions.budget < actions.size:
        program.add_rows((action, np.ones((1, actions.size))), upper=actions.budget)
        groups.append(_visits(f"at most {actions.budget} visits a day", program.rows - 1))
    served = program.add_columns(workers * len(classes), 0.0, np.tile(count, workers), integer=True)
    member = sparse.csr_array(
        (np.ones(actions.size), (class_of, np.arange(actions.size))),
        shape=(len(classes), actions.size),
    )
    every = sparse.hstack([sparse.eye_array(len(classes))] * workers, format="csr")
    program.add_rows((action, member), (served, -every), lower=0.0, upper=0.0)
    first = program.rows
    load = sparse.kron(sparse.eye_array(workers), classes[None, :], format="csr")
    program.add_rows((served, load), upper=actions.widened)
    rows = np.arange(first, first + workers)
    sides = [
        Side(first + i, Remedy("hours", str(name)), (f"raise the capacity of {name} to ", ""))
        for i, name in enumerate(range(workers) if names is None else names)
        if room[i] > 0
    ]
    return [RowGroup("the workers' capacities", rows, tuple(sides)), *groups]


@add_rules.register
def _schedule(actions: Schedule, program: Program, action: Indices) -> list[RowGroup]:
    return _with_budget(actions, program, action, "the slots of workers and clients")


@add_rules.register
def _path(actions: Path, program: Program, action: Indices) -> list[RowGroup]:
    name = f"one route of at most {actions.moves} moves"
    route, *rest = _with_budget(actions, program, action, name)
    return [replace(route, changes=(Remedy("moves"),)), *rest]


@add_rules.register
def _rules(actions: PyomoSet, program: Program, action: Indices) -> list[RowGroup]:
    first = program.rows
    actions.add_constraints(program, action)
    groups = []
    structure = np.flatnonzero(actions.structural)
    if len(structure):
        groups.append(RowGroup(f"the {STRUCTURE}", first + structure))
    for row in np.flatnonzero(~actions.structural).tolist():
        name, worker = actions.row_names[row], actions.hours_rows.get(row)
        waive = Remedy("rule", name)
        remedy = waive if worker is None else Remedy("hours", worker)
        side = Side(first + row, remedy, (f"loosen '{name}' to ", ""))
        away = worker is not None and actions.most_of(row) == 0
        changes = (waive,) if worker is None else ()
        sides = () if away else (side,)
        groups.append(RowGroup(f"the rule '{name}'", np.array([first + row]), sides, changes))
    place = first + len(actions.row_names)
    for row, (component, amount) in enumerate(actions.fixed(), start=place):
        arm = "" if actions.arm_names is None else f" ({actions.arm_names[component]})"
        text = f"the rule that has a[{component}]{arm} set to {amount:g}"
        changes = (Remedy("rule", actions.name_of_fixed(component)),)
        groups.append(RowGroup(text, np.array([row]), (), changes))
    return groups


def _with_budget(
    actions: ActionSet, program: Program, action: Indices, rest: str
) -> list[RowGroup]:
    """All rows that a set adds but the row that counts all components, and that row."""
    first = program.rows
    actions.add_constraints(program, action)
    m = program.matrices()
    table, counting = m.table(), np.zeros(len(m.row_lower), bool)
    for row in (first + np.flatnonzero(np.diff(m.starts)[first:] == actions.size)).tolist():
        entries = table[[row]].tocoo()
        counting[row] = set(entries.col) == set(action) and bool((entries.data == 1).all())
    groups = [RowGroup(rest, first + np.flatnonzero(~counting[first:]))]
    for row in np.flatnonzero(counting).tolist():
        groups.append(_visits(f"at most {m.row_upper[row]:g} visits a day", row))
    return [group for group in groups if len(group.rows)]
