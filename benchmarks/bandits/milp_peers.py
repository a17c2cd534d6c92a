"""The peers of benchmarks/bandits/milp_decisions.py: the reference formulation, and OMLT + Pyomo.

Also gurobi-machinelearning, whose agreement is checked, without times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.networks.relu import ReluNetwork
from worldplan.milp.sets.base import Action, Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.schedule import Schedule

BIG_M = 1e5  # of the reference, for every neuron

Term = tuple[float, int]
Line = tuple[list[Term], float, float]  # coefficients by variable, lower and upper bound
INF = float("inf")


@dataclass
class PaperSet:
    """A feasible set as the paper formulates it.

    Args:
        extra: binaries besides the action, which is variables 0 .. size-1.
        lines: the rows.
    """

    extra: int
    lines: list[Line]


def paper_set(instance: BanditInstance) -> PaperSet:
    """The paper's rows of an instance's set."""
    actions, size = instance.actions, instance.actions.size
    if isinstance(actions, Budget):
        return PaperSet(
            0, [([(1.0, j) for j in range(size)], float(actions.least), float(actions.most))]
        )
    if isinstance(actions, Capacity):
        return _paper_capacity(
            np.asarray(actions.costs).tolist(), np.asarray(actions.capacities).tolist()
        )
    if isinstance(actions, Schedule):
        return _paper_schedule(
            np.asarray(actions.arm_slots, bool), np.asarray(actions.worker_slots, bool)
        )
    if isinstance(actions, Path):
        return _paper_path(actions)
    raise TypeError(f"no reference formulation for {type(actions).__name__}")


def _paper_capacity(costs: list[float], capacities: list[float]) -> PaperSet:
    """x_ij: worker i serves arm j."""
    arms = len(costs)
    x = {(i, j): arms * (i + 1) + j for i in range(len(capacities)) for j in range(arms)}
    lines: list[Line] = [
        ([(costs[j], x[i, j]) for j in range(arms)], -INF, capacity)
        for i, capacity in enumerate(capacities)
    ]
    lines += [
        ([(1.0, j)] + [(-1.0, x[i, j]) for i in range(len(capacities))], -INF, 0.0)
        for j in range(arms)
    ]
    lines += [([(1.0, column), (-1.0, j)], -INF, 0.0) for (_, j), column in x.items()]
    return PaperSet(len(x), lines)


def _paper_schedule(arm_slots: np.ndarray, worker_slots: np.ndarray) -> PaperSet:
    """x_ijs: worker i serves arm j in slot s; a pulled arm needs two worker-slots."""
    (arms, slots), workers = arm_slots.shape, len(worker_slots)
    cells = [
        (i, j, s)
        for i in range(workers)
        for j in range(arms)
        for s in range(slots)
        if arm_slots[j, s] and worker_slots[i, s]
    ]
    x = {cell: arms + k for k, cell in enumerate(cells)}
    of_worker: dict[tuple[int, int], list[int]] = {}
    of_arm: dict[int, list[int]] = {j: [] for j in range(arms)}
    for (i, j, s), column in x.items():
        of_worker.setdefault((i, s), []).append(column)
        of_arm[j].append(column)
    lines: list[Line] = [
        ([(1.0, column) for column in columns], -INF, 1.0) for columns in of_worker.values()
    ]
    for j, columns in of_arm.items():
        served = [(1.0, column) for column in columns]
        lines += [([(2.0, j)] + [(-1.0, column) for column in columns], -INF, 0.0)]
        lines += [(served, -INF, 2.0)] if served else []
    lines += [([(1.0, column), (-1.0, j)], -INF, 0.0) for (_, j, _), column in x.items()]
    lines += [([(1.0, j) for j in range(arms)], -INF, float(workers))]
    return PaperSet(len(x), lines)


def _paper_path(actions: Path) -> PaperSet:
    """One binary per (edge, time): a unit of flow moves or stays, from the source back to it.

    Only visited arms are pulled.
    """
    size, place = actions.size, {label: k for k, label in enumerate(actions.arm_names)}
    source = place[actions.source]
    pairs = [(place[u], place[v]) for u, v in actions.graph.edges]
    moves = pairs + [(v, u) for u, v in pairs] + [(k, k) for k in range(size)]
    column = {
        (u, v, t): size + t * len(moves) + k
        for t in range(actions.moves)
        for k, (u, v) in enumerate(moves)
    }
    into: dict[tuple[int, int], list[int]] = {}
    out: dict[tuple[int, int], list[int]] = {}
    for (u, v, t), c in column.items():
        out.setdefault((u, t), []).append(c)
        into.setdefault((v, t), []).append(c)
    last = actions.moves - 1
    lines: list[Line] = [
        ([(1.0, c) for c in out[k, 0]], float(k == source), float(k == source)) for k in range(size)
    ]
    lines += [([(1.0, c) for c in into[source, last]], 1.0, 1.0)]
    for t in range(1, actions.moves):
        lines += [
            ([(1.0, c) for c in out[k, t]] + [(-1.0, c) for c in into[k, t - 1]], 0.0, 0.0)
            for k in range(size)
        ]
    for k in range(size):
        visits = [(-1.0, c) for t in range(actions.moves) for c in into[k, t]]
        lines.append(([(1.0, k), *visits], -INF, float(k == source)))
    lines.append(([(1.0, k) for k in range(size)], -INF, float(actions.budget)))
    return PaperSet(len(column), lines)


@dataclass
class PeerAnswer:
    """A peer's decision in one state.

    Args:
        action: None without a solution.
        claimed: the peer's objective value.
        limited: whether it hit the time limit.
        seconds: CPU time.
    """

    action: Action | None
    claimed: float
    limited: bool
    seconds: float


def by_reference(network: ReluNetwork, rows: PaperSet, limit: float, gap: float) -> PeerAnswer:
    """As in the public code, with expressions of highspy instead of gurobipy."""
    import highspy

    started = time.process_time()
    model = highspy.Highs()
    options: dict[str, Any] = {
        "output_flag": False,
        "threads": 1,
        "parallel": "off",
        "mip_rel_gap": 0.0,
        "mip_abs_gap": max(gap, 1e-6),
        "time_limit": limit,
    }
    for option, setting in options.items():
        model.setOptionValue(option, setting)
    size = network.weights[0].shape[1]
    binaries = [model.addBinary() for _ in range(size + rows.extra)]
    for terms, lower, upper in rows.lines:
        _bounded(
            model.addConstr, model.qsum(weight * binaries[k] for weight, k in terms), lower, upper
        )
    inputs = binaries[:size]
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        outputs = []
        for k in range(len(bias)):
            y, t, z = model.addVariable(lb=0), model.addVariable(lb=0), model.addBinary()
            model.addConstr(
                model.qsum(float(weight[k, j]) * inputs[j] for j in range(len(inputs)))
                + float(bias[k])
                == y - t
            )
            model.addConstr(y <= BIG_M - BIG_M * z)
            model.addConstr(t <= BIG_M * z)
            outputs.append(y)
        inputs = outputs
    objective = model.qsum(
        float(w) * y for w, y in zip(network.weights[-1][0], inputs, strict=True)
    ) + float(network.biases[-1][0])
    if network.skip is not None:
        objective = objective + model.qsum(
            float(w) * a for w, a in zip(network.skip, binaries[:size], strict=True)
        )
    model.maximize(objective)
    info, limited = model.getInfo(), model.getModelStatus() == highspy.HighsModelStatus.kTimeLimit
    feasible = info.primal_solution_status == 2
    values = np.asarray(model.getSolution().col_value)
    return PeerAnswer(
        np.rint(values[:size]).astype(np.int8) if feasible else None,
        info.objective_function_value if feasible else -INF,
        limited,
        time.process_time() - started,
    )


def by_omlt(network: ReluNetwork, rows: PaperSet, limit: float, gap: float) -> PeerAnswer:
    """OMLT's big-M formulation with interval bounds, in Pyomo, solved by its HiGHS interface."""
    import pyomo.environ as pyo
    from omlt import OmltBlock
    from omlt.neuralnet import ReluBigMFormulation

    started = time.process_time()
    size = network.weights[0].shape[1]
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(size + rows.extra), domain=pyo.Binary)
    model.set_rows = pyo.ConstraintList()
    for terms, lower, upper in rows.lines:
        _bounded(
            model.set_rows.add,
            pyo.quicksum(weight * model.x[k] for weight, k in terms),
            lower,
            upper,
        )
    model.network = OmltBlock()
    model.network.build_formulation(ReluBigMFormulation(omlt_definition(network)))
    model.link = pyo.Constraint(range(size), rule=lambda m, j: m.network.inputs[j] == m.x[j])
    direct = (
        0.0
        if network.skip is None
        else pyo.quicksum(float(w) * model.x[j] for j, w in enumerate(network.skip))
    )
    model.objective = pyo.Objective(expr=model.network.outputs[0] + direct, sense=pyo.maximize)
    solver = pyo.SolverFactory("appsi_highs")
    solver.config.mip_gap = 0.0
    solver.highs_options = {
        "threads": 1,
        "parallel": "off",
        "mip_rel_gap": 0.0,
        "mip_abs_gap": max(gap, 1e-6),
    }
    result = solver.solve(
        model, load_solutions=False, timelimit=limit
    )  # a limit set in config would be lost
    limited = result.solver.termination_condition != pyo.TerminationCondition.optimal
    claimed = result.problem.lower_bound
    if claimed is None or not np.isfinite(claimed):
        return PeerAnswer(None, -INF, limited, time.process_time() - started)
    solver.load_vars()
    action = np.array([round(model.x[j].value) for j in range(size)], dtype=np.int8)
    return PeerAnswer(action, float(claimed), limited, time.process_time() - started)


