"""CPU time per certified decision: worldplan against the reference formulation and OMLT + Pyomo, side by side on HiGHS.

    python benchmarks/milp_decisions.py                      # all sets, J = 20, 40, 100, both networks: about 15 minutes on one core
    python benchmarks/milp_decisions.py --sets path --arms 100 --networks 64-64 --states 5 --limit 120

Networks are trained first, briefly, by regression on action values of the fluid relaxation (random ones are not
representative). States come from an episode played with worldplan's decisions. Every method solves exactly the same
function of the action for a state, to the same relative gap, on one thread:

* ours       `NetworkArgmax`, built once, only the numbers of the state updated.
* reference  as in the public code of SEQUOIA: big-M 1e5 for every neuron, one Python expression per constraint and one
             term per weight, rebuilt for each state, with the paper's formulation of each set.
* omlt       OMLT's ReluBigMFormulation with its interval bounds over the unit box, built with Pyomo for each state, with
             the same set rows as `reference`.

A peer that hits the time limit counts as what it spent, so its ratio is a lower bound (marked >=). A peer is asked fewer
states, and no further one once it has spent its share. Times are CPU time of this process, in seconds.
`--gurobi` repeats our solves with Gurobi and reports only whether the results agree: its licence forbids publishing timings.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(FilePath(__file__).resolve().parents[1]))

from envs.bandit_domains import generate
from envs.bandits import BanditInstance, BanditVectorEnv
from milp.actions import Action, ActionSet, Budget
from milp.argmax import Argmax, NetworkArgmax
from milp.capacity import Capacity
from milp.errors import SolverUnavailable
from milp.path import Path
from milp.relu import ReluNetwork
from milp.schedule import Schedule
from milp.solvers import SolverSettings
from planners.base import bootstrap
from planners.fluid_targets import FluidTargets
from planners.q_network import NETWORKS, QNetwork

SETS = ("budget", "interventions", "path", "schedule", "capacity")
BUDGETS = {20: 5, 40: 10, 100: 20}
BIG_M = 1e5
STEPS = {"state": 500, "plain": 1000}  # of training
BATCH = 32
FLUID_SOLVES = 4
PEER_STATES = 3
RESULTS = FilePath(__file__).with_name("results")


# ---- trained networks


def train(instance: BanditInstance, kind: str, hidden: tuple[int, ...], targets: FluidTargets, pool: torch.Tensor, steps: int) -> QNetwork:
    """Regress fluid action values on good and random feasible actions in random states."""
    generator, model = np.random.default_rng(0), instance.dynamics
    torch.manual_seed(0)
    network: QNetwork = NETWORKS[kind](model, instance.horizon, hidden)
    base, direct = targets.separable()
    if kind == "state":
        network.start_from(base, direct)  # type: ignore[operator]
    gain = torch.as_tensor(direct, dtype=torch.float32)
    effect = torch.eye(model.arms) if model.effect is None else torch.as_tensor(model.effect / model.effect.sum(1).max(), dtype=torch.float32)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        state = torch.as_tensor(generator.integers(0, model.states, (BATCH, model.arms)))
        # the paper's network knows no time: it learns one stage of the episode
        left = torch.as_tensor(generator.integers(1, instance.horizon + 1, BATCH)) if kind == "state" else torch.full((BATCH,), instance.horizon // 2)
        with torch.no_grad():
            score = (gain[left[:, None], torch.arange(model.arms), state] @ effect) @ pool.T
            noisy = score + torch.rand_like(score) * score.std(1, keepdim=True)
            chosen = torch.cat([noisy.topk(12, 1).indices, torch.as_tensor(generator.integers(len(pool), size=(BATCH, 4)))], 1)
            actions = pool[chosen]
            wanted = targets(state, left, actions)
        loss = torch.nn.functional.smooth_l1_loss(network(state, left, actions), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


@dataclass
class Decided:
    """One state: the function of the action there, what ours decided, and its CPU time (the first includes building the model)."""

    network: ReluNetwork
    result: Argmax
    seconds: float


def play(instance: BanditInstance, network: QNetwork, count: int, gap: float, limit: float) -> list[Decided]:
    """Decide in the first `count` states of episodes with one NetworkArgmax."""
    env, solver = BanditVectorEnv(instance, 1), None
    decided: list[Decided] = []
    for episode in range(-(-count // instance.horizon)):
        observation, _ = env.reset(seed=episode)
        for _ in range(min(instance.horizon, count - len(decided))):
            given = network.action_networks(observation["state"], observation["steps_left"])[0]
            began = time.process_time()
            solver = solver or NetworkArgmax(given, instance.actions, SolverSettings(gap=gap, time_limit=limit))
            result = solver.maximise(given)
            decided.append(Decided(given, result, time.process_time() - began))
            observation, *_ = env.step(result.action[None])
    return decided


# ---- the peers


Term = tuple[float, int]
Line = tuple[list[Term], float, float]  # coefficients by variable, lower and upper bound
INF = float("inf")


@dataclass
class PaperSet:
    """A feasible set as the paper writes it: variables 0 .. size-1 are the action, then `extra` further binaries."""

    extra: int
    lines: list[Line]


def paper_set(instance: BanditInstance) -> PaperSet:
    """The paper's rows of an instance's set."""
    actions, size = instance.actions, instance.actions.size
    if isinstance(actions, Budget):
        return PaperSet(0, [([(1.0, j) for j in range(size)], float(actions.least), float(actions.most))])
    if isinstance(actions, Capacity):
        return _paper_capacity(np.asarray(actions.costs).tolist(), np.asarray(actions.capacities).tolist())
    if isinstance(actions, Schedule):
        return _paper_schedule(np.asarray(actions.arm_slots, bool), np.asarray(actions.worker_slots, bool))
    if isinstance(actions, Path):
        return _paper_path(actions)
    raise TypeError(f"no reference formulation for {type(actions).__name__}")


def _paper_capacity(costs: list[float], capacities: list[float]) -> PaperSet:
    """x_ij: worker i serves arm j."""
    arms = len(costs)
    x = {(i, j): arms * (i + 1) + j for i in range(len(capacities)) for j in range(arms)}
    lines: list[Line] = [([(costs[j], x[i, j]) for j in range(arms)], -INF, capacity) for i, capacity in enumerate(capacities)]
    lines += [([(1.0, j)] + [(-1.0, x[i, j]) for i in range(len(capacities))], -INF, 0.0) for j in range(arms)]
    lines += [([(1.0, column), (-1.0, j)], -INF, 0.0) for (_, j), column in x.items()]
    return PaperSet(len(x), lines)


def _paper_schedule(arm_slots: np.ndarray, worker_slots: np.ndarray) -> PaperSet:
    """x_ijs: worker i serves arm j in slot s; a pulled arm needs two worker-slots."""
    (arms, slots), workers = arm_slots.shape, len(worker_slots)
    cells = [(i, j, s) for i in range(workers) for j in range(arms) for s in range(slots) if arm_slots[j, s] and worker_slots[i, s]]
    x = {cell: arms + k for k, cell in enumerate(cells)}
    of_worker: dict[tuple[int, int], list[int]] = {}
    of_arm: dict[int, list[int]] = {j: [] for j in range(arms)}
    for (i, j, s), column in x.items():
        of_worker.setdefault((i, s), []).append(column)
        of_arm[j].append(column)
    lines: list[Line] = [([(1.0, column) for column in columns], -INF, 1.0) for columns in of_worker.values()]
    for j, columns in of_arm.items():
        served = [(1.0, column) for column in columns]
        lines += [([(2.0, j)] + [(-1.0, column) for column in columns], -INF, 0.0)]
        lines += [(served, -INF, 2.0)] if served else []
    lines += [([(1.0, column), (-1.0, j)], -INF, 0.0) for (_, j, _), column in x.items()]
    lines += [([(1.0, j) for j in range(arms)], -INF, float(workers))]
    return PaperSet(len(x), lines)


def _paper_path(actions: Path) -> PaperSet:
    """One binary per (edge, time): a unit of flow moves or stays, from the source back to it; only visited arms are pulled."""
    size, place = actions.size, {label: k for k, label in enumerate(actions.labels)}
    source = place[actions.source]
    pairs = [(place[u], place[v]) for u, v in actions.graph.edges]
    moves = pairs + [(v, u) for u, v in pairs] + [(k, k) for k in range(size)]
    column = {(u, v, t): size + t * len(moves) + k for t in range(actions.moves) for k, (u, v) in enumerate(moves)}
    into: dict[tuple[int, int], list[int]] = {}
    out: dict[tuple[int, int], list[int]] = {}
    for (u, v, t), c in column.items():
        out.setdefault((u, t), []).append(c)
        into.setdefault((v, t), []).append(c)
    last = actions.moves - 1
    lines: list[Line] = [([(1.0, c) for c in out[k, 0]], float(k == source), float(k == source)) for k in range(size)]
    lines += [([(1.0, c) for c in into[source, last]], 1.0, 1.0)]
    for t in range(1, actions.moves):
        lines += [([(1.0, c) for c in out[k, t]] + [(-1.0, c) for c in into[k, t - 1]], 0.0, 0.0) for k in range(size)]
    for k in range(size):
        visits = [(-1.0, c) for t in range(actions.moves) for c in into[k, t]]
        lines.append(([(1.0, k), *visits], -INF, float(k == source)))
    lines.append(([(1.0, k) for k in range(size)], -INF, float(actions.budget)))
    return PaperSet(len(column), lines)


@dataclass
class PeerAnswer:
    """What a peer returned: its action (None at the limit), the value and bound it claims, and whether it hit the limit."""

    action: Action | None
    claimed: float
    limited: bool
    seconds: float


def by_reference(network: ReluNetwork, rows: PaperSet, limit: float, gap: float) -> PeerAnswer:
    """The public code's way, with highspy's expressions in the place of gurobipy's."""
    import highspy

    began = time.process_time()
    model = highspy.Highs()
    options: dict[str, Any] = {"output_flag": False, "threads": 1, "parallel": "off", "mip_rel_gap": gap, "time_limit": limit}
    for option, setting in options.items():
        model.setOptionValue(option, setting)
    size = network.weights[0].shape[1]
    binaries = [model.addBinary() for _ in range(size + rows.extra)]
    for terms, lower, upper in rows.lines:
        _bounded(model.addConstr, model.qsum(weight * binaries[k] for weight, k in terms), lower, upper)
    inputs = binaries[:size]
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        outputs = []
        for k in range(len(bias)):
            y, t, z = model.addVariable(lb=0), model.addVariable(lb=0), model.addBinary()
            model.addConstr(model.qsum(float(weight[k, j]) * inputs[j] for j in range(len(inputs))) + float(bias[k]) == y - t)
            model.addConstr(y <= BIG_M - BIG_M * z)
            model.addConstr(t <= BIG_M * z)
            outputs.append(y)
        inputs = outputs
    objective = model.qsum(float(w) * y for w, y in zip(network.weights[-1][0], inputs, strict=True)) + float(network.biases[-1][0])
    if network.skip is not None:
        objective = objective + model.qsum(float(w) * a for w, a in zip(network.skip, binaries[:size], strict=True))
    model.maximize(objective)
    info, limited = model.getInfo(), model.getModelStatus() == highspy.HighsModelStatus.kTimeLimit
    found = info.primal_solution_status == 2
    action = np.rint(np.asarray(model.getSolution().col_value)[:size]).astype(np.int8) if found else None
    return PeerAnswer(action, info.objective_function_value if found else -INF, limited, time.process_time() - began)


