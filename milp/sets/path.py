"""A route on a graph: the selected arms lie on one closed walk of limited length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, InfeasibleActionSet
from worldplan.milp.program import Floats, Indices, Program
from worldplan.milp.sets.base import Action, ActionSet, check_size
from worldplan.milp.sets.linear_problem import LinearProblem
from worldplan.milp.sets.routes.chains import Block, Row, add_rows, cut_into_chains
from worldplan.milp.sets.routes.cuts import separate_cuts
from worldplan.milp.sets.routes.graph import (
    check_source,
    check_stations,
    label_of,
    named_hint,
    read_graph,
)
from worldplan.milp.sets.routes.tours import closed_tour, least_tour, shortest_paths
from worldplan.milp.sets.source import SetContext, naming_files

EXACT_TERMINALS = 12  # nodes of a block up to which the shortest tour is computed (Held-Karp)


@dataclass
class Path(ActionSet):
    """Actions whose arms lie on a closed walk of at most `moves` moves through `source`.

    Path-constrained coRMAB of SEQUOIA (Xu et al., ICLR 2025). The paper unrolls the walk over time,
    with one binary per (edge, time). Here the model has no time: a multigraph consists of the edges
    of a closed walk if and only if it is connected and has even degrees (Euler). Removing two
    copies of an edge that is used three times or more preserves both. So each edge is used 0, 1 or
    2 times.

    A closed walk passes each biconnected block of the graph as a closed walk through the block's
    root (its node nearest to the source), so the model separates into blocks:

    * A block of one edge, a bridge, is used twice if and only if its far node is visited. Most
      edges of a transport network are bridges.
    * A larger block is cut into chains between junctions (`routes.chains.Block`). Its columns say
      which chains are used once, twice or as dead ends. At each junction an even number of chains
      is used once. A flow from the root ensures connection.

    The relaxation of the flow is weak. Cuts tighten it: for a set S of nodes without the root and v
    in S,

        sum over the chains into S of (once + 2 * twice) >= 2 * visited(v).

    They are valid for every objective. They are separated at relaxed optima for random objectives
    when the constraints are first written, and belong to the set from then on.

    Args:
        graph: undirected, connected; its nodes are the arms, in the order of `graph.nodes`.
        source: the node where the walk starts and ends; its arm may always be selected.
        moves: most edges of the walk.
        budget: most arms.

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
        checks.of_type(self.graph, "graph", nx.Graph, error=InfeasibleActionSet)
        self.graph = nx.freeze(self.graph.copy())  # a caller's later changes do not count
        self.size = len(self.graph)
        check_size(self.size, "the graph")
        self.arm_names = list(self.graph.nodes)
        check_source(self.graph, self.source)
        for name, value in (("moves", self.moves), ("budget", self.budget)):
            checks.whole_number(value, name, least=0, error=InfeasibleActionSet)
        numbered = nx.Graph(nx.convert_node_labels_to_integers(self.graph))
        edges = [(u, v) for u, v in numbered.edges if u != v]
        self._source = self.arm_names.index(self.source)
        away = shortest_paths(self.size, edges)[0][self._source]
        if np.isinf(away).any():
            label = self.arm_names[int(np.flatnonzero(np.isinf(away))[0])]
            raise InfeasibleActionSet(
                f"station {label!r} cannot be reached from the source {self.source!r}: "
                "join it or remove it"
            )
        self.selectable = 2 * away <= self.moves
        self.most = min(self.budget, int(self.selectable.sum()), max(1, self.moves))
        usable = [(u, v) for u, v in edges if away[u] + 1 + away[v] <= self.moves]
        self._distance, self._before = shortest_paths(self.size, usable)
        self._split(usable, away)

    @classmethod
    def from_files(cls, context: SetContext) -> Self:
        """From `constraint.connections` and `stations` (see `read_graph`); nodes are arms.

        Components have the order of the rewards file, not that of the connections.

        Also read: `constraint.source`, `budget`, and `moves` (twice the budget if 0).

        Raises:
            ConfigError: a setting is missing, or the budget is below 1.
            DatasetError: a file is malformed, or its stations are not the arms.
            InfeasibleActionSet: the graph is disconnected, or the source is no id of a station.
        """
        connections, settings = context.file("connections"), context.settings
        stations = context.find(settings.stations) if settings.stations is not None else None
        with naming_files(connections, errors=(InfeasibleActionSet,)):
            graph = read_graph(connections, stations)
            check_stations(graph, context.arms, connections)
            if settings.source is None:
                raise ConfigError(
                    "constraint.source is missing: give the id of the station where the route "
                    "starts and ends"
                )
            if settings.source not in graph:
                raise InfeasibleActionSet(
                    f"source '{settings.source}' is not a node of the graph"
                    f"{named_hint(graph, settings.source)}: give the id of a station"
                )
            budget = context.budget()
            ordered = nx.Graph()  # component j is arm j of the rewards file, for rules too
            ordered.add_nodes_from((name, graph.nodes[name]) for name in context.arms)
            ordered.add_edges_from(graph.edges)
            return cls(ordered, settings.source, moves=settings.moves or 2 * budget, budget=budget)

    def _split(self, edges: list[tuple[int, int]], away: Floats) -> None:
        """Split the graph into bridges and larger blocks.

        Each node but the source is a non-root node of exactly one of them.

        Args:
            edges: those that a walk can reach.
            away: (nodes,) moves from the source.
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
        _ = self._cuts  # separates them on first use
        self.add_with_cuts(program, action, relaxed)

    def add_with_cuts(self, program: Program, action: Indices, relaxed: bool) -> None:
        """Add the columns and rows, with the cuts that were separated so far.

        The auxiliary columns are: whether each node is visited (integer behind a bridge only), then
        the columns of each block.
        """
        columns = (
            program.add_columns(1, 0.0, 1.0, integer=bool(bridged) and not relaxed)
            for bridged in self._bridged
        )
        visited = np.concatenate([np.zeros(0, np.int64), *columns])
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
        add_rows(program, rows)

    @cached_property
    def _cuts(self) -> int:
        """Separate the blocks' cuts, once; their number."""
        return separate_cuts(self, self._blocks, self._nodes.tolist(), self._own)

    def _own(self, values: Floats) -> list[tuple[Block, Floats]]:
        """Each block with its part of the auxiliary values (columns,)."""
        return [
            (block, values[a:b])
            for block, a, b in zip(self._blocks, self._starts, self._starts[1:], strict=False)
        ]

    # ---- the check

    def witness(self, action: Action, *, exact: bool = True) -> Floats | None:
        """Auxiliary columns of a short enough walk through the arms of `action` (size,), or None.

        The walk uses bridges twice, and in each larger block a tour of the nodes needed there: by
        insertion and 2-opt, then by Held-Karp if that is too long. With more than
        `EXACT_TERMINALS` needed nodes in a block, an exact check is left to the solver.
        """
        arms = np.flatnonzero(action)
        if len(arms) > self.budget or not self.selectable[arms].all():
            return None
        needed = self._closure(arms.tolist())
        on_bridges, stops = self._stops(needed)
        left = self.moves - on_bridges
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

    def _stops(self, needed: set[int]) -> tuple[int, list[tuple[Block, list[int]]]]:
        """Moves over bridges to the nodes of a closure, and its nodes in each larger block, after
        the block's root.
        """
        terminals: list[list[int]] = [[] for _ in self._blocks]
        moves = 0
        for node in sorted(needed):
            if self._block_of[node] < 0:
                moves += 2
            else:
                terminals[self._block_of[node]].append(node)
        pairs = zip(self._blocks, terminals, strict=True)
        return moves, [(block, [block.root, *ends]) for block, ends in pairs if ends]

    def least_moves(self, arms: Sequence[int] | Indices) -> float:
        """A lower bound of the moves of a walk through `arms`, infinite if one is too far away; the
        number of moves where no block has more than `EXACT_TERMINALS` nodes that are needed.
        """
        chosen = np.asarray(arms, np.int64)
        if not self.selectable[chosen].all():
            return np.inf
        moves, stops = self._stops(self._closure(chosen.tolist()))
        tables = (self._distance[np.ix_(ends, ends)] for _, ends in stops)
        return moves + sum(least_tour(table, EXACT_TERMINALS) for table in tables)

    def _closure(self, nodes: Iterable[int]) -> set[int]:
        """The nodes and the block roots on the way to them, without the source."""
        closure: set[int] = set()
        for node in nodes:
            while node != self._source and node not in closure:
                closure.add(node)
                node = int(self._root[node])
        return closure

    def _values(self, needed: set[int], tours: list[tuple[Block, list[int]]]) -> Floats:
        """Auxiliary values (columns,) of a walk.

        Args:
            needed: nodes to visit.
            tours: of the larger blocks, as lists of nodes from the block's root.
        """
        values = np.zeros(self._starts[-1])
        values[self._place[list(needed)]] = 1.0
        for block, own in self._own(values):
            order = next((order for toured, order in tours if toured is block), [])
            uses = Counter(
                edge
                for start, end in zip(order, order[1:] + order[:1], strict=True)
                for edge in self._steps(start, end)
            )
            for edge, count in uses.items():
                uses[edge] = 2 - count % 2
            nodes = [node for edge in uses for node in edge if node != block.root]
            values[self._place[nodes]] = 1.0
            own[:] = block.encode(uses)
        return values

    def _steps(self, start: int, end: int) -> list[tuple[int, int]]:
        """The edges of a shortest path, each with its smaller node first."""
        steps = []
        while end != start:
            before = int(self._before[start, end])
            steps.append((min(before, end), max(before, end)))
            end = before
        return steps

    def fill(self, order: Sequence[int] | Indices, start: Action | None = None) -> Action:
        """As `ActionSet.fill`: (n,) components into an action (size,).

        Nodes that the walk passes anyway are added without a check.
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
        """The walk's nodes from the source back to it for `action` (size,); none if infeasible."""
        values = self.witness(action)
        if values is None:
            return []
        bridged = self._nodes[self._bridged & (values[: len(self._nodes)] > 0.5)].tolist()
        walk = nx.MultiGraph([(int(self._root[node]), node) for node in bridged] * 2)
        for block, own in self._own(values):
            walk.add_edges_from(block.decode(own))
        if self._source not in walk:
            return [self.source]
        # a solver's solution may have further cycles, which are not connected to the walk
        connected = walk.subgraph(nx.node_connected_component(walk, self._source))
        circuit = nx.eulerian_circuit(connected, self._source)
        return [self.source, *(self.arm_names[node] for _, node in circuit)]

    def explain(self, action: Action) -> list[dict[str, Any]]:
        """A row per arm in `action` (size,) in the order of the walk: its first place in `route`.

        Stations that have a name show it. No rows for an infeasible action.
        """
        first: dict[Hashable, int] = {}
        for stop, node in enumerate(self.route(action)):
            first.setdefault(node, stop)
        if not first:
            return []
        arms = [self.arm_names[arm] for arm in np.flatnonzero(action).tolist()]
        return [self._row(arm, first[arm]) for arm in sorted(arms, key=first.__getitem__)]

    def _row(self, arm: Hashable, stop: int) -> dict[str, Any]:
        name = {"station": label_of(self.graph, arm)} if "name" in self.graph.nodes[arm] else {}
        return {"arm": arm, **name, "stop": stop}
