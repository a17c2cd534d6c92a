"""The arms of a programme from the files that its settings name: tables, or a log of moves."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints
from worldplan.milp.errors import ConfigError, DatasetError
from worldplan.milp.sets.base import ActionSet
from worldplan.world_models.arms.clients import Clients, read_clients
from worldplan.world_models.arms.dynamics import ArmLog, ArmPosterior
from worldplan.world_models.arms.evidence import Evidence, learn
from worldplan.world_models.arms.rewards import read_visit_costs, with_visit_costs
from worldplan.world_models.arms.settings import Programme
from worldplan.world_models.arms.tables import read_moves, read_tables

NO_REWARDS = "programme.rewards is missing: give a CSV with the columns arm, state, reward"
Find = Callable[[str], str]  # the path of a file that is named in the settings


def finder(base: FilePath) -> Find:
    """Looks a file name up beside `base` first."""
    folder = base if base.is_dir() else base.parent

    def find(name: str) -> str:
        beside = folder / name
        return str(beside if beside.exists() else name)

    return find


@dataclass(frozen=True)
class Model:
    """Models of the arms, from the tables or the log; fields as in `programme.Built`."""

    dynamics: ArmDynamics
    arm_names: tuple[str, ...]
    models: tuple[ArmDynamics, ...] | None = None
    posterior: ArmPosterior | None = None
    moves: Ints | None = None
    evidence: Evidence | None = None
    weighted: Floats | None = None


def read_model(
    programme: Programme,
    find: Find,
    seed: int,
    log: ArmLog | None,
    today: datetime.date | None = None,
    clients: Clients | None = None,
) -> Model:
    """The dynamics from `transitions`, or their posterior from `log` or its file.

    With `programme.half_life`, moves are weighted by their age at `today`, or at the last row.
    `clients` are those of `clients_of`, if they are read already.

    Raises:
        DatasetError: a file is missing or malformed.
    """
    assert programme.rewards is not None
    rewards = find(programme.rewards)
    if programme.log is not None:
        clients = clients or clients_of(programme, find)
        if log is None:
            log = read_moves(
                find(programme.log),
                clients.reward,
                clients.names,
                clients.own_states,
                levels=2,
                half_life=programme.forgetting,
                today=today,
            )
        learned = learn(
            log, clients, programme.prior_strength, estimate=programme.estimates_strength
        )
        posterior = learned.posterior
        generator = np.random.default_rng([seed, 7])
        samples = (
            tuple(posterior.sample(programme.members, generator)) if programme.members else None
        )
        return Model(
            posterior.mean(),
            clients.names,
            samples,
            posterior,
            learned.moves,
            learned.evidence,
            learned.weighted,
        )
    assert programme.transitions is not None  # `check_settings`: exactly one source
    file = find(programme.transitions)
    own = programme.own_states and find(programme.own_states)
    tables = read_tables(file, rewards, own)
    if tables.dynamics.levels > 2:
        raise DatasetError(
            f"{file}: action {tables.dynamics.levels - 1} is listed: "
            "an arm is pulled (1) or left alone (0)"
        )
    return Model(tables.dynamics, tables.arm_names)


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
        find(programme.rewards),
        attributes and find(attributes),
        programme.group_columns,
        programme.own_states and find(programme.own_states),
    )


def with_costs_of_visits(model: Model, programme: Programme, find: Find) -> Model:
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


def in_order_of(actions: ActionSet, model: Model) -> Model:
    """The models with the arms in the order of the set's components.

    A set of your own may have another order than the rewards file.
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
    weighted = None if model.weighted is None else model.weighted[places]
    dynamics = model.dynamics.select(places)
    return Model(dynamics, order, samples, posterior, moves, evidence, weighted)
