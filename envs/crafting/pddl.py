"""The crafting tasks as PDDL 2.1 text in lower case, for planners and action-model learners."""

from __future__ import annotations

from collections.abc import Iterable

from worldplan.envs.crafting.dynamics import TABLE_CELL, Call, dynamics_of, fluent
from worldplan.envs.crafting.rules import (
    GOAL,
    ITEMS,
    TREES,
    CraftingInstance,
    Recipe,
    Task,
    Variant,
    recipes,
)

MAP_ONLY = f"""  (:types cell - object)
  (:constants {TABLE_CELL} - cell)
"""
TELEPORT = (
    "(?from - cell ?to - cell)",
    ["(position ?from)", "(not (= ?from ?to))"],
    ["(not (position ?from))", "(position ?to)"],
)
Action = tuple[str, list[str], list[str]]  # parameters, preconditions, effects


def domain_pddl(task: Task, variant: Variant, tap_consumed: bool = False) -> str:
    """The complete domain.

    Args:
        task: "wooden_sword" or "pogo_stick".
        variant: "map" or "basic".
        tap_consumed: see `rules.recipes`.

    Raises:
        ConfigError: the task or the variant is unknown, or `tap_consumed` is set for a domain other
            than the basic pogo stick.
    """
    return _domain(task, variant, tap_consumed, partial=False)


def partial_domain_pddl(task: Task, variant: Variant) -> str:
    """The domain without preconditions and effects: the input of an action-model learner.

    Raises:
        ConfigError: the task or the variant is unknown.
    """
    return _domain(task, variant, tap_consumed=False, partial=True)


def problem_pddl(instance: CraftingInstance, name: str = "instance") -> str:
    """An instance as a problem of `domain_pddl(instance.task, instance.variant)`."""
    dynamics = dynamics_of(instance)
    atoms, fluents = dynamics.symbols(dynamics.start)
    cells = [cell for cell in dynamics.objects if cell != TABLE_CELL]
    declared = f"  (:objects {' '.join(cells)} - cell)\n" if cells else ""
    initial = [_bracket(atom) for atom in sorted(atoms)] + [
        f"(= {_bracket(fluent)} {value})" for fluent, value in fluents.items()
    ]
    return (
        f"(define (problem {name})\n"
        f"  (:domain {_domain_name(instance.task, instance.variant)})\n{declared}"
        f"  (:init\n{_lines(initial, 4)}  )\n  (:goal (and ({GOAL[instance.task]})))\n)\n"
    )


def _domain(task: Task, variant: Variant, tap_consumed: bool, partial: bool) -> str:
    task_recipes = recipes(task, variant, tap_consumed)
    on_map = variant == "map"
    actions = {"tp_to": TELEPORT} if on_map else {}
    actions |= {recipe.name: _action(task, recipe, on_map) for recipe in task_recipes}
    predicates = [
        f"({name} ?c - cell)" for name in ("position", "tree_cell", "air_cell") if on_map
    ] + [f"({GOAL[task]})"]
    functions = ([] if on_map else [f"({TREES})"]) + [f"({fluent(item)})" for item in ITEMS[task]]
    return (
        f"(define (domain {_domain_name(task, variant)})\n"
        f"  (:requirements :strips :typing :negative-preconditions :equality :fluents)\n"
        f"{MAP_ONLY if on_map else ''}"
        f"  (:predicates\n{_lines(predicates, 4)}  )\n"
        f"  (:functions\n{_lines(functions, 4)}  )\n"
        f"{''.join(_action_text(name, action, partial) for name, action in actions.items())})\n"
    )


def _action(task: Task, recipe: Recipe, on_map: bool) -> Action:
    """A recipe as a PDDL action."""
    before = [
        f"(>= ({fluent(item)}) {need})"
        for item, need in zip(ITEMS[task], recipe.needs, strict=True)
        if need
    ]
    after = [
        f"({'increase' if change > 0 else 'decrease'} ({fluent(item)}) {abs(change)})"
        for item, change in zip(ITEMS[task], recipe.change, strict=True)
        if change
    ]
    goal = [f"({GOAL[task]})"] if recipe.wins else []
    if recipe.place == "tree" and on_map:
        felled = ["(not (tree_cell ?pos))", "(air_cell ?pos)"] if recipe.fells else []
        return (
            "(?pos - cell)",
            ["(position ?pos)", "(tree_cell ?pos)", *before],
            [*felled, *after, *goal],
        )
    if recipe.place == "table" and on_map:
        away = ["(position ?from)", f"(not (= ?from {TABLE_CELL}))"]
        return (
            "(?from - cell)",
            [*away, *before],
            ["(not (position ?from))", f"(position {TABLE_CELL})", *after, *goal],
        )
    if recipe.place == "tree":
        felled = [f"(decrease ({TREES}) 1)"] if recipe.fells else []
        return "()", [f"(>= ({TREES}) 1)", *before], [*felled, *after, *goal]
    return "()", before, [*after, *goal]


def _action_text(name: str, action: Action, partial: bool) -> str:
    parameters, before, after = action
    body = (
        ""
        if partial
        else f"    :precondition (and {' '.join(before)})\n    :effect (and {' '.join(after)})\n"
    )
    return f"  (:action {name}\n    :parameters {parameters}\n{body}  )\n"


def _domain_name(task: Task, variant: Variant) -> str:
    return f"{task}_{variant}"


def _bracket(words: Call) -> str:
    return f"({' '.join(words)})"


def _lines(entries: Iterable[str], indent: int) -> str:
    return "".join(f"{' ' * indent}{entry}\n" for entry in entries)
