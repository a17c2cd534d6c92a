"""A biconnected block of a graph as chains between junctions: a part of the path model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from worldplan.milp.program import Floats, Indices, Program

Edge = tuple[int, int]
Row = tuple[dict[int, float], float, float]  # coefficients by column, lower and upper bound
PARITY_DEGREE = 6  # a junction of more chains has an integer column instead of parity facets


@dataclass
class Block:
    """A biconnected block, cut into chains; a walk enters and leaves it through `root`.

    A chain is a path between two junctions (the root and nodes of degree 3 or more) whose inner
    nodes have degree 2. A shortest closed walk uses a chain in one of these ways: once from end to
    end (`through`), twice (`double`), or as dead ends, out and back from its first junction
    (`ahead`) and from its last (`back`).

    The columns are, in this order: `through` and `double` of each chain; `ahead` and `back` of each
    inner node; the flow along each chain in both directions; and, for each crowded junction, half
    the number of its `through` chains.

    Args:
        root: the node nearest to the source of the walk.
        nodes: the block's nodes without the root.
        chains: nodes from junction to junction.
        junctions: without the root.
        cuts: (chains into a part of the block without the root, a junction in that part).
    """

    root: int
    nodes: list[int]
    chains: list[list[int]]
    junctions: list[int]
    cuts: list[tuple[list[int], int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        stems = [len(chain) - 2 for chain in self.chains]
        self.stem_start = np.concatenate([[0], np.cumsum(stems)]).astype(int)
        self.crowded = [v for v in self.junctions if len(self.at(v)) > PARITY_DEGREE]
        chains, inner = len(self.chains), int(self.stem_start[-1])
        self.starts = np.cumsum(
            [0, chains, chains, inner, inner, 2 * chains, len(self.crowded)]
        ).tolist()
        self.width = self.starts[-1]

    def at(self, junction: int) -> list[int]:
        """Numbers of the chains that end at a junction (only the root has loops)."""
        return [k for k, chain in enumerate(self.chains) if junction in (chain[0], chain[-1])]

    def columns(self, program: Program, *, relaxed: bool) -> Indices:
        """Add this block's columns; returns their numbers (width,)."""
        chains, inner = len(self.chains), int(self.stem_start[-1])
        loops = np.array([chain[0] == chain[-1] for chain in self.chains])
        most = float(len(self.junctions))
        return np.concatenate(
            [
                program.add_columns(chains, 0.0, 1.0, integer=not relaxed),
                program.add_columns(chains, 0.0, np.where(loops, 0.0, 1.0), integer=not relaxed),
                program.add_columns(2 * inner, 0.0, 1.0, integer=not relaxed),
                program.add_columns(2 * chains, 0.0, most),
                program.add_columns(len(self.crowded), 0.0, chains, integer=not relaxed),
            ]
        )

    def moves(self) -> Floats:
        """Moves per unit of each column, (width,)."""
        lengths = np.array([len(chain) - 1.0 for chain in self.chains])
        result = np.zeros(self.width)
        result[: self.starts[2]] = np.concatenate([lengths, 2 * lengths])
        result[self.starts[2] : self.starts[4]] = 2.0
        return result

    def rows(self, own: Indices, visited: dict[int, int]) -> list[Row]:
        """The constraints of this block's columns and the nodes' visits.

        Args:
            own: (width,) numbers of the block's columns.
            visited: column of each node; a node without a column is always visited.
        """
        through, double, ahead, back, flow, halves = (
            own[a:b].tolist() for a, b in zip(self.starts, self.starts[1:], strict=False)
        )
        rows: list[Row] = []
        for k, chain in enumerate(self.chains):
            first, size = int(self.stem_start[k]), len(chain) - 2
            whole = {through[k]: 1.0, double[k]: 1.0}
            for end, stem in (
                (chain[0], ahead[first] if size else None),
                (chain[-1], back[first + size - 1] if size else None),
            ):
                used = whole if stem is None else whole | {stem: 1.0}
                rows.append(_at_most_visit(used, visited.get(end)))
            for i in range(size):
                rows.append(
                    (
                        {visited[chain[i + 1]]: -1.0, ahead[first + i]: 1.0, back[first + i]: 1.0}
                        | whole,
                        0.0,
                        np.inf,
                    )
                )
            for i in range(size - 1):
                rows.append(({ahead[first + i]: 1.0, ahead[first + i + 1]: -1.0}, 0.0, np.inf))
                rows.append(({back[first + i + 1]: 1.0, back[first + i]: -1.0}, 0.0, np.inf))
            for direction in (0, 1):
                carries = {flow[2 * k + direction]: 1.0}
                rows.append(
                    (carries | dict.fromkeys(whole, -float(len(self.junctions))), -np.inf, 0.0)
                )
        for junction in self.junctions:
            here = self.at(junction)
            rows.append(self._reach(here, through, double, visited[junction]))
            rows.extend(
                self._parity(
                    here,
                    through,
                    halves[self.crowded.index(junction)] if junction in self.crowded else None,
                )
            )
            net = {visited[junction]: -1.0}
            for k in here:
                into = 0 if self.chains[k][-1] == junction else 1
                net |= {flow[2 * k + into]: 1.0, flow[2 * k + 1 - into]: -1.0}
            rows.append((net, 0.0, 0.0))
        return rows + [
            self._reach(crossing, through, double, visited[node]) for crossing, node in self.cuts
        ]

    @staticmethod
    def _reach(crossing: Sequence[int], through: list[int], double: list[int], visit: int) -> Row:
        """A visited node is entered and left across each cut that separates it from the root."""
        return (
            {visit: -2.0}
            | {through[k]: 1.0 for k in crossing}
            | {double[k]: 2.0 for k in crossing},
            0.0,
            np.inf,
        )

    @staticmethod
    def _parity(here: list[int], through: list[int], half: int | None) -> list[Row]:
        """An even number of a junction's chains is used once.

        By the facets of the parity polytope (Jeroslow 1975), or by the integer column `half`.
        """
        if half is not None:
            return [({half: -2.0} | {through[k]: 1.0 for k in here}, 0.0, 0.0)]
        odd = [
            chosen for count in range(1, len(here) + 1, 2) for chosen in combinations(here, count)
        ]
        return [
            ({through[k]: 1.0 if k in chosen else -1.0 for k in here}, -np.inf, len(chosen) - 1.0)
            for chosen in odd
        ]

    def separate(self, own: Floats, visits: dict[int, float]) -> int:
        """Add the cuts that a relaxed solution violates; returns how many.

        Separated by minimum cuts between the root and each visited junction.

        Args:
            own: (width,) values of the block's columns.
            visits: value of each node's visit.
        """
        places = {node: place for place, node in enumerate([self.root, *self.junctions])}
        chains, scale, added = len(self.chains), 10_000, 0
        strength = np.rint(scale * (own[:chains] / 2 + own[chains : 2 * chains])).astype(np.int32)
        ends = np.array([(places[chain[0]], places[chain[-1]]) for chain in self.chains])
        tails, heads = np.concatenate([ends, ends[:, ::-1]]).T
        kept = tails != heads
        graph = sparse.coo_matrix(
            (np.tile(strength, 2)[kept], (tails[kept], heads[kept])), shape=(len(places),) * 2
        ).tocsr()
        covered: NDArray[np.bool_] = np.zeros(len(places), bool)
        for node in sorted(self.junctions, key=lambda node: -visits[node]):
            if visits[node] < 0.01 or covered[places[node]]:
                continue
            result = csgraph.maximum_flow(graph, 0, places[node])
            if result.flow_value > (visits[node] - 0.01) * scale:
                continue
            residual = sparse.csr_matrix(graph - result.flow)
            residual.data = np.maximum(residual.data, 0)
            residual.eliminate_zeros()
            inside = np.ones(len(places), bool)
            inside[csgraph.breadth_first_order(residual, 0, return_predecessors=False)] = False
            covered |= inside
            cut = (np.flatnonzero(inside[ends[:, 0]] != inside[ends[:, 1]]).tolist(), node)
            if cut not in self.cuts:
                self.cuts.append(cut)
                added += 1
        return added

    def encode(self, uses: Counter[Edge]) -> Floats:
        """Values (width,) of the block's columns for a closed walk through the root.

        Args:
            uses: how often the walk uses each undirected edge (u, v), u < v.
        """
        values = np.zeros(self.width)
        through, double, ahead, back, flow, halves = (
            values[a:b] for a, b in zip(self.starts, self.starts[1:], strict=False)
        )
        links = nx.Graph()
        links.add_node(self.root)
        for k, chain in enumerate(self.chains):
            counts = [uses[edge] for edge in chain_edges(chain)]
            first, size = int(self.stem_start[k]), len(chain) - 2
            if counts[0] % 2:  # inner nodes have even degree, so all counts are odd
                through[k] = 1.0
            elif all(counts) and chain[0] != chain[-1]:
                double[k] = 1.0
            else:
                # of a loop that is walked twice, the last edge is left out
                gap = counts.index(0) if 0 in counts else size
                ahead[first : first + gap] = 1.0
                behind = counts[::-1].index(0) if 0 in counts else 0
                back[first + size - behind : first + size] = 1.0
            if through[k] or double[k]:
                links.add_edge(chain[0], chain[-1], chain=k)
        below = dict.fromkeys(links, 1.0)
        for u, v in reversed(list(nx.bfs_edges(links, self.root))):
            k = links.edges[u, v]["chain"]
            flow[2 * k + (0 if self.chains[k][-1] == v else 1)] = below[v]
            below[u] += below[v]
        halves[:] = [through[self.at(node)].sum() / 2 for node in self.crowded]
        return values

    def decode(self, own: Floats) -> list[Edge]:
        """The undirected edges of the walk, with repetitions, from column values (width,)."""
        through, double, ahead, back = (
            own[a:b] > 0.5 for a, b in zip(self.starts[:4], self.starts[1:5], strict=True)
        )
        edges: list[Edge] = []
        for k, chain in enumerate(self.chains):
            along, first, size = chain_edges(chain), int(self.stem_start[k]), len(chain) - 2
            edges += along * (int(through[k]) + 2 * int(double[k]))
            edges += [
                edge
                for edge, used in zip(along[:-1], ahead[first : first + size], strict=True)
                if used
            ] * 2
            edges += [
                edge
                for edge, used in zip(along[1:], back[first : first + size], strict=True)
                if used
            ] * 2
        return edges