def by_omlt(network: ReluNetwork, rows: PaperSet, limit: float, gap: float) -> PeerAnswer:
    """OMLT's big-M formulation with interval bounds, in Pyomo, solved by its HiGHS interface."""
    import pyomo.environ as pyo
    from omlt import OmltBlock
    from omlt.neuralnet import ReluBigMFormulation

    began = time.process_time()
    size = network.weights[0].shape[1]
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(size + rows.extra), domain=pyo.Binary)
    model.set_rows = pyo.ConstraintList()
    for terms, lower, upper in rows.lines:
        _bounded(model.set_rows.add, pyo.quicksum(weight * model.x[k] for weight, k in terms), lower, upper)
    model.network = OmltBlock()
    model.network.build_formulation(ReluBigMFormulation(omlt_definition(network)))
    model.link = pyo.Constraint(range(size), rule=lambda m, j: m.network.inputs[j] == m.x[j])
    direct = 0.0 if network.skip is None else pyo.quicksum(float(w) * model.x[j] for j, w in enumerate(network.skip))
    model.objective = pyo.Objective(expr=model.network.outputs[0] + direct, sense=pyo.maximize)
    solver = pyo.SolverFactory("appsi_highs")
    solver.config.mip_gap = gap
    solver.highs_options = {"threads": 1, "parallel": "off", "mip_rel_gap": gap}
    result = solver.solve(model, load_solutions=False, timelimit=limit)  # a limit set in config would be lost
    limited = result.solver.termination_condition != pyo.TerminationCondition.optimal
    claimed = result.problem.lower_bound
    if claimed is None or not np.isfinite(claimed):
        return PeerAnswer(None, -INF, limited, time.process_time() - began)
    solver.load_vars()
    action = np.array([round(model.x[j].value) for j in range(size)], dtype=np.int8)
    return PeerAnswer(action, float(claimed), limited, time.process_time() - began)


