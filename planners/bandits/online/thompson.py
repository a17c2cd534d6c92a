"""Thompson sampling of the dynamics, an episode at a time.

When an episode begins, transition probabilities are drawn from the posterior

    P(s, a, .) ~ Dirichlet(prior(s, a, .) + n(s, a, .)),

with n the moves so far, independently for each arm, action and state; the Whittle policy of the
draw decides to the episode's end. Episodic Thompson sampling for restless bandits with a policy
mapping: Jung and Tewari 2019 (NeurIPS), whose Bayesian regret against the mapping's policy for the
true dynamics grows as sqrt(T) in T episodes, up to logarithms. With the Whittle policy as mapping:
Akbarzadeh and Mahajan 2023, "On learning Whittle index policy for restless bandits with scalable
regret", whose episodes have lengths of their own for an average reward; here they are the
programme's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldplan.envs.bandits.environment import BanditInstance, Floats
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.level_maximiser import EXACT
from worldplan.planners.bandits.online.learner import OnlineLearner


class ThompsonSampling(OnlineLearner):
    """The Whittle policy of one posterior sample in each episode.

    Args:
        instance: as in `OnlineLearner`.
        prior: (arms, 2, states, states) Dirichlet parameters, or what broadcasts to them; 1, all
            distributions alike, unless given. A posterior of a log continues it.
        settings: the solver.
        seed: of the samples.

    Raises:
        ConfigError: several interventions per arm, or a prior that is not positive.
    """

    def __init__(
        self,
        instance: BanditInstance,
        *,
        prior: Any = 1.0,
        settings: SolverSettings = EXACT,
        seed: int = 0,
    ) -> None:
        super().__init__(instance, settings=settings, seed=seed)
        given = np.asarray(prior)
        if given.dtype.kind not in "iuf" or not np.isfinite(given).all():
            raise ConfigError(f"prior is {checks.shown(prior)}: give positive numbers")
        try:
            whole = np.broadcast_to(given.astype(float), self.counts.shape)
        except ValueError as error:
            raise ConfigError(
                f"prior has shape {given.shape}: give one of {self.counts.shape}, or a number"
            ) from error
        self._own = np.broadcast_to(instance.dynamics.exists[:, None, None, :], whole.shape)
        if not (whole[self._own] > 0).all():
            raise ConfigError(f"prior is {checks.shown(prior)}: give positive numbers")
        self._prior: Floats = np.where(self._own, whole, 0.0)

    def choose_model(self) -> Floats:
        draws = self._generator.standard_gamma(self._prior + self.counts) + 1e-300 * self._own
        transition: Floats = draws / draws.sum(-1, keepdims=True)
        return transition
