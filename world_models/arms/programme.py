"""From the settings of a programme to a bandit instance.

The arms' dynamics are generated (a domain of the paper), read from tables, or learned from a log.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

import numpy as np

from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Ints
from worldplan.envs.bandits.seen import SEEN
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleActionSet
from worldplan.milp.limits import refuse_absurd
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.sets.kinds import depends_on_day, make_set
from worldplan.milp.sets.source import Constraint, SetContext, naming_files
from worldplan.milp.settings_check import check_fields
from worldplan.world_models.arms.clients import Clients, read_clients
from worldplan.world_models.arms.dynamics import (
    ArmLog,
    ArmPosterior,
    read_moves,
    read_states,
    read_tables,
)
from worldplan.world_models.arms.evidence import Evidence, learn
from worldplan.world_models.arms.rewards import read_visit_costs, with_visit_costs

MOST_VARIABLES = 2_000_000  # of the fluid program; solvers need hours and gigabytes above it
MOST_PRICED = 200_000_000  # where prices replace the program: a plain budget and many arms
NO_REWARDS = "programme.rewards is missing: give a CSV with the columns arm, state, reward"
BORROW = ("auto", "estimated", "fixed")
Find = Callable[[str], str]  # the path of a file that is named in the settings


@dataclass(frozen=True)
class Programme:
    """What is planned for.

    Args:
        domain: generate this domain of the paper ("capacity", "schedule", "path", "interventions",
            "budget"); leave empty to read `transitions` or `log`.
        arms, budget, states, seed: of the generated instance (see
            `worldplan.envs.bandits.domains.generate`).
        horizon: steps of an episode.
        discount: of the reward of each further step, above 0 and at most 1.
        connections, stations, centre: a real graph for the generated path domain.
        transitions: CSV arm, state, action, next_state, probability.
        log: CSV arm, state, action, next_state of observed moves; the dynamics are its posterior
            mean.
        rewards: CSV arm, state, reward, with `transitions` or `log`; rewards of actions as in
            `worldplan.world_models.arms.rewards`.
        visit_costs: CSV arm, cost: of a visit, in the unit of the reward; with the column state,
            of a visit in today's state.
        members: planners see this many posterior samples instead of the mean (with `log`).
        prior_strength: observations that the prior counts for (with `log`).
        groups: columns of `constraint.attributes`, from the coarsest group to the finest: a client
            borrows from the clients with the same texts (with `log`; see
            `worldplan.world_models.arms.groups`).
        borrow: how strongly clients borrow from each other: "estimated" from the log, "fixed" as
            `prior_strength` says, or "auto": estimated where there are groups.
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
    connections: str | None = None
    stations: str | None = None
    centre: str | None = None
    transitions: str | None = None
    log: str | None = None
    rewards: str | None = None
    visit_costs: str | None = None
    members: int = 0
    prior_strength: float = 2.0
    groups: tuple[str, ...] | str = ()
    borrow: str = "auto"
    start: str | None = None
    seen: str = "always"
    seen_tolerance: float = 1e-4
    unit: str = "reward"
    constraint: Constraint = field(default_factory=Constraint)

    def __post_init__(self) -> None:
        check_fields(self, "programme.")
        checks.choice(self.borrow, "programme.borrow", BORROW)
        checks.choice(self.seen, "programme.seen", SEEN)
        checks.number(self.seen_tolerance, "programme.seen_tolerance", least=0.0, most=1.0)

    @property
    def estimates_strength(self) -> bool:
        """Whether the log says how strongly clients borrow from each other."""
        return self.borrow == "estimated" or (self.borrow == "auto" and bool(self.group_columns))

    @property
    def group_columns(self) -> tuple[str, ...]:
        """`groups` as a tuple."""
        named = (self.groups,) if isinstance(self.groups, str) else tuple(self.groups)
        return tuple(name for name in named if name)