def omlt_definition(network: ReluNetwork) -> Any:
    """OMLT's description of a network, inputs in [0, 1]; the objective adds the skip."""
    from omlt.neuralnet import NetworkDefinition
    from omlt.neuralnet.layer import DenseLayer, InputLayer

    size = network.weights[0].shape[1]
    definition = NetworkDefinition(scaled_input_bounds=dict.fromkeys(range(size), (0, 1)))
    before: Any = InputLayer([size])
    definition.add_layer(before)
    last = len(network.weights) - 1
    for depth, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        kind = "linear" if depth == last else "relu"
        layer = DenseLayer(
            [weight.shape[1]], [weight.shape[0]], activation=kind, weights=weight.T, biases=bias
        )
        definition.add_layer(layer)
        definition.add_edge(before, layer)
        before = layer
    return definition


def _bounded(add: Callable[[Any], Any], expression: Any, lower: float, upper: float) -> None:
    if lower == upper:
        add(expression == lower)
        return
    if lower > -INF:
        add(expression >= lower)
    if upper < INF:
        add(expression <= upper)


PEERS: dict[str, Callable[[ReluNetwork, PaperSet, float, float], PeerAnswer]] = {
    "reference": by_reference,
    "omlt": by_omlt,
}


def by_gurobi_ml(network: ReluNetwork, rows: PaperSet, limit: float, gap: float) -> Action | None:
    """The action of gurobi-machinelearning on the reference's rows.

    None if the licence is too small or the time limit is hit.
    """
    import gurobipy
    from gurobi_ml.torch import add_sequential_constr

    size = network.weights[0].shape[1]
    with (
        gurobipy.Env(params={"OutputFlag": 0}) as environment,
        gurobipy.Model(env=environment) as model,
    ):
        model.Params.TimeLimit, model.Params.Threads = limit, 1
        model.Params.MIPGap, model.Params.MIPGapAbs = 0.0, max(gap, 1e-6)
        x = model.addMVar(size + rows.extra, vtype="B")
        for terms, lower, upper in rows.lines:
            _bounded(
                model.addConstr,
                gurobipy.quicksum(weight * x[k].item() for weight, k in terms),
                lower,
                upper,
            )
        output = model.addMVar((1, 1), lb=-gurobipy.GRB.INFINITY)
        add_sequential_constr(model, torch_sequential(network), x[:size].reshape((1, size)), output)
        direct = np.zeros(size) if network.skip is None else network.skip
        model.setObjective(output[0, 0] + direct @ x[:size], gurobipy.GRB.MAXIMIZE)
        try:
            model.optimize()
        except gurobipy.GurobiError:
            return None
        return (
            np.rint(x[:size].X).astype(np.int8)
            if model.SolCount and model.Status == gurobipy.GRB.OPTIMAL
            else None
        )


def torch_sequential(network: ReluNetwork) -> torch.nn.Sequential:
    """The network without its skip."""
    layers: list[torch.nn.Module] = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        linear.weight.data, linear.bias.data = torch.as_tensor(weight), torch.as_tensor(bias)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])