def omlt_definition(network: ReluNetwork) -> Any:
    """OMLT's description of a network, inputs in [0, 1]; the skip is added in the objective."""
    from omlt.neuralnet import NetworkDefinition
    from omlt.neuralnet.layer import DenseLayer, InputLayer

    size = network.weights[0].shape[1]
    definition = NetworkDefinition(scaled_input_bounds=dict.fromkeys(range(size), (0, 1)))
    before: Any = InputLayer([size])
    definition.add_layer(before)
    last = len(network.weights) - 1
    for depth, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        kind = "linear" if depth == last else "relu"
        layer = DenseLayer([weight.shape[1]], [weight.shape[0]], activation=kind, weights=weight.T, biases=bias)
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


PEERS: dict[str, Callable[[ReluNetwork, PaperSet, float, float], PeerAnswer]] = {"reference": by_reference, "omlt": by_omlt}


# ---- agreement with Gurobi: never a time


def by_gurobi(network: ReluNetwork, instance: BanditInstance, limit: float, gap: float) -> Action | None:
    """Ours on Gurobi; None where the licence is too small."""
    try:
        return NetworkArgmax(network, instance.actions, SolverSettings("gurobi", gap=gap, time_limit=limit)).maximise().action
    except SolverUnavailable:
        return None


def by_gurobi_ml(network: ReluNetwork, rows: PaperSet, limit: float, gap: float) -> Action | None:
    """gurobi-machinelearning on the reference's rows; None where the licence is too small or the limit passes first."""
    import gurobipy
    from gurobi_ml.torch import add_sequential_constr

    size = network.weights[0].shape[1]
    with gurobipy.Env(params={"OutputFlag": 0}) as environment, gurobipy.Model(env=environment) as model:
        model.Params.TimeLimit, model.Params.MIPGap, model.Params.Threads = limit, gap, 1
        x = model.addMVar(size + rows.extra, vtype="B")
        for terms, lower, upper in rows.lines:
            _bounded(model.addConstr, gurobipy.quicksum(weight * x[k].item() for weight, k in terms), lower, upper)
        output = model.addMVar((1, 1), lb=-gurobipy.GRB.INFINITY)
        add_sequential_constr(model, torch_sequential(network), x[:size].reshape((1, size)), output)
        direct = np.zeros(size) if network.skip is None else network.skip
        model.setObjective(output[0, 0] + direct @ x[:size], gurobipy.GRB.MAXIMIZE)
        try:
            model.optimize()
        except gurobipy.GurobiError:
            return None
        return np.rint(x[:size].X).astype(np.int8) if model.SolCount and model.Status == gurobipy.GRB.OPTIMAL else None


