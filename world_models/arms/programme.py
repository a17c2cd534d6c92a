"""From settings to a bandit instance: a generated domain, tables of a real programme, or dynamics
learned from its log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

import numpy as np

from worldplan.envs.bandits.domains import generate
from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance
from worldplan.envs.bandits.graphs import read_graph
from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleActionSet, WorldplanError
from worldplan.milp.sets.base import ActionSet, Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.schedule import Schedule
from worldplan.world_models.arms.dynamics import (
    ArmPosterior,
    read_cells,
    read_log,
    read_states,
    read_tables,
)


@dataclass(frozen=True)
class Constraint:
    """Which joint actions are feasible, for a programme with its own data.

    Args:
        kind: "budget", "exactly" (that many), "capacity", "schedule", "path" or "custom".
        budget: most arms per step.
        costs: CSV arm, cost (capacity).
        workers: CSV worker, capacity (capacity), or worker, slot with one row per free slot
            (schedule).
        arm_slots: CSV arm, slot, one row per slot at which the arm can be visited (schedule).
        visits: visits a pulled arm needs (schedule).
        connections: CSV of two columns of node ids; nodes are arms (path).
        stations: CSV id, name, latitude, longitude (path, optional).
        source: where the route starts and ends (path).
        moves: most moves of a route (path); twice the budget when 0.
        rules: "rules.py:build", a function that adds Pyomo constraints to a block with binary
            `a[0..arms-1]` (custom).
    """

    kind: str = "budget"
    budget: int = 0
    costs: str | None = None
    workers: str | None = None
    arm_slots: str | None = None
    visits: int = 2
    connections: str | None = None
    stations: str | None = None
    source: str | None = None
    moves: int = 0
    rules: str | None = None


@dataclass(frozen=True)
class Programme:
    """What is planned for.

    Args:
        domain: generate this domain of the paper ("capacity", "schedule", "path", "interventions",
            "budget"); leave empty to read `transitions` or `log`.
        arms, budget, states, seed: of the generated instance (see
            `worldplan.envs.bandits.domains.generate`).
        horizon: steps of an episode.
        connections, stations, centre: a real graph for the generated path domain.
        transitions: CSV arm, state, action, next_state, probability.
        log: CSV arm, state, action, next_state of observed moves; the dynamics are its posterior
            mean.
        rewards: CSV arm, state, reward, with `transitions` or `log`.
        members: planners see this many posterior samples instead of the mean (with `log`).
        prior_strength: observations that the prior counts for (with `log`).
        start: CSV arm, state of the first states of an episode; uniformly drawn without.
        constraint: the feasible actions, with `transitions` or `log`.
    """

    domain: str = ""
    arms: int = 20
    budget: int = 5
    states: int = 4
    seed: int = 0
    horizon: int = 20
    connections: str | None = None
    stations: str | None = None
    centre: str | None = None
    transitions: str | None = None
    log: str | None = None
    rewards: str | None = None
    members: int = 0
    prior_strength: float = 2.0
    start: str | None = None
    constraint: Constraint = field(default_factory=Constraint)


@dataclass(frozen=True)
class Built:
    """An instance, the ensemble of models that planners see (None: the instance's own), and the
    log's posterior if any.
    """

    instance: BanditInstance
    models: tuple[ArmDynamics, ...] | None = None
    posterior: ArmPosterior | None = None

    def with_model(self, model: ArmDynamics) -> BanditInstance:
        """The instance with another model of its arms."""
        return replace(self.instance, dynamics=model)


def build(programme: Programme, base: str | FilePath = ".", seed: int | None = None) -> Built:
    """Build the instance. Relative file names are looked up beside `base` first, then in the
    working folder.

    `seed` replaces the programme's own. Raises DatasetError, ConfigError or InfeasibleActionSet.
    """
    try:
        return _build(programme, _finder(FilePath(base)), programme.seed if seed is None else seed)
    except (ConfigError, InfeasibleActionSet) as error:
        raise type(error)(
            f"{base}: {error}"
            if FilePath(base).is_file() and str(base) not in str(error)
            else str(error)
        ) from error


def _build(programme: Programme, find: Callable[[str | None], str | None], seed: int) -> Built:
    _check(programme)
    sources = [bool(programme.domain), programme.transitions is not None, programme.log is not None]
    if sum(sources) != 1:
        raise ConfigError(
            "programme: give exactly one of domain (generated), transitions (tables) or log (learned)"
        )
    if programme.domain:
        connections, stations = find(programme.connections), find(programme.stations)
        with _naming(connections):
            return Built(
                generate(
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
            )
    if programme.rewards is None:
        raise ConfigError(
            "programme.rewards is missing: give a CSV with the columns arm, state, reward"
        )
    if programme.log is not None:
        log = read_log(_there(find(programme.log)), _there(find(programme.rewards)), levels=2)
        posterior = log.posterior(programme.prior_strength)
        dynamics, names = posterior.mean(), log.arm_names
        models = (
            tuple(posterior.sample(programme.members, np.random.default_rng([seed, 7])))
            if programme.members
            else None
        )
    else:
        tables = read_tables(_there(find(programme.transitions)), _there(find(programme.rewards)))
        dynamics, names, models, posterior = tables.dynamics, tables.arm_names, None, None
        if dynamics.levels > 2:
            raise DatasetError(
                f"{find(programme.transitions)}: action {dynamics.levels - 1} is listed: an arm is pulled (1) or left alone (0)"
            )
    c = programme.constraint
    with _naming(*(find(name) for name in _files_of(c))):
        actions, order = _action_set(c, names, find)
    if order is not None:
        dynamics, names, models = (
            _reorder(dynamics, order),
            tuple(names[i] for i in order),
            models and tuple(_reorder(m, order) for m in models),
        )
    initial = np.full((dynamics.arms, dynamics.states), 1.0 / dynamics.states)
    if programme.start is not None:
        initial = np.eye(dynamics.states)[
            read_states(_there(find(programme.start)), names, dynamics.states)
        ]
    return Built(
        BanditInstance(
            dynamics, actions, programme.horizon, initial, names, programme.constraint.kind
        ),
        models,
        posterior,
    )


def _check(programme: Programme) -> None:
    """Refuse numbers out of range, by name."""
    least = {"arms": 1, "budget": 0, "states": 2, "seed": 0, "horizon": 1, "members": 0}
    for name, value in least.items():
        if getattr(programme, name) < value:
            raise ConfigError(
                f"programme.{name} is {getattr(programme, name)}: give at least {value}"
            )
    for name in ("budget", "moves"):
        if getattr(programme.constraint, name) < 0:
            raise ConfigError(
                f"constraint.{name} is {getattr(programme.constraint, name)}: give 0 or more"
            )


def _files_of(c: Constraint) -> list[str | None]:
    """The files a constraint is read from; those of other kinds are left out."""
    return {
        "capacity": [c.costs, c.workers],
        "schedule": [c.arm_slots, c.workers],
        "path": [c.connections],
    }.get(c.kind, [])


@contextmanager
def _naming(
    *files: str | None,
    errors: tuple[type[WorldplanError], ...] = (DatasetError, InfeasibleActionSet),
) -> Iterator[None]:
    """Name the files in an error that does not: what is wrong is in one of them."""
    named = [file for file in files if file]
    try:
        yield
    except errors as error:
        if not named or any(file in str(error) for file in named):
            raise
        raise type(error)(f"{' and '.join(named)}: {error}") from error


def _finder(base: FilePath) -> Callable[[str | None], str | None]:
    folder = base if base.is_dir() else base.parent

    def find(name: str | None) -> str | None:
        if name is None:
            return None
        beside = folder / name
        return str(beside if beside.exists() else name)

    return find


def _there(name: str | None) -> str:
    assert name is not None
    return name


def _reorder(model: ArmDynamics, order: list[int]) -> ArmDynamics:
    return ArmDynamics(model.transition[order], model.reward[order])


def _action_set(
    c: Constraint, names: tuple[str, ...], find: Callable[[str | None], str | None]
) -> tuple[ActionSet, list[int] | None]:
    """The set, and for a path the order of the arms along its graph's nodes."""

    def need(setting: str) -> str:
        name = find(getattr(c, setting))
        if name is None:
            raise ConfigError(f"constraint.{setting} is missing: a '{c.kind}' constraint needs it")
        return name

    if c.kind in ("budget", "exactly"):
        return Budget(len(names), _positive(c.budget), exactly=c.kind == "exactly"), None
    if c.kind == "capacity":
        costs = _amounts(need("costs"), "arm", "cost", names)
        workers = _amounts(need("workers"), "worker", "capacity")
        return Capacity(
            [costs[name] for name in names],
            list(workers.values()),
            c.budget or None,
            names,
            tuple(workers),
        ), None
    if c.kind == "schedule":
        return _schedule(c, names, need("arm_slots"), need("workers")), None
    if c.kind == "path":
        return _path(c, names, need("connections"), find(c.stations))
    if c.kind == "custom":
        if c.rules is None:
            raise ConfigError(
                "constraint.rules is missing: give 'rules.py:build', a function that adds Pyomo constraints to the block it is given"
            )
        file, _, function = c.rules.rpartition(":")
        with _naming(find(file), errors=(ConfigError, InfeasibleActionSet)):
            return PyomoSet.from_file(f"{find(file)}:{function}", len(names)), None
    raise ConfigError(
        f"constraint.kind '{c.kind}' is unknown: choose budget, exactly, capacity, schedule, path or custom"
    )


def _positive(budget: int) -> int:
    if budget < 1:
        raise ConfigError(f"constraint.budget is {budget}: give the most arms per step, at least 1")
    return budget


def _rows(
    path: str,
    columns: tuple[str, str],
    *,
    names: tuple[str, ...] | None = None,
    unique: tuple[int, ...] = (0, 1),
) -> list[tuple[int, str, str]]:
    """(line, first, second) of two columns of a CSV, all filled; the cells at the places `unique`
    together occur once.

    `names`, if given, are the only values that the first column may hold.
    """
    rows, seen = [], dict[tuple[str, ...], int]()
    for line, *cells in read_cells(path, columns):
        if names is not None and cells[0] not in names:
            raise DatasetError(
                f"{path}, line {line}: {columns[0]} '{cells[0]}' is not in the rewards file: remove the row or add it there"
            )
        key = tuple(cells[place] for place in unique)
        if key in seen:
            what = " and ".join(f"{columns[place]} '{cells[place]}'" for place in unique)
            raise DatasetError(
                f"{path}, line {line}: {what} already appeared on line {seen[key]}: keep one row"
            )
        seen[key] = line
        rows.append((line, cells[0], cells[1]))
    return rows


def _amounts(
    path: str, key: str, value: str, names: tuple[str, ...] | None = None
) -> dict[str, float]:
    """A number for each key of a CSV; with `names`, for exactly those."""
    found = {}
    for line, name, text in _rows(path, (key, value), names=names, unique=(0,)):
        try:
            found[name] = float(text)
        except ValueError:
            raise DatasetError(
                f"{path}, line {line}: {value} '{text}' of '{name}' is not a number: correct it"
            ) from None
        if not 0 <= found[name] < float("inf"):
            raise DatasetError(
                f"{path}, line {line}: {value} {text} of '{name}' is negative or not finite: correct it"
            )
    missing = next((name for name in names or () if name not in found), None)
    if missing is not None:
        raise DatasetError(f"{path}: {key} '{missing}' is missing: add a row for it")
    return found


def _schedule(c: Constraint, names: tuple[str, ...], arm_slots: str, workers: str) -> Schedule:
    arms, staff = _rows(arm_slots, ("arm", "slot"), names=names), _rows(workers, ("worker", "slot"))
    slots = list(dict.fromkeys(slot for _, _, slot in staff + arms))
    crew = list(dict.fromkeys(worker for _, worker, _ in staff))
    arm_table, crew_table = (
        np.zeros((len(names), len(slots)), bool),
        np.zeros((len(crew), len(slots)), bool),
    )
    for _, name, slot in arms:
        arm_table[names.index(name), slots.index(slot)] = True
    for _, worker, slot in staff:
        crew_table[crew.index(worker), slots.index(slot)] = True
    return Schedule(
        arm_table,
        crew_table,
        c.visits,
        c.budget or None,
        arm_names=names,
        worker_names=tuple(crew),
        slot_names=tuple(slots),
    )


def _path(
    c: Constraint, names: tuple[str, ...], connections: str, stations: str | None
) -> tuple[Path, list[int]]:
    graph = read_graph(connections, stations)
    nodes = [str(node) for node in graph]
    for name in names:
        if name not in nodes:
            raise DatasetError(
                f"{connections}: arm '{name}' has no connection: add one, or remove the arm from the rewards file"
            )
    unknown = next((node for node in nodes if node not in names), None)
    if unknown is not None:
        raise DatasetError(
            f"{connections}: station '{unknown}' is not an arm of the rewards file: add it there or remove its connections"
        )
    if c.source is None:
        raise ConfigError(
            "constraint.source is missing: name the station where the route starts and ends"
        )
    budget = _positive(c.budget)
    return Path(graph, c.source, moves=c.moves or 2 * budget, budget=budget), [
        names.index(node) for node in nodes
    ]
