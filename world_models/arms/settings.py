"""Settings of a programme, and what is refused before any file is read."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from worldplan.envs.bandits.domains import DOMAINS
from worldplan.envs.bandits.seen import SEEN
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.limits import refuse_absurd
from worldplan.milp.sets.source import Constraint
from worldplan.milp.settings_check import check_fields
from worldplan.world_models.arms.drift import HalfLife

MOST_VARIABLES = 2_000_000  # of the fluid program; solvers need hours and gigabytes above it
MOST_PRICED = 200_000_000  # where prices replace the program: a plain budget and many arms
ENDLESS_STEPS = 10  # of the fluid program of a programme without an end
BORROW = ("estimated", "fixed", "auto")
OF_LOGS = ("groups", "borrow", "members", "prior_strength", "half_life")
OF_OWN_DATA = ("rewards", "own_states", "visit_costs", "ends", "start")
OF_DOMAINS = ("arms", "budget", "states", "connections", "stations", "centre")
NAMESAKES = ("budget", "connections", "stations")


@dataclass(frozen=True)
class Programme:
    """What is planned for.

    Args:
        domain: generate this domain of the paper ("capacity", "schedule", "path", "interventions",
            "budget"); leave empty to read `transitions` or `log`.
        arms, budget, states, seed: of the generated instance (see
            `worldplan.envs.bandits.domains.generate`).
        horizon: steps of an episode; of an endless programme, those that `bandits run` plays.
        discount: of the reward of each further step, above 0 and at most 1.
        endless: the programme goes on for ever. The discounted reward of all its steps counts or,
            with the discount 1, the long-run average reward per step.
        connections, stations, centre: a real graph for the generated path domain.
        transitions: CSV arm, state, action, next_state, probability.
        log: CSV arm, state, action, next_state of observed moves; the dynamics are its posterior
            mean.
        rewards: CSV arm, state, reward, with `transitions` or `log`; rewards of actions as in
            `worldplan.world_models.arms.rewards`.
        own_states: CSV arm, states: the number of states of each arm, where they differ.
        visit_costs: CSV arm, cost: of a visit, in the unit of the reward; with the column state,
            of a visit in today's state.
        members: planners see this many posterior samples instead of the mean (with `log`).
        prior_strength: observations that what clients have in common counts for, where it is not
            estimated, and the guess from which the estimate starts (with `log`).
        groups: columns of `constraint.attributes`, from the coarsest group to the finest: a client
            borrows from the clients with the same texts (with `log`; see
            `worldplan.world_models.arms.groups`).
        borrow: how strongly clients borrow from each other: "estimated" from the log, "fixed" as
            `prior_strength` says, or "auto": estimated where there are groups, fixed without.
        ends: CSV arm, steps: from the start of an episode, after which the arm earns and costs
            nothing; or arm, until: its last date, where a day is decided. Arms without a row stay
            to the horizon.
        half_life: age at which a move of the log counts one half, where dynamics drift: "90 days"
            or "12 weeks" (with a column date), "30 steps" (with a column step); without, all moves
            count alike.
        start: CSV arm, state of the first states of an episode; uniformly drawn without.
        seen: when an arm's state is seen: "always"; on "visits", the state in which it is found; or
            only by "outcomes", the state after a visit (`worldplan.envs.bandits.seen`).
        seen_tolerance: difference in total variation below which two distributions of an arm's
            state count as equal.
        unit: of the reward, for sentences: "visits attended".
        constraint: the feasible actions, with `transitions` or `log`.
    """

    domain: str = ""
    arms: int = 20
    budget: int = 5
    states: int = 4
    seed: int = 0
    horizon: int = 20
    discount: float = 1.0
    endless: bool = False
    connections: str | None = None
    stations: str | None = None
    centre: str | None = None
    transitions: str | None = None
    log: str | None = None
    rewards: str | None = None
    own_states: str | None = None
    visit_costs: str | None = None
    members: int = 0
    prior_strength: float = 5.0
    groups: tuple[str, ...] | str = ()
    borrow: str = "estimated"
    ends: str | None = None
    half_life: str = ""
    start: str | None = None
    seen: str = "always"
    seen_tolerance: float = 1e-4
    unit: str = "reward"
    constraint: Constraint = field(default_factory=Constraint)

    def __post_init__(self) -> None:
        check_fields(self, "programme.")
        checks.choice(self.borrow, "programme.borrow", BORROW)
        _ = self.forgetting  # refuses what is none
        checks.choice(self.seen, "programme.seen", SEEN)
        checks.number(self.seen_tolerance, "programme.seen_tolerance", least=0.0, most=1.0)

    @property
    def forgetting(self) -> HalfLife | None:
        """`half_life` as an age; None: all moves count alike.

        Raises:
            ConfigError: it is no half-life.
        """
        return HalfLife.parse(self.half_life)

    @property
    def averaged(self) -> bool:
        """Whether the long-run average reward per step counts."""
        return self.endless and self.discount == 1

    @property
    def estimates_strength(self) -> bool:
        """Whether the log says how strongly clients borrow from each other."""
        return self.borrow == "estimated" or (self.borrow == "auto" and bool(self.group_columns))

    @property
    def group_columns(self) -> tuple[str, ...]:
        """`groups` as a tuple."""
        named = (self.groups,) if isinstance(self.groups, str) else tuple(self.groups)
        return tuple(name for name in named if name)


def check_settings(programme: Programme) -> None:
    """Refuse numbers out of range, and anything but one source of the dynamics.

    Raises:
        ConfigError: names the setting.
    """
    least = {"arms": 1, "budget": 0, "states": 2, "seed": 0, "horizon": 1, "members": 0}
    for name, value in least.items():
        if getattr(programme, name) < value:
            raise ConfigError(
                f"programme.{name} is {getattr(programme, name)}: give at least {value}"
            )
    if not 0 < programme.discount <= 1:
        raise ConfigError(
            f"programme.discount is {programme.discount:g}: give a number above 0, at most 1"
        )
    if programme.endless and programme.ends is not None:
        raise ConfigError(
            "programme.ends says when clients end, and programme.endless that the programme never "
            "does: leave one of them out"
        )
    if programme.averaged and programme.seen != "always":
        raise ConfigError(
            f"programme.seen {programme.seen}: beliefs of a programme without an end need a "
            "discount: give programme.discount below 1, such as 0.99, or leave programme.endless "
            "out"
        )
    for name in ("budget", "moves"):
        if getattr(programme.constraint, name) < 0:
            raise ConfigError(
                f"constraint.{name} is {getattr(programme.constraint, name)}: give 0 or more"
            )
    refuse_absurd(programme, "programme")
    sources = [bool(programme.domain), programme.transitions is not None, programme.log is not None]
    if sum(sources) != 1:
        raise ConfigError(
            "programme: give exactly one of domain (generated), transitions (tables) "
            "or log (learned)"
        )
    _refuse_unread(programme)


def _refuse_unread(programme: Programme) -> None:
    """Refuse settings that are not read with this source of the dynamics.

    Raises:
        ConfigError: names the setting.
    """
    given = {
        name: getattr(programme, name) not in (getattr(Programme, name), "")
        for name in (*OF_LOGS, *OF_OWN_DATA, *OF_DOMAINS)
    }
    for name in OF_LOGS:
        if given[name] and programme.log is None:
            raise ConfigError(
                f"programme.{name} says how to learn from a log: give programme.log, or leave "
                f"programme.{name} out"
            )
    if programme.domain:
        if programme.domain not in DOMAINS:
            return  # refused where it is generated
        own = [name for name in OF_OWN_DATA if given[name]]
        plain = Constraint()
        own += [
            f"constraint.{setting.name}"
            for setting in fields(Constraint)
            if getattr(programme.constraint, setting.name) != getattr(plain, setting.name)
        ]
        if own:
            last = own[0].rpartition(".")[2]
            raise ConfigError(
                f"programme.{own[0]} needs arms of your own (transitions or log): domain "
                f"'{programme.domain}' is generated, with constraints of its own: leave it out"
                + (f", or give programme.{last}" if last in NAMESAKES else "")
            )
        return
    for name in OF_DOMAINS:
        if given[name]:
            raise ConfigError(
                f"programme.{name} is of a generated domain (programme.domain): leave it out"
                + (f", or give programme.constraint.{name}" if name in NAMESAKES else "")
            )


def check_size(programme: Programme, arms: int, states: int) -> None:
    """Refuse a programme whose fluid program, which every bound needs, cannot be solved.

    Raises:
        ConfigError: names the sizes and the number of variables.
    """
    steps = ENDLESS_STEPS if programme.endless else programme.horizon
    variables = 2 * arms * states * steps * max(1, programme.members)
    entries = 2 * arms * states**2 * max(1, programme.members)
    kind = programme.domain or programme.constraint.kind
    plain = kind in ("budget", "exactly") and programme.constraint.rules is None
    priced = plain and arms > 1000
    most = MOST_PRICED if priced else MOST_VARIABLES
    length = "programme.endless" if programme.endless else f"programme.horizon {steps}"
    if variables > most or entries > 10 * MOST_VARIABLES:
        raise ConfigError(
            f"{length} with {arms} arms, {states} states and "
            f"{max(1, programme.members)} members: the program of its bound has {variables:.3g} "
            f"variables and its models {entries:.3g} probabilities, at most {most} and "
            f"{10 * MOST_VARIABLES} are taken: make one of the sizes smaller"
        )