def chain_edges(chain: list[int]) -> list[Edge]:
    """The edges of a chain in order, each with its smaller node first."""
    return [(min(u, v), max(u, v)) for u, v in zip(chain, chain[1:], strict=False)]


def cut_into_chains(graph: nx.Graph, root: int) -> Block:
    """The block of a biconnected graph of three nodes or more."""
    junctions = [node for node in sorted(graph) if node == root or graph.degree(node) > 2]
    chains = []
    for start in junctions:
        for node in sorted(graph[start]):
            chain = [start, node]
            while chain[-1] not in junctions:
                chain.append(next(after for after in graph[chain[-1]] if after != chain[-2]))
            if (
                chain <= chain[::-1]
            ):  # each chain occurs from both ends, each loop in two directions
                chains.append(chain)
    return Block(
        root,
        [node for node in sorted(graph) if node != root],
        chains,
        [node for node in junctions if node != root],
    )


def add_rows(program: Program, rows: list[Row]) -> None:
    """Add rows that are given as coefficients by column."""
    columns = np.concatenate([list(coefficients) for coefficients, _, _ in rows]).astype(np.int64)
    values = np.concatenate([list(coefficients.values()) for coefficients, _, _ in rows])
    numbers = np.repeat(np.arange(len(rows)), [len(coefficients) for coefficients, _, _ in rows])
    index, place = np.unique(columns, return_inverse=True)
    matrix = sparse.csr_array((values, (numbers, place)), shape=(len(rows), len(index)))
    program.add_rows(
        (index, matrix), lower=[low for _, low, _ in rows], upper=[high for _, _, high in rows]
    )


def _at_most_visit(used: dict[int, float], visit: int | None) -> Row:
    return (dict(used), -np.inf, 1.0) if visit is None else (used | {visit: -1.0}, -np.inf, 0.0)