def torch_sequential(network: ReluNetwork) -> torch.nn.Sequential:
    """The network without its skip."""
    layers: list[torch.nn.Module] = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        linear.weight.data, linear.bias.data = torch.as_tensor(weight), torch.as_tensor(bias)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def agreement_with_gurobi(instance: BanditInstance, rows: PaperSet, decided: list[Decided], limit: float, gap: float) -> str:
    """How many of the states that fit the licence agree."""
    parts = []
    for name in ("gurobi", "gurobi-machinelearning"):
        agreed, asked = 0, 0
        for one in decided:
            action = by_gurobi(one.network, instance, limit, gap) if name == "gurobi" else by_gurobi_ml(one.network, rows, limit, gap)
            if action is not None:
                asked += 1
                agreed += agrees(instance.actions, one, action, gap)
        parts.append(f"{name} {agreed}/{asked} agree" if asked else f"{name} beyond licence or limit")
    return ", ".join(parts)


# ---- the comparison


def agrees(actions: ActionSet, ours: Decided, action: Action, gap: float) -> bool:
    """A feasible action, not above our bound, and neither value more than the gap below the other; all values by the network itself."""
    other, mine = float(ours.network(action)), ours.result.value
    slack = (gap + 1e-6) * max(abs(other), abs(mine))
    return actions.contains(action) and other <= ours.result.bound + 1e-6 * abs(other) and abs(other - mine) <= slack