@dataclass(frozen=True)
class Built:
    """A programme, ready for planning.

    Args:
        instance: what policies are evaluated on.
        models: posterior samples of the dynamics that planners see; None: the instance's own.
        posterior: of the log, if there is one; its arms are in the order of the instance.
        later: the feasible actions of the days after today, where `instance` has those of today
            (`on_day`); None: those of the instance.
        moves: (arms, actions, states, states) observed moves of the log, if there is one.
        evidence: own and borrowed moves behind each estimate, if there is a log.
    """

    instance: BanditInstance
    models: tuple[ArmDynamics, ...] | None = None
    posterior: ArmPosterior | None = None
    later: ActionSet | None = None
    moves: Ints | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True)
class _Model:
    """Models of the arms, from the tables or the log; fields as in `Built`."""

    dynamics: ArmDynamics
    arm_names: tuple[str, ...]
    models: tuple[ArmDynamics, ...] | None = None
    posterior: ArmPosterior | None = None
    moves: Ints | None = None
    evidence: Evidence | None = None


def build(
    programme: Programme,
    base: str | FilePath = ".",
    seed: int | None = None,
    log: ArmLog | None = None,
) -> Built:
    """The instance that a programme describes.

    Args:
        programme: the settings.
        base: the settings' file or its folder; relative file names are looked up there first, then
            in the working folder.
        seed: replaces the programme's own.
        log: observed moves that replace those in the file `programme.log`; its arms are those of
            the rewards file, in this order.

    Raises:
        ConfigError: a setting is missing, unknown or out of range.
        DatasetError: a file is missing or malformed.
        InfeasibleActionSet: no action satisfies the constraints.
    """
    own = programme.seed if seed is None else seed
    try:
        return _build(programme, finder(FilePath(base)), own, log)
    except (ConfigError, InfeasibleActionSet) as error:
        named = not FilePath(base).is_file() or str(base) in str(error)
        raise type(error)(str(error) if named else f"{base}: {error}") from error


def on_day(
    built: Built,
    programme: Programme,
    base: str | FilePath,
    state: Ints,
    *,
    date: datetime.date | None = None,
    steps_left: int | None = None,
    absent: Iterable[str] = (),
    last_visits: Mapping[str, datetime.date] | None = None,
    waived: Iterable[str] = (),
    visits: int | None = None,
) -> Built:
    """The programme with today's feasible actions: staff calendar, and rules that see the day.

    The same object where nothing depends on the day.

    Args:
        built: the programme.
        programme: its settings.
        base: as in `build`.
        state: (arms,) of today; -1 where it is not known.
        date: of today; None where the settings need none.
        steps_left: days that remain.
        absent: arms that no rule may ask for today.
        last_visits: dates by arm; None: those of the file `constraint.last_visits`.
        waived: names of own rules that do not hold today.
        visits: most visits today, in place of `constraint.budget`.

    Raises:
        ConfigError: the settings need the date, the rules fail, a waived rule is unknown, or the
            kind of set has no limit of visits.
        DatasetError: a file is malformed.
        InfeasibleActionSet: no action satisfies today's rules; names what conflicts.
    """
    constraint = programme.constraint
    if programme.domain:
        return built
    if visits is not None:
        constraint = _with_visits(constraint, visits)
    names = built.instance.arm_names
    states = tuple(None if s < 0 else int(s) for s in state)
    context = SetContext(
        names,
        constraint,
        finder(FilePath(base)),
        date,
        states,
        steps_left,
        frozenset(absent),
        last_visits,
        frozenset(waived),
    )
    try:
        if not (depends_on_day(context) or context.waived or visits is not None):
            return built
        if context.waived and constraint.rules is None:
            raise ConfigError("there are no rules of your own to leave out (constraint.rules)")
        actions = make_set(context)
    except (ConfigError, InfeasibleActionSet) as error:
        named = not FilePath(base).is_file() or str(base) in str(error)
        raise type(error)(str(error) if named else f"{base}: {error}") from error
    instance = replace(built.instance, actions=actions)
    return replace(built, instance=instance, later=built.instance.actions)


