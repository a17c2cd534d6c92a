"""Random instances of the four coRMAB domains of the SEQUOIA paper, and of plain budget bandits.

Xu et al., ICLR 2025.
"""

from __future__ import annotations

import networkx as nx
import numpy as np

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.envs.bandits.graphs import best_connected, connected_piece, random_geometric
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import ActionSet, Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.routes.graph import read_graph
from worldplan.milp.sets.schedule import Schedule
from worldplan.nearest import did_you_mean

DOMAINS = ("capacity", "schedule", "path", "interventions", "budget")
SLOTS = 5  # time slots of the schedule domain


def generate(
    domain: str,
    arms: int = 20,
    budget: int = 5,
    *,
    seed: int = 0,
    horizon: int = 20,
    states: int = 4,
    connections: str | None = None,
    stations: str | None = None,
    centre: str | None = None,
) -> BanditInstance:
    """A random instance with the constants of the paper.

    Args:
        domain: one of `DOMAINS`.
        arms: number of arms J.
        budget: workers, pulls or interventions per step, B.
        seed: of the instance.
        horizon: steps of an episode.
        states: states per arm; only the plain "budget" domain takes other values than 4.
        connections: for the path domain, the CSV file of a graph (see
            `worldplan.milp.sets.routes.graph`); a random graph without.
        stations: CSV file with names and positions of its nodes.
        centre: id of the node that paths start from; the best-connected node without.

    Raises:
        ConfigError: the domain is unknown, or not 1 <= budget <= arms.
        DatasetError: a CSV file is missing or malformed, or has too few nodes.
    """
    if not isinstance(domain, str) or domain not in DOMAINS:
        near = did_you_mean(str(domain), DOMAINS)
        raise ConfigError(f"domain '{domain}' is unknown{near}: choose from {', '.join(DOMAINS)}")
    for name, value, least in (
        ("arms", arms, None),
        ("budget", budget, None),
        ("seed", seed, 0),
        ("horizon", horizon, 1),
        ("states", states, 2),
    ):
        checks.whole_number(value, name, least=least)
    if arms < 1 or budget < 1 or budget > arms:
        raise ConfigError(f"arms={arms}, budget={budget}: need 1 <= budget <= arms")
    rng = np.random.default_rng(seed)
    if domain == "interventions":
        dynamics = _intervention_arms(arms, budget, rng)
        actions: ActionSet = Budget(dynamics.components, budget, exactly=True)
    elif domain == "budget" and states != 4:
        dynamics, actions = _random_arms(arms, states, rng), Budget(arms, budget)
    else:
        dynamics = multi_state_arms(arms, budget, rng)
        graph = _graph(arms, seed, connections, stations, centre) if domain == "path" else None
        actions = _action_set(domain, arms, budget, rng, graph, centre)
    initial = np.zeros((arms, dynamics.states))
    initial[:, 0], initial[:, 1] = 0.8, 0.2
    names = tuple(str(node) for node in actions.graph) if isinstance(actions, Path) else ()
    return BanditInstance(dynamics, actions, horizon, initial, arm_names=names, domain=domain)


def multi_state_arms(arms: int, good: int, rng: np.random.Generator) -> ArmDynamics:
    """Four-state arms with misleading intermediate rewards.

    The top state pays 4 to 6 in the first `good` arms and 1 to 3 in the others. Below it, rewards
    fall on the way up in the good arms (0.2, 0.15, 0.1) and rise in the others.
    """
    up = np.stack([rng.uniform(0.0, 0.2, arms), rng.uniform(0.7, 0.9, arms)], axis=1)
    return ArmDynamics(_up_down(up), _rewards(arms, good, rng))


def _rewards(arms: int, good: int, rng: np.random.Generator) -> Floats:
    reward = np.tile([0.1, 0.15, 0.2, 0.0], (arms, 1))
    reward[:good, :3] = (0.2, 0.15, 0.1)
    is_good = np.arange(arms) < good
    reward[:, 3] = np.where(is_good, rng.integers(4, 7, arms), rng.integers(1, 4, arms))
    return reward