@dataclass
class Comparison:
    """One peer in one setting: a list per state asked."""

    seconds: list[float]
    ratios: list[float]
    limited: int
    agreed: int

    def text(self) -> str:
        """Mean time, median ratio with quartiles, geometric mean with its 95 % bootstrap interval."""
        low, middle, high = np.quantile(self.ratios, [0.25, 0.5, 0.75])
        logs = bootstrap(np.log(self.ratios))
        mean, left, right = (np.exp(logs[key]) for key in ("mean", "low", "high"))
        mark = ">=" if self.limited else ""
        finished = len(self.ratios) - self.limited
        return (
            f"{_ms(self.seconds)} | {mark}{middle:.3g} [{low:.3g}, {high:.3g}] | {mark}{mean:.3g} [{left:.3g}, {right:.3g}] | "
            f"{self.limited}/{len(self.ratios)} | {self.agreed}/{finished}"
        )


def _ms(seconds: list[float]) -> str:
    return f"{1e3 * float(np.mean(seconds)):.3g}"


def compare(name: str, instance: BanditInstance, rows: PaperSet, decided: list[Decided], limit: float, gap: float, write: Any) -> Comparison:
    """Ask a peer in evenly spread states until it has spent the limit; `write` records each answer."""
    found = Comparison([], [], 0, 0)
    for index in np.linspace(0, len(decided) - 1, min(PEER_STATES, len(decided))).astype(int):
        one = decided[index]
        answer = PEERS[name](one.network, rows, limit, gap)
        found.seconds.append(answer.seconds)
        found.ratios.append(answer.seconds / one.seconds)
        found.limited += answer.limited
        if not answer.limited and answer.action is not None:
            found.agreed += agrees(instance.actions, one, answer.action, gap)
        true = float("nan") if answer.action is None else float(one.network(answer.action))
        write(name, index, answer.seconds, "time_limit" if answer.limited else "within_gap", true, answer.claimed)
        if sum(found.seconds) >= limit or answer.limited:
            break
    return found