def _with_visits(constraint: Constraint, visits: int) -> Constraint:
    """The constraint with another limit of visits.

    Raises:
        ConfigError: the kind of set has none, or the number is below 1.
    """
    if constraint.kind == "custom" or ":" in constraint.kind:
        raise ConfigError(
            f"constraint.kind '{constraint.kind}' has no limit of visits of its own: leave out a "
            "rule instead"
        )
    if visits < 1:
        raise ConfigError(f"{visits} visits: give at least 1")
    return replace(constraint, budget=visits)


def _build(programme: Programme, find: Find, seed: int, log: ArmLog | None) -> Built:
    _check(programme)
    if programme.domain:
        check_size(programme, programme.arms, programme.states)
        generated = _generated(programme, find, seed)
        return Built(replace(generated, discount=programme.discount))
    if programme.rewards is None:
        raise ConfigError(NO_REWARDS)
    model = _with_visit_costs(_read_model(programme, find, seed, log), programme, find)
    check_size(programme, model.dynamics.arms, model.dynamics.states)
    actions = make_set(SetContext(model.arm_names, programme.constraint, find))
    model = _in_order_of(actions, model)
    dynamics, names = model.dynamics, model.arm_names
    initial = dynamics.uniform
    if programme.start is not None:
        states = read_states(find(programme.start), names, dynamics.state_counts)
        initial = np.eye(dynamics.states)[states]
    kind = programme.constraint.kind
    instance = BanditInstance(
        dynamics, actions, programme.horizon, initial, names, kind, programme.discount
    )
    return Built(
        instance, model.models, model.posterior, moves=model.moves, evidence=model.evidence
    )


def _generated(programme: Programme, find: Find, seed: int) -> BanditInstance:
    """An instance of a domain of the paper."""
    connections, stations = (
        None if name is None else find(name) for name in (programme.connections, programme.stations)
    )
    with naming_files(connections):
        return generate(
            programme.domain,
            programme.arms,
            programme.budget,
            seed=seed,
            horizon=programme.horizon,
            states=programme.states,
            connections=connections,
            stations=stations,
            centre=programme.centre,
        )


def _read_model(programme: Programme, find: Find, seed: int, log: ArmLog | None) -> _Model:
    """The dynamics from `transitions`, or their posterior from `log` or its file.

    Raises:
        DatasetError: a file is missing or malformed.
    """
    assert programme.rewards is not None
    rewards = find(programme.rewards)
    if programme.log is not None:
        clients = clients_of(programme, find)
        if log is None:
            log = read_moves(
                find(programme.log), clients.reward, clients.names, clients.own_states, levels=2
            )
        learned = learn(
            log, clients, programme.prior_strength, estimate=programme.estimates_strength
        )
        posterior = learned.posterior
        generator = np.random.default_rng([seed, 7])
        samples = (
            tuple(posterior.sample(programme.members, generator)) if programme.members else None
        )
        return _Model(
            posterior.mean(), clients.names, samples, posterior, learned.moves, learned.evidence
        )
    assert programme.transitions is not None  # `_check`: exactly one source
    file = find(programme.transitions)
    tables = read_tables(file, rewards)
    if tables.dynamics.levels > 2:
        raise DatasetError(
            f"{file}: action {tables.dynamics.levels - 1} is listed: "
            "an arm is pulled (1) or left alone (0)"
        )
    return _Model(tables.dynamics, tables.arm_names)


def clients_of(programme: Programme, find: Find) -> Clients:
    """The clients of the rewards file, and with groups those of the attributes.

    Args:
        programme: the settings.
        find: the path of a file that is named in them.

    Raises:
        ConfigError: there is no rewards file, or the groups do not fit the attributes.
        DatasetError: a file is missing or malformed.
    """
    if programme.rewards is None:
        raise ConfigError(NO_REWARDS)
    attributes = programme.constraint.attributes
    return read_clients(
        find(programme.rewards), attributes and find(attributes), programme.group_columns
    )


