"""Priors of arms that borrow from similar arms: nested groups, with strengths from the data.

For each action and state, the distribution of the next state is drawn from top to bottom of a tree:

    everybody        m_0 ~ Dirichlet(1, ..., 1)
    group, level l   m_g ~ Dirichlet(c_l m_parent(g))
    arm              p_j ~ Dirichlet(c_(L+1) m_group(j))
    moves of arm j   n_j ~ Multinomial(p_j)

a hierarchical Dirichlet process over finitely many states (Teh, Jordan, Beal and Blei 2006). In its
restaurant representation a node with counts n and prior a = c m hands

    t(n, a) = a (digamma(n + a) - digamma(a))        (the expected number of tables)

counts to its parent, and the parent's posterior is Dirichlet(prior + sum of t). This is the fixed
point of Minka (2000), "Estimating a Dirichlet distribution". So an arm with a thousand moves does
not outweigh its group: t grows with the logarithm of n where arms differ (c is small), and is n
where they are alike (c is large).

The prior of an arm is the message that its parent sends down the tree: at every level it leaves the
arm's own branch out, so that no move is counted twice. What is not known about the parent widens
the child: if m ~ Dirichlet with C observations and p ~ Dirichlet(c m), a Dirichlet with the
variances of p has strength

    c C / (c + C + 1).

The strengths c maximise the likelihood of each arm's moves under its prior, which the other arms'
moves give (leave one arm out), times a log-normal prior around the `given` strength whose standard
deviation is a factor of exp(1.25). With little data they stay near the given strength.

Moves that are weighted by w (`worldplan.world_models.arms.drift`) vary less than sum(w) whole moves
of the same frequencies do: as (sum(w))^2 / sum(w^2) moves, Kish's effective sample size. The
strengths are estimated from counts of this size; without, weighted clients would seem alike.

An arm with fewer states has the message of its parent without the states that it lacks, and of the
same strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import digamma, gammaln

from worldplan.envs.bandits.arms import states_of
from worldplan.envs.bandits.environment import Floats, Ints

WIDTH = 1.25  # standard deviation of the logarithm of a strength
LARGEST = 6.0  # of the logarithm's distance to the given strength
TOLERANCE = 1e-9  # of the means between two passes
PASSES = 500


@dataclass(frozen=True)
class Borrowed:
    """The prior of every arm, from the other arms.

    Args:
        concentration: (arms, actions, states, states), positive.
        strengths: (levels + 1,) of the groups of each level, and of the arms.
    """

    concentration: Floats
    strengths: Floats


class Tree:
    """Everybody, nested groups, arms.

    Args:
        counts: (arms, actions, states, states) moves, whole or weighted.
        codes: for each level, from the coarsest to the finest, the group 0, 1, ... of each arm,
            (arms,); a group of a level lies in one group of the level above.
        own_states: (arms,) number of states of each arm; None: all have `states`.
        squares: as counts, of weighted moves the sums of their squared weights; None: whole moves.
    """

    def __init__(
        self,
        counts: NDArray[np.generic],
        codes: Sequence[Ints] = (),
        own_states: Ints | None = None,
        squares: Floats | None = None,
    ) -> None:
        self.counts: Floats = np.asarray(counts, dtype=float)
        arms = len(self.counts)
        self._to_estimate = self
        if squares is not None:
            self._to_estimate = Tree(effective(self.counts, squares), codes, own_states)
        self._codes = [np.zeros(arms, np.int64), *(np.asarray(code) for code in codes)]
        self._parents = []  # of the groups of level 1, 2, ..., then of the arms
        for above, code in zip(self._codes, self._codes[1:], strict=False):
            _, first = np.unique(code, return_index=True)
            self._parents.append(above[first])
        self._parents.append(self._codes[-1])
        self._start = self._pooled()
        states = self.counts.shape[-1]
        own = np.full(arms, states) if own_states is None else np.asarray(own_states)
        # arms of one kind have the same group and the same states
        both = np.stack([self._codes[-1], own], axis=1)
        kinds, kind = np.unique(both, axis=0, return_inverse=True)
        self._kind: Ints = kind.ravel()
        self._group_of_kind, self._has = kinds[:, 0], states_of(kinds[:, 1], states)
        # arms of one kind with equal counts hand up the same: each pair is computed once
        cell = self._kind[:, None] * self.counts[0].size + np.arange(self.counts[0].size)
        some = self.counts.reshape(arms, -1) > 0
        pairs = np.stack([cell[some], self.counts.reshape(arms, -1)[some]], axis=1)
        self._pairs, self._place, self._repeats = np.unique(
            pairs, axis=0, return_inverse=True, return_counts=True
        )

    @property
    def levels(self) -> int:
        """Numbers of strengths: one for each level of groups, one for the arms."""
        return len(self._parents)

    def borrow(self, given: float, *, estimate: bool = True) -> Borrowed:
        """The priors of all arms.

        Args:
            given: strength in observations, positive.
            estimate: the strengths from the data; else all are `given`.
        """
        log_given = np.full(self.levels, np.log(given))
        if estimate and self.counts.any():
            log_given = self._to_estimate._estimated(log_given)
        strengths = np.exp(log_given)
        means, nodes = self._fixed_point(strengths, TOLERANCE)
        return Borrowed(self._without_own(strengths, means, nodes), strengths)

    def score(self, strengths: Floats) -> float:
        """Log-likelihood of all arms' moves, each under the prior that the other arms give.

        Args:
            strengths: (levels,).
        """
        means, nodes = self._fixed_point(strengths, 1e-5)
        self._start = means
        return log_evidence(self.counts, self._without_own(strengths, means, nodes))

    def _estimated(self, log_given: Floats) -> Floats:
        """Logarithms of the strengths (levels,)."""

        def loss(log_strengths: Floats) -> float:
            apart = np.clip(log_strengths - log_given, -LARGEST, LARGEST)
            prior = -0.5 * float((apart**2).sum()) / WIDTH**2
            return -prior - self.score(np.exp(log_given + apart))

        steps = np.vstack([np.zeros(self.levels), np.eye(self.levels)])
        options = {"initial_simplex": log_given + steps, "xatol": 0.02, "fatol": 1e-3}
        best = minimize(loss, log_given, method="Nelder-Mead", options=options).x
        return np.asarray(np.clip(best, log_given - LARGEST, log_given + LARGEST))

    def _pooled(self) -> list[Floats]:
        """First means of every node: the frequencies of its arms with one move of each kind."""
        pooled = [self._sum(self.counts, code, 1 + code.max()) + 1.0 for code in self._codes]
        return [table / table.sum(-1, keepdims=True) for table in pooled]

    def _fixed_point(
        self, strengths: Floats, tolerance: float
    ) -> tuple[list[Floats], list[Floats]]:
        """Means of every node above the arms, and the counts that its children hand up.

        Returns:
            Two lists of (nodes, actions, states, states), from everybody to the finest groups.
        """
        means = self._start
        for _ in range(PASSES):
            nodes = self._up(strengths, means)
            after = [(1.0 + nodes[0]) / (1.0 + nodes[0]).sum(-1, keepdims=True)]
            for level in range(1, self.levels):
                prior = strengths[level - 1] * after[level - 1][self._parents[level - 1]]
                total = prior + nodes[level]
                after.append(total / total.sum(-1, keepdims=True))
            change = max(np.abs(a - b).max() for a, b in zip(after, means, strict=True))
            means = after
            if change < tolerance:
                break
        return means, self._up(strengths, means)

    def _up(self, strengths: Floats, means: list[Floats]) -> list[Floats]:
        """The counts that the children of each node hand up, from everybody down."""
        each = self._own(strengths, means)
        cell = self._pairs[:, 0].astype(np.int64)
        size = len(self._group_of_kind) * self.counts[0].size
        sums = np.bincount(cell, each * self._repeats, size).astype(float)
        by_kind = sums.reshape(-1, *self.counts.shape[1:])
        below = self._sum(by_kind, self._group_of_kind, len(means[-1]))
        handed = [below]
        for level in range(self.levels - 2, -1, -1):
            parent = self._parents[level]
            given = tables(below, strengths[level] * means[level][parent])
            below = self._sum(given, parent, len(means[level]))
            handed.insert(0, below)
        return handed

    def _own(self, strengths: Floats, means: list[Floats]) -> Floats:
        """Tables of each distinct pair of cell and count, (pairs,)."""
        prior = strengths[-1] * self._among(means[-1][self._group_of_kind], self._has)
        return tables(self._pairs[:, 1], prior.ravel()[self._pairs[:, 0].astype(np.int64)])

    def _without_own(self, strengths: Floats, means: list[Floats], nodes: list[Floats]) -> Floats:
        """Each arm's prior concentration from the other arms, (arms, actions, states, states)."""
        code = self._codes[-1]
        own = np.zeros_like(self.counts)
        own[self.counts > 0] = self._own(strengths, means)[self._place.ravel()]
        others = [np.maximum(nodes[-1][code] - own, 0.0)]
        for level in range(self.levels - 2, -1, -1):
            fine, coarse = self._codes[level + 1], self._codes[level]
            above = strengths[level] * means[level][coarse]
            own = tables(nodes[level + 1][fine], above)  # of the whole branch, counted below
            others.insert(0, np.maximum(nodes[level][coarse] - own, 0.0))
        prior: Floats = 1.0 + others[0]
        for level, strength in enumerate(strengths):
            size = prior.sum(-1, keepdims=True)
            prior = strength / (strength + size + 1.0) * prior
            if level + 1 < self.levels:
                prior = prior + others[level + 1]
        return self._among(prior, self._has[self._kind])

    @staticmethod
    def _among(table: Floats, has: NDArray[np.bool_]) -> Floats:
        """A table (arms, actions, states, states) without the states that an arm lacks.

        Rows keep their sums.
        """
        if has.all():
            return table
        left = np.where(has[:, None, None, :], table, 0.0)
        scaled: Floats = left * (table.sum(-1, keepdims=True) / left.sum(-1, keepdims=True))
        return scaled

    @staticmethod
    def _sum(table: Floats, code: Ints, count: int) -> Floats:
        """Sums (count, ...) of the rows of a table by their code."""
        total = np.zeros((count, *table.shape[1:]))
        np.add.at(total, code, table)
        return total