HEADER = (
    "| set | J | network | ours ms (median) | certified | peer | peer ms | ratio, median [quartiles] | "
    "ratio, geometric mean [95 %] | at limit | agree |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def settings_of(options: argparse.Namespace) -> Iterator[tuple[str, int, BanditInstance, str, str, list[Decided], PaperSet]]:
    """Each setting with its trained network already played by ours."""
    for arms in options.arms:
        for domain in options.sets:
            instance = generate(domain, arms, BUDGETS.get(arms, max(arms // 5, 1)), seed=options.seed)
            generator = np.random.default_rng(0)
            targets = FluidTargets(instance, FLUID_SOLVES, generator)
            pool = torch.as_tensor(np.unique([instance.actions.sample(generator) for _ in range(400)], axis=0), dtype=torch.float32)
            rows = paper_set(instance)
            for kind in options.kinds:
                for shape in options.networks:
                    hidden = tuple(int(width) for width in shape.split("-"))
                    network = train(instance, kind, hidden, targets, pool, options.steps or STEPS[kind])
                    yield domain, arms, instance, kind, shape, play(instance, network, options.states, options.gap, options.limit), rows


def _record(table: Any, key: tuple[str, int, str], method: str, index: int, seconds: float, status: str, true: float, claimed: float) -> None:
    table.writerow([*key, index, method, f"{seconds:.6f}", status, f"{true:.6f}", f"{claimed:.6f}"])


def run(options: argparse.Namespace) -> None:
    """Everything asked for: a line per setting and peer, printed as it is found, then kept in two files."""
    lines = [HEADER]
    print(HEADER, flush=True)
    worst: dict[tuple[str, int], list[tuple[float, bool]]] = {}
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "milp_decisions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["set", "arms", "network", "state", "method", "cpu_seconds", "status", "value", "claimed_or_bound"])
        for domain, arms, instance, kind, shape, decided, rows in settings_of(options):
            network = f"{kind} {shape}"
            write = partial(_record, table, (domain, arms, network))
            for index, one in enumerate(decided):
                write("ours", index, one.seconds, one.result.status, one.result.value, one.result.bound)
            seconds = [one.seconds for one in decided]
            certified = sum(one.result.gap <= options.gap for one in decided)
            start = f"| {domain} | {arms} | {network} | {_ms(seconds)} ({1e3 * np.median(seconds):.3g}) | {certified}/{len(decided)} "
            for peer in options.peers:
                found = compare(peer, instance, rows, decided, options.limit, options.gap, write)
                worst.setdefault((peer, arms), []).append((float(np.median(found.ratios)), found.limited > 0))
                lines.append(f"{start}| {peer} | {found.text()} |")
                print(lines[-1], flush=True)
            if options.gurobi:  # to the screen only
                print(f"  {agreement_with_gurobi(instance, rows, decided[:3], options.limit, options.gap)}", flush=True)
            file.flush()
    lines.append("")
    for (peer, arms), ratios in sorted(worst.items()):
        least, limited = min(ratios)
        lines.append(f"Least median ratio over {peer} at J={arms}: {'>=' if limited else ''}{least:.3g} ({len(ratios)} settings).")
        print(lines[-1])
    note = (
        f"CPU time per decision certified to a relative gap of {options.gap:g}, HiGHS, one thread; "
        f"peers stop at {options.limit:g} s (wall) a solve.\n"
        "Times and ratios of a peer that was cut off are lower bounds (>=). Columns: see the head of benchmarks/milp_decisions.py.\n\n"
    )
    (options.out / "milp_decisions.md").write_text(note + "\n".join(lines) + "\n")


def warm_up() -> None:
    """Import and first use of every library, outside the measurements."""
    generator = np.random.default_rng(0)
    network = ReluNetwork((generator.random((3, 4)), generator.random((1, 3))), (np.zeros(3), np.zeros(1)))
    for peer in PEERS.values():
        peer(network, PaperSet(0, [([(1.0, j) for j in range(4)], 0.0, 2.0)]), 10.0, 0.0)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="CPU time per certified decision against two peers on HiGHS")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--arms", nargs="+", type=int, default=[100, 40, 20], help="J; B is 5, 10, 20 as in the paper, J/5 for others")
    parser.add_argument("--networks", nargs="+", default=["16-32", "64-64"], help="hidden widths")
    parser.add_argument("--kinds", nargs="+", choices=("state", "plain"), default=["state", "plain"], help="plain: the paper's architecture")
    parser.add_argument("--peers", nargs="*", choices=tuple(PEERS), default=list(PEERS))
    parser.add_argument("--states", type=int, default=20, help="decisions of ours; a peer is asked in some of these states")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds of wall time per solve")
    parser.add_argument("--gap", type=float, default=0.01)
    parser.add_argument("--steps", type=int, default=0, help="training steps (default: 500 state, 1000 plain)")
    parser.add_argument("--seed", type=int, default=0, help="of the instance")
    parser.add_argument("--out", type=FilePath, default=RESULTS)
    parser.add_argument("--gurobi", action="store_true", help="also say whether Gurobi and gurobi-machinelearning agree (no timing)")
    torch.set_num_threads(1)
    warm_up()
    run(parser.parse_args())


if __name__ == "__main__":
    main()
