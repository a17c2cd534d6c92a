"""What learners of the dynamics share: counts of moves, and a model for each episode."""

from __future__ import annotations

import dataclasses
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from worldplan.envs.bandits.ends import counting
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.envs.episodes import EpisodeStep
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.endless.values import planning_discount
from worldplan.planners.bandits.level_maximiser import EXACT
from worldplan.planners.bandits.observations import steps_left_of
from worldplan.planners.bandits.units import of_counting
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.planners.base import Decision, Planner

TIE = 1e-6  # added to a visit's index, as a share of the range of the rewards


class VisitsTies(WhittlePolicy):
    """The Whittle policy, which visits where the index is zero: there is a move to learn.

    Not of arms that have ended, whose moves nobody sees.
    """

    @property
    def tie(self) -> float:
        """What is added to a visit's index."""
        return TIE * float(np.ptp(self.instance.dynamics.reward))

    def action_values(self, observation: Any) -> Floats:
        values = super().action_values(observation)
        left = steps_left_of(self.instance, observation)
        values[:, 1] += of_counting(np.full(len(values), self.tie), self.instance.late, left)
        return values


class OnlineLearner(Planner):
    """Learns transition probabilities from moves; rewards, feasible set and horizon are known.

    A model is chosen when an episode begins, and the Whittle policy of this model decides to its
    end. The instance's own transition probabilities are never read. Episodes that are played side
    by side share their model, and the learner counts the moves of them all. Moves of an arm after
    its own end are not counted: nobody sees them.

    Without an end there are learning periods in place of episodes, as in Akbarzadeh and Mahajan
    2023: a model is chosen anew when the period is longer than the one before, or when the moves
    from some state of some arm under some action are more than twice those at its beginning. An
    average reward is planned for with a discount of 0.999, for a drawn or optimistic model may have
    no average index.

    Args:
        instance: the programme; of its dynamics only sizes and rewards are used.
        counts: (arms, 2, states, states) moves that were observed before, or their weights; None:
            there are none.
        settings: the solver.
        seed: of the random numbers.

    Attributes:
        counts: (arms, 2, states, states) moves so far.
        model: of the present episode, or None before the first decision.

    Raises:
        ConfigError: several interventions per arm, or counts of another shape.
    """

    policy_class: ClassVar[type[VisitsTies]] = VisitsTies

    def __init__(
        self,
        instance: BanditInstance,
        *,
        counts: Any = None,
        settings: SolverSettings = EXACT,
        seed: int = 0,
    ) -> None:
        checks.of_type(instance, "instance", BanditInstance, remedy="a BanditInstance")
        checks.of_type(settings, "settings", SolverSettings)
        dynamics = instance.dynamics
        if dynamics.effect is not None or dynamics.levels != 2:
            raise ConfigError(
                f"{type(self).__name__} learns arms that are visited or not: for several "
                "interventions per arm choose myopic or fluid"
            )
        self.instance, self._settings = instance, settings
        self._seed = checks.whole_number(seed, "seed", least=0)
        before = np.zeros(dynamics.transition.shape) if counts is None else counts
        shape: Any = ("arms", "levels", "states", "states")
        self._before: Floats = checks.array(before, "counts", shape, error=ConfigError)
        if self._before.shape != dynamics.transition.shape or (self._before < 0).any():
            raise ConfigError(
                f"counts {self._before.shape}: give numbers of moves {dynamics.transition.shape}, "
                "none negative"
            )
        self.reset()

    def reset(self, *, seed: int | None = None) -> None:
        """Forget all moves but those of the constructor.

        Args:
            seed: of the random numbers; None: that of the constructor.
        """
        own = self._seed if seed is None else checks.whole_number(seed, "seed", least=0)
        self._generator = np.random.default_rng(own)
        self.counts: Floats = np.array(self._before, dtype=float)
        self._before_period = 0  # steps of the last learning period of an endless programme
        self._begin()

    def _begin(self) -> None:
        """Begin an episode, or a learning period of an endless programme."""
        self.model: ArmDynamics | None = None
        self._policy: VisitsTies | None = None
        self._period = 0  # steps of the present learning period
        self._known = self.counts.sum(-1)

    def restart(self, begun: np.ndarray) -> None:
        """Begin an episode: its model is chosen when its first decision is due."""
        if np.any(begun):
            self._begin()

    def learn(self, observations: Any, step: EpisodeStep) -> None:
        """Count the moves of all arms in all episodes that are not over.

        Args:
            observations: {"state": (envs, arms)} before the step.
            step: what followed.

        Raises:
            ConfigError: the observations have no states, or an action is of another shape.
            DatasetError: an arm is in a state that it does not have.
        """
        states, shape = self.instance.dynamics.states, (len(step.running), len(self.counts))
        for each in (observations, step.next_observation):
            if not isinstance(each, Mapping) or "state" not in each:
                raise ConfigError(
                    f"observation is {checks.shown(each)}: {type(self).__name__} learns from "
                    "states: give a mapping with 'state' (environments, arms)"
                )
        before, after = (
            checks.whole_numbers(each["state"], "state", shape, least=0, most=states - 1)
            for each in (observations, step.next_observation)
        )
        level = checks.truths(step.action, "action", shape, error=ConfigError).astype(np.int64)
        seen = np.repeat(step.running[:, None], shape[1], axis=1)
        left = observations.get("steps_left", np.full(shape[0], self.instance.horizon))
        counted = counting(self.instance.late, np.asarray(left))
        if counted is not None:
            seen &= counted
        arms = np.broadcast_to(np.arange(shape[1]), shape)
        np.add.at(self.counts, (arms[seen], level[seen], before[seen], after[seen]), 1.0)
        if self.instance.endless:
            self._period += 1
            more = self.counts.sum(-1) > 2 * self._known
            if self._period > self._before_period or more.any():
                self._before_period = self._period
                self._begin()

    def plan(self, observation: Any) -> Decision:
        decision = self._policy_of_episode().plan(observation)
        self.decided(observation, decision)
        return decision

    def action_values(self, observation: Any) -> Floats:
        """Zero and the Whittle index in the episode's model, (arms, 2)."""
        return self._policy_of_episode().action_values(observation)

    def decided(self, observation: Any, decision: Decision) -> None:  # noqa: B027  # optional
        """Called after each decision; for what a method keeps of it."""

    @abstractmethod
    def choose_model(self) -> Floats:
        """Transition probabilities (arms, 2, states, states) for the next episode."""

    def _policy_of_episode(self) -> VisitsTies:
        """The Whittle policy of the episode's model; chooses the model in the first step."""
        if self._policy is None:
            transition = self.choose_model()
            self.model = dataclasses.replace(self.instance.dynamics, transition=transition)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a drawn model may well not be indexable
                discount = planning_discount(self.instance.discount)
                self._policy = self.policy_class(
                    self.instance,
                    dynamics=self.model,
                    discount=discount if self.instance.endless else None,
                    settings=self._settings,
                )
        return self._policy