def _with_visit_costs(model: _Model, programme: Programme, find: Find) -> _Model:
    """The models with the cost of each visit, where the programme has costs."""
    if programme.visit_costs is None:
        return model
    first = model.dynamics
    cost = read_visit_costs(find(programme.visit_costs), model.arm_names, first.state_counts)
    extra = with_visit_costs(first.action_reward, cost)
    return replace(
        model,
        dynamics=replace(first, action_reward=extra),
        models=model.models and tuple(replace(each, action_reward=extra) for each in model.models),
        posterior=model.posterior and replace(model.posterior, action_reward=extra),
    )


def _check(programme: Programme) -> None:
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
    for name in ("budget", "moves"):
        if getattr(programme.constraint, name) < 0:
            raise ConfigError(
                f"constraint.{name} is {getattr(programme.constraint, name)}: give 0 or more"
            )
    refuse_absurd(programme, "programme")
    sources = [bool(programme.domain), programme.transitions is not None, programme.log is not None]
    if programme.domain and programme.visit_costs is not None:
        raise ConfigError(
            "programme.visit_costs needs arms of your own (transitions or log): a generated domain "
            "has none: leave it out"
        )
    if sum(sources) != 1:
        raise ConfigError(
            "programme: give exactly one of domain (generated), transitions (tables) "
            "or log (learned)"
        )
    settings = {"groups": bool(programme.group_columns), "borrow": programme.borrow != "auto"}
    learned = [name for name, given in settings.items() if given]
    if learned and programme.log is None:
        raise ConfigError(
            f"programme.{learned[0]} says how to learn from a log: give programme.log, or leave "
            f"programme.{learned[0]} out"
        )


def check_size(programme: Programme, arms: int, states: int) -> None:
    """Refuse a programme whose fluid program, which every bound needs, cannot be solved.

    Raises:
        ConfigError: names the sizes and the number of variables.
    """
    variables = 2 * arms * states * programme.horizon * max(1, programme.members)
    entries = 2 * arms * states**2 * max(1, programme.members)
    kind = programme.domain or programme.constraint.kind
    plain = kind in ("budget", "exactly") and programme.constraint.rules is None
    priced = plain and arms > 1000
    most = MOST_PRICED if priced else MOST_VARIABLES
    if variables > most or entries > 10 * MOST_VARIABLES:
        raise ConfigError(
            f"programme.horizon {programme.horizon} with {arms} arms, {states} states and "
            f"{max(1, programme.members)} members: the program of its bound has {variables:.3g} "
            f"variables and its models {entries:.3g} probabilities, at most {most} and "
            f"{10 * MOST_VARIABLES} are taken: make one of the sizes smaller"
        )


def finder(base: FilePath) -> Find:
    """Looks a file name up beside `base` first."""
    folder = base if base.is_dir() else base.parent

    def find(name: str) -> str:
        beside = folder / name
        return str(beside if beside.exists() else name)

    return find


def _in_order_of(actions: ActionSet, model: _Model) -> _Model:
    """The models with the arms in the order of the set's components.

    A path set orders its components as the nodes of its graph.
    """
    order = None if actions.arm_names is None else tuple(actions.arm_names)
    if order is None or order == model.arm_names or set(order) != set(model.arm_names):
        return model
    places = [model.arm_names.index(name) for name in order]
    samples = model.models and tuple(sample.select(places) for sample in model.models)
    posterior = model.posterior
    if posterior is not None:
        posterior = posterior.select(places)
    moves = None if model.moves is None else model.moves[places]
    evidence = model.evidence and model.evidence.reordered(places)
    dynamics = model.dynamics.select(places)
    return _Model(dynamics, order, samples, posterior, moves, evidence)
