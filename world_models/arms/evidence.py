"""The posterior of the dynamics from a log, and how much of each estimate is the arm's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from worldplan.envs.bandits.environment import Floats, Ints
from worldplan.world_models.arms.clients import Clients, with_newcomers
from worldplan.world_models.arms.dynamics import ArmLog, ArmPosterior
from worldplan.world_models.arms.groups import Tree


@dataclass(frozen=True)
class Evidence:
    """What stands behind the estimated distributions of next states.

    Args:
        own: (arms, actions, states) moves of the arm itself, as they count by their age.
        borrowed: (arms, actions, states) moves that the prior counts for.
        groups: (arms,) whom each arm borrows from, in words; empty: from all arms alike.
        strengths: of the arms' resemblance by what they share, in moves; empty: as given.
        newcomers: arms without rewards of their own, and whose mean they have.
    """

    own: Floats
    borrowed: Floats
    groups: tuple[str, ...] = ()
    strengths: Mapping[str, float] = field(default_factory=dict)
    newcomers: Mapping[str, str] = field(default_factory=dict)

    def reordered(self, places: Sequence[int]) -> Evidence:
        """The arms `places` in this order."""
        groups = tuple(self.groups[place] for place in places) if self.groups else ()
        own, borrowed = self.own[list(places)], self.borrowed[list(places)]
        return replace(self, own=own, borrowed=borrowed, groups=groups)

    def share(self, weight: Floats) -> Floats:
        """Share of own moves in the estimates, (arms, actions), from 0 to 1.

        Args:
            weight: (arms, states) of the states from which moves count.
        """
        own = (self.own * weight[:, None]).sum(-1)
        share: Floats = own / (own + (self.borrowed * weight[:, None]).sum(-1))
        return share


@dataclass(frozen=True)
class Learned:
    """Args:
    posterior: of the dynamics.
    moves: (arms, actions, states, states) observed.
    evidence: behind the posterior.
    weighted: the moves as they count by their age; None: each counts for one.
    """

    posterior: ArmPosterior
    moves: Ints
    evidence: Evidence
    weighted: Floats | None = None


def learn(log: ArmLog, clients: Clients, prior_strength: float, *, estimate: bool) -> Learned:
    """The posterior of all clients' dynamics.

    Without groups and estimate the prior is the one of `ArmLog.posterior`.

    Args:
        log: observed moves; clients who are not in it have none.
        clients: with their groups.
        prior_strength: moves that a prior counts for, where they are not estimated, and the
            estimates' prior guess.
        estimate: the strengths from the log.

    Raises:
        ConfigError: the strength is not positive and finite.
    """
    moves = with_newcomers(clients, log.counts, log.arm_names)
    weighted, squares = (
        table if table is None else with_newcomers(clients, table, log.arm_names)
        for table in (log.weights, log.squares)
    )
    whole = ArmLog(
        moves, clients.reward, clients.names, clients.action_reward, clients.own_states, weighted
    )
    posterior = whole.posterior(prior_strength)
    strengths: dict[str, float] = {}
    if clients.columns or estimate:
        tree = Tree(whole.effective, clients.codes, clients.own_states, squares)
        borrowed = tree.borrow(prior_strength, estimate=estimate)
        posterior = whole.posterior(concentration=borrowed.concentration)
        levels = [f"groups by {column}" for column in clients.columns]
        levels.append("clients of one group" if clients.columns else "clients")
        strengths = dict(zip(levels, borrowed.strengths.tolist(), strict=True))
    own = whole.effective.sum(-1)
    evidence = Evidence(
        own,
        posterior.concentration.sum(-1) - own,
        tuple(clients.label(arm) for arm in range(len(clients.names))) if clients.columns else (),
        strengths if estimate else {},
        clients.newcomers,
    )
    return Learned(posterior, moves, evidence, weighted)
