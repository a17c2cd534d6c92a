"""Separation of the cuts of a path set: once, before its constraints are first written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from worldplan.milp.program import Floats, Indices, Program
from worldplan.milp.sets.base import Action, ActionSet
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.sets.routes.chains import Block

if TYPE_CHECKING:
    from worldplan.milp.sets.path import Path

CUT_OBJECTIVES = 20  # random objectives at whose relaxed optima cuts are separated
CUT_ROUNDS = 40  # relaxations solved for cuts in all

Parts = Callable[[Floats], list[tuple[Block, Floats]]]


def separate_cuts(path: Path, blocks: Sequence[Block], nodes: Sequence[int], parts: Parts) -> int:
    """Separate the cuts of the blocks, which keep them; their number.

    The effort is limited by rounds, not by time: the same graph has the same cuts.

    Args:
        path: the set.
        blocks: its larger blocks.
        nodes: of its first auxiliary columns, which say what is visited.
        parts: each block with its part of the auxiliary values (columns,).
    """
    for block in blocks:  # from a separation that was interrupted
        block.cuts.clear()
    generator, rounds = np.random.default_rng(0), 0
    for trial in range(CUT_OBJECTIVES if any(block.junctions for block in blocks) else 0):
        weights = (
            generator.random(path.size) if trial % 2 else generator.exponential(size=path.size) ** 2
        )
        while rounds < CUT_ROUNDS:
            rounds += 1
            solution = LinearProblem(_WithCutsSoFar(path), relaxed=True).solve(weights)
            assert solution.x is not None
            values = solution.x[path.size :]
            visits = dict(zip(nodes, values.tolist(), strict=False))
            if not sum(block.separate(own, visits) for block, own in parts(values)):
                break
    return sum(len(block.cuts) for block in blocks)


class _WithCutsSoFar(ActionSet):
    """A path set with the cuts so far, while further ones are separated."""

    def __init__(self, path: Path) -> None:
        self.size, self.path = path.size, path

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        self.path.add_with_cuts(program, action, relaxed)

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        return self.path.witness(action, exact=exact)

    def explain(self, action: Action) -> list[dict[str, Any]]:
        return self.path.explain(action)
