"""How uncertain a visit's benefit is where the dynamics were learned from a log.

With the distribution b of today's state, transition matrices P_0 (no visit) and P_1, and the worth
v of tomorrow's states, the benefit of a visit is b (P_1 - P_0) v; where v depends on the action and
on today's state too, it is the mean of v over the moves of each action. The rows of P are drawn
from their Dirichlet posterior; b and v are held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from worldplan.envs.bandits.environment import Floats, Ints
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.planners.bandits.reasons.results import Reasons
from worldplan.planners.bandits.reasons.valuation import Valuation
from worldplan.world_models.arms.dynamics import ArmPosterior

LEVEL = 0.9
DRAWS = 1000
BLOCK = 2**23  # numbers that are drawn at once


def benefit_intervals(
    posterior: ArmPosterior, belief: Floats, worth: Floats, arms: Ints
) -> tuple[Floats, Floats]:
    """Lower and upper ends of the central 90 % intervals of the benefits of visits, (n,) each.

    Args:
        posterior: of the dynamics.
        belief: (all arms, states) distribution of today's states.
        worth: (all arms, states) of tomorrow's states, or of each move as `Valuation.worth`.
        arms: (n,) numbers of the arms.
    """
    worth = worth if worth.ndim == 4 else worth[:, None, None, :]
    generator = np.random.default_rng(0)
    per_arm = DRAWS * int(np.prod(posterior.concentration.shape[1:]))
    low, high = np.zeros(len(arms)), np.zeros(len(arms))
    for part in np.array_split(np.arange(len(arms)), 1 + len(arms) * per_arm // BLOCK):
        block = arms[part]
        shape = (DRAWS, *posterior.concentration[block].shape)
        moves = generator.standard_gamma(posterior.concentration[block], size=shape) + 1e-300
        moves /= moves.sum(-1, keepdims=True)
        value = np.broadcast_to(worth[block], moves.shape[1:])
        values = np.einsum("js,mjkst,jkst->mjk", belief[block], moves, value, optimize=True)
        ends = np.quantile(values[..., 1] - values[..., 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], 0)
        low[part], high[part] = ends
    return low, high


def with_intervals(
    reasons: Reasons,
    names: Sequence[str],
    posterior: ArmPosterior,
    belief: Floats,
    valuation: Valuation,
) -> Reasons:
    """The reasons with the intervals of `benefit_intervals` for each arm that they name.

    Args:
        reasons: of the arms `names`.
        names: of all arms.
        posterior: as there.
        belief: as there.
        valuation: what the planner maximises.

    Raises:
        ConfigError: the posterior is of another type, or has other arms or states.
    """
    checks.of_type(posterior, "posterior", ArmPosterior, remedy="an ArmPosterior")
    if posterior.reward.shape != belief.shape:
        raise ConfigError(
            f"posterior is of (arms, states) {posterior.reward.shape}, the programme has "
            f"{belief.shape}: give the posterior of its log"
        )
    if valuation.worth is None or valuation.gains is None:
        sentence = "intervals of benefits: they are no expected worth of tomorrow's states"
        return replace(reasons, left_out=(*reasons.left_out, sentence))
    number = {name: arm for arm, name in enumerate(names)}
    whys = (*reasons.chosen, *reasons.not_chosen)
    arms = np.array([number[why.name] for why in whys], np.int64)
    ends = benefit_intervals(posterior, belief, valuation.worth, arms)
    full = tuple(
        replace(why, benefit_low=float(low), benefit_high=float(high))
        for why, low, high in zip(whys, *ends, strict=True)
    )
    count = len(reasons.chosen)
    return replace(reasons, chosen=full[:count], not_chosen=full[count:])
