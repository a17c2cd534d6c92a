"""A route on a graph: only arms that a closed walk of limited length passes may be selected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleActionSet
from worldplan.milp.program import Floats, Indices, Program
from worldplan.milp.sets.base import Action, ActionSet, check_size
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.sets.path_chains import Block, Row, cut_into_chains
from worldplan.milp.sets.path_graph import read_graph
from worldplan.milp.sets.path_routes import closed_tour
from worldplan.milp.sets.source import SetContext, naming_files

EXACT_TERMINALS = 12  # Held-Karp up to here; beyond, a heuristic and then the solver
CUT_OBJECTIVES = 20
CUT_ROUNDS = 40  # relaxations solved in all


@dataclass
class Path(ActionSet):
    """A walk of at most `moves` moves (staying put allowed) from `source` back to it; only visited
    arms may be selected.

    Path-constrained coRMAB of SEQUOIA (Xu et al., ICLR 2025), which unrolls the walk over time, one
    binary per (edge, time). No time is needed: a multigraph is the edges of a closed walk exactly
    if it is connected and all its degrees are even (Euler), and removing two copies of an edge used
    three times or more keeps both. So each edge is used 0, 1 or 2 times.

    A closed walk passes each biconnected block of the graph as a closed walk through the block's
    root, so the model falls apart. A block of one edge (a bridge, most of a transport network) is
    used twice exactly when its far node is visited. A larger block is cut into chains between
    junctions (`worldplan.milp.sets.path_chains.Block`): which chains are used once, twice or as
    dead ends, an even number of the first at each junction, and a flow from the root that proves
    connection. That flow's relaxation is weak: cuts `(once + 2 twice) into S >= 2 visited(v)`, v in
    S, valid whatever the objective, are found once by separating the relaxation's optima for random
    objectives, and belong to the set from then on.

    Args:
        graph: undirected networkx graph, connected; its nodes are the arms, in the order of
            `graph.nodes`.
        source: the node where the walk starts and ends; its arm may always be selected.
        moves: most edges that the walk may use.
        budget: most arms selected.

    Raises:
        InfeasibleActionSet: an empty, directed or disconnected graph, a source that is not in it or
            has no edge, or negative moves or budget.
    """

    graph: nx.Graph
    source: Hashable
    moves: int
    budget: int
    arm_names: Sequence[Hashable] = field(init=False, repr=False)
    size: int = field(init=False)
    least: int = field(init=False, default=0)
    most: int = field(init=False)
    selectable: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.size = len(self.graph)
        check_size(self.size, "the graph")
        self.arm_names = list(self.graph.nodes)
        self._check()
        edges = [
            (u, v)
            for u, v in nx.Graph(nx.convert_node_labels_to_integers(self.graph)).edges
            if u != v
        ]
        self._source = self.arm_names.index(self.source)
        away = _distances(self.size, edges)[0][self._source]
        if np.isinf(away).any():
            label = self.arm_names[int(np.flatnonzero(np.isinf(away))[0])]
            raise InfeasibleActionSet(
                f"station {label!r} cannot be reached from the source {self.source!r}: "
                "join it or remove it"
            )
        self.selectable = 2 * away <= self.moves
        self.most = min(self.budget, int(self.selectable.sum()), max(1, self.moves))
        usable = [(u, v) for u, v in edges if away[u] + 1 + away[v] <= self.moves]
        self._distance, self._before = _distances(self.size, usable)
        self._split(usable, away)

    @classmethod
    def from_files(cls, context: SetContext) -> Self:
        """From `constraint.connections` and `stations` (see `read_graph`); nodes are arms.

        Also read: `constraint.source`, `budget`, and `moves` (twice the budget if 0).

        Raises:
            ConfigError: a setting is missing, or the budget is below 1.
            DatasetError: a file is malformed, or its stations are not the arms.
            InfeasibleActionSet: the graph is disconnected, or the source is not in it.
        """
        connections, settings = context.file("connections"), context.settings
        stations = context.find(settings.stations) if settings.stations is not None else None
        with naming_files(connections):
            graph = read_graph(connections, stations)
            _check_stations(graph, context.arms, connections)
            if settings.source is None:
                raise ConfigError(
                    "constraint.source is missing: name the station where the route starts and ends"
                )
            budget = context.budget()
            return cls(graph, settings.source, moves=settings.moves or 2 * budget, budget=budget)

    def _check(self) -> None:
        if self.graph.is_directed():
            raise InfeasibleActionSet("the graph is directed: give an undirected networkx.Graph")
        if self.source not in self.graph:
            raise InfeasibleActionSet(
                f"source {self.source!r} is not a node of the graph: "
                f"give one of its {self.size} nodes"
            )
        if self.size > 1 and not set(self.graph[self.source]) - {self.source}:
            raise InfeasibleActionSet(
                f"source {self.source!r} has no edge: join it to the graph or choose another source"
            )
        for name, value in (("moves", self.moves), ("budget", self.budget)):
            if value < 0:
                raise InfeasibleActionSet(f"{name} is {value}: give 0 or more")

    def _split(self, edges: list[tuple[int, int]], away: Floats) -> None:
        """Split the graph into bridges and larger blocks.

        Each node but the source is a non-root node of exactly one of them.
        """
        self._root = np.full(self.size, -1)
        self._block_of = np.full(self.size, -1)  # -1: reached over a bridge
        self._blocks: list[Block] = []
        self._nodes = np.flatnonzero(self.selectable & (np.arange(self.size) != self._source))
        self._place = np.full(self.size, -1)
        self._place[self._nodes] = np.arange(len(self._nodes))
        graph = nx.Graph(edges)
        for part in sorted(map(sorted, nx.biconnected_components(graph))):
            root = min(part, key=away.__getitem__)
            nodes = [node for node in part if node != root]
            self._root[nodes] = root
            if len(nodes) > 1:
                self._block_of[nodes] = len(self._blocks)
                self._blocks.append(cut_into_chains(graph.subgraph(part), root))
        self._bridged = self._block_of[self._nodes] < 0
        self._starts = (
            len(self._nodes) + np.cumsum([0] + [block.width for block in self._blocks])
        ).tolist()

    # ---- the MILP

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        assert self._cuts >= 0  # found on first use
        self._add(program, action, relaxed)

    def _add(self, program: Program, action: Indices, relaxed: bool) -> None:
        # which nodes are visited (a decision only behind a bridge), then the blocks' columns
        visited = _concatenate(
            [
                program.add_columns(1, 0.0, 1.0, integer=bool(bridged) and not relaxed)
                for bridged in self._bridged
            ]
        )
        owned = [block.columns(program, relaxed=relaxed) for block in self._blocks]
        at = dict(zip(self._nodes.tolist(), visited.tolist(), strict=True))
        moves = dict.fromkeys(visited[self._bridged].tolist(), 2.0)
        for block, own in zip(self._blocks, owned, strict=True):
            moves |= {
                column: cost
                for column, cost in zip(own.tolist(), block.moves().tolist(), strict=True)
                if cost
            }
        rows: list[Row] = [(moves, -np.inf, self.moves)]
        rows += [
            ({int(action[node]): 1.0, column: -1.0}, -np.inf, 0.0) for node, column in at.items()
        ]
        rows += [
            ({column: 1.0, at[int(self._root[node])]: -1.0}, -np.inf, 0.0)
            for node, column in at.items()
            if self._root[node] != self._source
        ]
        rows += [
            ({int(action[node]): 1.0}, -np.inf, 0.0) for node in np.flatnonzero(~self.selectable)
        ]
        if self.budget < self.size:
            rows.append((dict.fromkeys(action.tolist(), 1.0), -np.inf, self.budget))
        for block, own in zip(self._blocks, owned, strict=True):
            rows += block.rows(own, at)
        _add_rows(program, rows)

    @cached_property
    def _cuts(self) -> int:
        """Fill the blocks' cuts (once); the number found. Rounds are counted, not timed: the same
        graph gives the same cuts.
        """
        generator, rounds = np.random.default_rng(0), 0
        for trial in range(CUT_OBJECTIVES if any(block.junctions for block in self._blocks) else 0):
            weights = (
                generator.random(self.size)
                if trial % 2
                else generator.exponential(size=self.size) ** 2
            )
            while rounds < CUT_ROUNDS:
                rounds += 1
                solution = LinearProblem(_SoFar(self), relaxed=True).solve(weights)
                assert solution.x is not None
                values = solution.x[self.size :]
                visits = dict(zip(self._nodes.tolist(), values.tolist(), strict=False))
                if not sum(block.separate(own, visits) for block, own in self._own(values)):
                    break
        return sum(len(block.cuts) for block in self._blocks)

    def _own(self, values: Floats) -> list[tuple[Block, Floats]]:
        """Each block with its part of the auxiliary values."""
        return [
            (block, values[a:b])
            for block, a, b in zip(self._blocks, self._starts, self._starts[1:], strict=False)
        ]

    # ---- the check

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        """A shortest walk by blocks: bridges twice, in larger blocks a tour of the nodes needed
        there.

        Insertion and 2-opt first, then Held-Karp up to 12 needed nodes of a block; an exact check
        with more of them asks the solver.
        """
        arms = np.flatnonzero(action)
        if len(arms) > self.budget or not self.selectable[arms].all():
            return None
        needed = self._closure(arms.tolist())
        terminals: list[list[int]] = [[] for _ in self._blocks]
        left = self.moves
        for node in sorted(needed):
            if self._block_of[node] < 0:
                left -= 2
            else:
                terminals[self._block_of[node]].append(node)
        stops = [
            (block, [block.root, *ends])
            for block, ends in zip(self._blocks, terminals, strict=True)
            if ends
        ]
        tables = [self._distance[np.ix_(ends, ends)] for _, ends in stops]
        if sum(max(len(table), 2 * table[0].max()) for table in tables) > left:
            return None
        tours = [closed_tour(table, 0) for table in tables]
        if sum(length for length, _ in tours) > left:
            limit = EXACT_TERMINALS if exact else EXACT_TERMINALS - 4
            tours = [closed_tour(table, limit) for table in tables]
        if sum(length for length, _ in tours) <= left:
            return self._values(
                needed,
                [
                    (block, [ends[k] for k in order])
                    for (block, ends), (_, order) in zip(stops, tours, strict=True)
                ],
            )
        if exact and any(len(table) - 1 > EXACT_TERMINALS for table in tables):
            return LinearProblem(self).complete(action)
        return None

    def _closure(self, nodes: Iterable[int]) -> set[int]:
        """The nodes and the block roots on the way to them, without the source."""
        found: set[int] = set()
        for node in nodes:
            while node != self._source and node not in found:
                found.add(node)
                node = int(self._root[node])
        return found

    def _values(self, needed: set[int], tours: list[tuple[Block, list[int]]]) -> Floats:
        """Auxiliary values of the walk that follows the tours (lists of nodes from a block's root)
        and the bridges to `needed` nodes.
        """
        values = np.zeros(self._starts[-1])
        values[self._place[list(needed)]] = 1.0
        walked = {id(block): order for block, order in tours}
        for block, own in self._own(values):
            order = walked.get(id(block), [])
            uses = Counter(
                edge
                for start, end in zip(order, order[1:] + order[:1], strict=True)
                for edge in self._steps(start, end)
            )
            for edge, count in uses.items():
                uses[edge] = 2 - count % 2
            values[self._place[[node for edge in uses for node in edge if node != block.root]]] = (
                1.0
            )
            own[:] = block.encode(uses)
        return values

    def _steps(self, start: int, end: int) -> list[tuple[int, int]]:
        """The edges of a shortest path, smaller node first."""
        steps = []
        while end != start:
            before = int(self._before[start, end])
            steps.append((min(before, end), max(before, end)))
            end = before
        return steps

    def fill(self, order: Sequence[int] | Indices, start: Action | None = None) -> Action:
        """Take components in the given order while feasible; those that the walk passes anyway are
        free.
        """
        action = np.zeros(self.size, np.int8) if start is None else start.copy()
        taken, passed = int(action.sum()), np.zeros(self.size, bool)
        passed[self._source] = True
        for component in order:
            if taken >= self.most:
                break
            if action[component]:
                continue
            action[component] = 1
            if not passed[component]:
                values = self.witness(action, exact=False) if self.selectable[component] else None
                if values is None:
                    action[component] = 0
                    continue
                passed[self._nodes] = values[: len(self._nodes)] > 0.5
            taken += 1
        return action

    def route(self, action: Action) -> list[Hashable]:
        """The walk as node labels, from the source back to it; empty for an infeasible action."""
        values = self.witness(action)
        if values is None:
            return []
        over = self._nodes[self._bridged & (values[: len(self._nodes)] > 0.5)].tolist()
        walk = nx.MultiGraph([(int(self._root[node]), node) for node in over] * 2)
        for block, own in self._own(values):
            walk.add_edges_from(block.decode(own))
        if self._source not in walk:
            return [self.source]
        # the solver may leave idle cycles elsewhere: they are no part of the walk
        joined = walk.subgraph(nx.node_connected_component(walk, self._source))
        return [
            self.source,
            *(self.arm_names[v] for _, v in nx.eulerian_circuit(joined, self._source)),
        ]

    def explain(self, action: Action) -> list[dict[str, Any]]:
        """One row per selected arm in the order of the walk: its label and its position in `route`.
        Empty for an infeasible action.
        """
        first: dict[Hashable, int] = {}
        for stop, label in enumerate(self.route(action)):
            first.setdefault(label, stop)
        arms = [self.arm_names[arm] for arm in np.flatnonzero(action).tolist()]
        return (
            [{"arm": label, "stop": first[label]} for label in sorted(arms, key=first.__getitem__)]
            if first
            else []
        )


class _SoFar(ActionSet):
    """A path set with the cuts it has so far, for the search of further ones."""

    def __init__(self, path: Path) -> None:
        self.size, self.path = path.size, path

    def add_constraints(self, program: Program, action: Indices, *, relaxed: bool = False) -> None:
        self.path._add(program, action, relaxed)

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        return self.path.witness(action, exact=exact)

    def explain(self, action: Action) -> list[dict[str, Any]]:
        return self.path.explain(action)


def _check_stations(graph: nx.Graph, arms: Sequence[str], connections: str) -> None:
    """Refuse a graph whose nodes are not the arms.

    Raises:
        DatasetError: names the node or arm.
    """
    nodes = [str(node) for node in graph]
    for name in arms:
        if name not in nodes:
            raise DatasetError(
                f"{connections}: arm '{name}' has no connection: "
                "add one, or remove the arm from the rewards file"
            )
    unknown = next((node for node in nodes if node not in arms), None)
    if unknown is not None:
        raise DatasetError(
            f"{connections}: station '{unknown}' is not an arm of the rewards file: "
            "add it there or remove its connections"
        )


def _add_rows(program: Program, rows: list[Row]) -> None:
    """Rows given as coefficients by column, in one block."""
    columns = np.concatenate([list(coefficients) for coefficients, _, _ in rows]).astype(np.int64)
    values = np.concatenate([list(coefficients.values()) for coefficients, _, _ in rows])
    numbers = np.repeat(np.arange(len(rows)), [len(coefficients) for coefficients, _, _ in rows])
    index, place = np.unique(columns, return_inverse=True)
    matrix = sparse.csr_array((values, (numbers, place)), shape=(len(rows), len(index)))
    program.add_rows(
        (index, matrix), lower=[low for _, low, _ in rows], upper=[high for _, _, high in rows]
    )


def _concatenate(parts: list[Indices]) -> Indices:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _distances(size: int, edges: list[tuple[int, int]]) -> tuple[Floats, NDArray[np.int32]]:
    """Moves between all nodes, and the node before the last on a shortest path."""
    tails, heads = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = sparse.csr_matrix((np.ones(len(edges)), (tails, heads)), shape=(size, size))
    distance, before = csgraph.shortest_path(
        graph, directed=False, unweighted=True, return_predecessors=True
    )
    return distance, before