def _up_down(up: Floats, states: int = 4) -> Floats:
    """Transitions (arms, levels, states, states) out of probabilities (arms, levels) to move up.

    An arm moves up or down by one state, and stays where there is none.
    """
    here, eye = np.arange(states), np.eye(states)
    rise, fall = eye[np.minimum(here + 1, states - 1)], eye[np.maximum(here - 1, 0)]
    return up[..., None, None] * rise + (1 - up[..., None, None]) * fall


def _random_arms(arms: int, states: int, rng: np.random.Generator) -> ArmDynamics:
    """Arms with any number of states and Dirichlet transitions.

    A pull mixes in a distribution that favours states of greater reward.
    """
    passive = rng.dirichlet(np.ones(states), (arms, states))
    better = rng.dirichlet(1.0 + np.arange(states), (arms, states))
    transition = np.stack([passive, 0.3 * passive + 0.7 * better], axis=1)
    return ArmDynamics(transition, np.sort(rng.random((arms, states)), axis=1))


def _intervention_arms(arms: int, budget: int, rng: np.random.Generator) -> ArmDynamics:
    """Arms whose probability to move up is a sigmoid of the strength of the interventions on them.

    Each group of three interventions affects the same three arms, with weight 3 each.
    """
    count = max(arms // 2, budget + 1)
    effect = np.zeros((arms, count))
    groups = -(-count // 3)
    for group in range(groups):
        affected = np.arange(3 * group, 3 * group + 3) % arms
        effect[np.ix_(affected, np.arange(3 * group, min(3 * group + 3, count)))] = 3.0
    strengths = np.tile(3.0 * np.arange(4), (arms, 1))
    strengths = np.minimum(strengths, effect.sum(1, keepdims=True))
    good = np.arange(arms) < budget
    amplitude = np.where(good, rng.uniform(0.7, 1.0, arms), rng.uniform(0.2, 0.5, arms)).round(1)
    slope = np.where(good, rng.uniform(1.4, 1.9, arms), 1.0).round(1)
    shift = np.where(good, rng.uniform(9, 10, arms), rng.uniform(1, 2, arms)).round(1)
    up = (
        0.98
        * amplitude[:, None]
        * (_sigmoid(slope[:, None] * strengths - shift[:, None]) - _sigmoid(-shift[:, None]))
        + 0.01
    )
    return ArmDynamics(_up_down(up), _rewards(arms, budget, rng), effect, strengths)


def _sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-x))


def _graph(
    arms: int, seed: int, connections: str | None, stations: str | None, centre: str | None
) -> nx.Graph:
    if connections is None:
        return random_geometric(arms, seed)
    return connected_piece(read_graph(connections, stations), arms, centre)


def _action_set(
    domain: str,
    arms: int,
    budget: int,
    rng: np.random.Generator,
    graph: nx.Graph | None,
    centre: str | None,
) -> ActionSet:
    if domain == "capacity":
        return Capacity(rng.integers(2, 7, arms), rng.integers(2, 8, budget))
    if domain == "schedule":
        return Schedule(
            _availability(arms, 2, np.arange(1, SLOTS + 1), rng),
            _availability(budget, 3, np.arange(SLOTS, 0, -1), rng),
            visits=2,
            budget=budget,
            same_slot=True,
        )
    if graph is not None:
        source = centre if centre is not None else best_connected(graph)
        return Path(_shuffled(graph, rng), source, moves=2 * budget, budget=budget)
    return Budget(arms, budget)


def _shuffled(graph: nx.Graph, rng: np.random.Generator) -> nx.Graph:
    """The graph with its nodes in random order, which spreads the good arms, the first, over it."""
    nodes = list(graph)
    order = [nodes[i] for i in rng.permutation(len(nodes))]
    shuffled = nx.Graph()
    shuffled.add_nodes_from((node, graph.nodes[node]) for node in order)
    shuffled.add_edges_from(graph.edges)
    return shuffled


def _availability(
    rows: int, slots: int, weights: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    table = np.zeros((rows, SLOTS), bool)
    for row in table:
        row[rng.choice(SLOTS, slots, replace=False, p=weights / weights.sum())] = True
    return table