def effective(counts: Floats, squares: Floats) -> Floats:
    """Weighted counts (..., states) with each row at its effective size (sum w)^2 / sum w^2.

    Args:
        counts: sums of weights.
        squares: sums of squared weights.
    """
    size, square = counts.sum(-1, keepdims=True), squares.sum(-1, keepdims=True)
    scaled: Floats = counts * np.divide(size, square, out=np.ones_like(size), where=square > 0)
    return scaled


def tables(counts: Floats, prior: Floats) -> Floats:
    """Expected numbers of tables a (digamma(n + a) - digamma(a)), between 0 and n."""
    seated = np.zeros_like(counts)
    some = counts > 0
    n, a = counts[some], np.maximum(prior[some], 1e-12)
    seated[some] = np.minimum(a * (digamma(n + a) - digamma(a)), n)
    return seated


def log_evidence(counts: Floats, prior: Floats) -> float:
    """Log-likelihood of sequences with `counts` (..., states) whose distributions are Dirichlet.

    log Gamma(A) - log Gamma(A + n) + sum of log Gamma(a_t + n_t) - log Gamma(a_t), with A the sum
    of a; summed over all rows. Weighted counts are allowed.
    """
    size, moves = prior.sum(-1), counts.sum(-1)
    some = counts > 0
    rows = (gammaln(size) - gammaln(size + moves)).sum()
    return float(rows + (gammaln(prior[some] + counts[some]) - gammaln(prior[some])).sum())
