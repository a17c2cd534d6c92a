"""A simulated year of a programme, decided through the daily routine and its database.

    OMP_NUM_THREADS=1 python -m benchmarks.bandits.year [--clients 2000] [--weeks 52] [--seed 0]
        [--policies whittle,myopic,thompson,round_robin,random] [--seen all] [--output year.csv]
        [--log_weeks 10,1,40] [--borrow auto --prior_strength 2] [--half_life "26 weeks"]

Clients join and leave (1 % a week), their dynamics drift, and a client's state is seen on a visit
only (or, with --seen all, always). Workers have hours and are away in some weeks (staff calendar).
Each policy keeps a database of its own; its model is learned from a log of random visits and from
its own outcomes. The clairvoyant planner has the true states and dynamics of each week, with the
same workers. Printed is

    (policy - nobody visited) / (clairvoyant - nobody visited)

of the mean reward per week; all runs have the same random numbers. With several `--log_weeks` the
policies of `--curve` are repeated with logs of these lengths: what history is worth.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.bandits.priors import ladder
from worldplan.commands.bandits.jobs import make_planner
from worldplan.commands.bandits.scenario import Scenario
from worldplan.envs.bandits.environment import ArmDynamics, Floats, Ints, draw
from worldplan.milp.sets.fixed import fixed
from worldplan.milp.sets.source import Constraint
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.policies import PolicyContext, make_policy
from worldplan.planners.base import Decision, Planner
from worldplan.routine import Outcome, Request, Setup, run_day
from worldplan.world_models.arms.programme import Built, Programme, build, on_day

STATES = 3
FIRST = dt.date(2026, 1, 5)
HORIZON = 12  # weeks that each decision plans for
CHURN = 0.01  # share of the clients that leaves and joins in a week
DRIFT = 0.08  # amplitude of the yearly change of the probabilities
LEARNING = ("borrow", "prior_strength", "half_life")  # settings of the programme
SOLVER = SolverSettings(gap=1e-3, time_limit=30.0)


@dataclass(frozen=True)
class World:
    """What happens whatever is decided.

    Args:
        names: (people,) everybody who is in the programme in some week.
        joins, leaves: (people,) first week, and first week after the last.
        up: (people, 2) probability to move up, without and with a visit.
        phase: (people,) of the yearly drift.
        luck: (weeks, people) uniform numbers of the moves.
        start: (people,) first states.
        reward: (people, STATES).
    """

    names: tuple[str, ...]
    joins: Ints
    leaves: Ints
    up: Floats
    phase: Floats
    luck: Floats
    start: Ints
    reward: Floats

    def dynamics(self, week: int) -> ArmDynamics:
        """True dynamics of a week."""
        drift = DRIFT * np.sin(2 * np.pi * week / 52 + self.phase)
        up = np.clip(self.up + drift[:, None], 0.02, 0.98)
        return ArmDynamics(ladder(up[:, :, None]), self.reward)

    def inside(self, week: int) -> np.ndarray:
        """(people,) who is in the programme in a week."""
        return (self.joins <= week) & (week < self.leaves)


def make_world(clients: int, weeks: int, seed: int) -> World:
    """A programme of `clients` people at a time."""
    rng = np.random.default_rng(seed)
    more = round(CHURN * clients)
    people = clients + more * (weeks - 1)
    joins = np.concatenate([np.zeros(clients, int), np.repeat(np.arange(1, weeks), more)])
    leaves = np.full(people, weeks)
    for week in range(1, weeks):
        there = np.flatnonzero((joins < week) & (leaves == weeks))
        leaves[rng.choice(there, more, replace=False)] = week
    up = np.stack([rng.uniform(0.05, 0.45, people), rng.uniform(0.5, 0.95, people)], axis=1)
    weight = rng.choice([1.0, 1.0, 2.0, 3.0], people)
    return World(
        tuple(f"c{number:05d}" for number in range(people)),
        joins,
        leaves,
        up,
        rng.uniform(0, 2 * np.pi, people),
        rng.random((weeks, people)),
        rng.integers(STATES, size=people),
        weight[:, None] * np.array([0.0, 0.5, 1.0]),
    )


def write_files(
    world: World,
    clients: int,
    weeks: int,
    seed: int,
    folder: Path,
    log_weeks: int = 10,
    **learning: Any,
) -> Programme:
    """Write rewards, hours, calendar and a log of some weeks of random visits; the programme.

    `learning` has settings of the programme, such as `borrow` and `half_life`.
    """
    rng = np.random.default_rng([seed, 1])
    people, states = np.indices(world.reward.shape)
    names = np.array(world.names)
    rewards = {"arm": names[people.ravel()], "state": states.ravel()}
    _write(folder / "rewards.csv", rewards | {"reward": world.reward.ravel()})
    _write(folder / "costs.csv", {"arm": names, "cost": rng.integers(1, 3, len(names))})
    workers = [f"w{number:02d}" for number in range(max(3, clients // 100))]
    _write(folder / "workers.csv", {"worker": workers, "capacity": 10})
    away = rng.random((weeks, len(workers))) < 0.2
    away[:, 0] = False
    week, worker = np.nonzero(away)
    dates = [str(FIRST + dt.timedelta(7 * int(number))) for number in week]
    calendar = {"worker": np.array(workers)[worker], "date": dates, "hours": "away"}
    _write(folder / "calendar.csv", calendar)
    dynamics, state, frames = world.dynamics(0), world.start, []
    founders = np.flatnonzero(world.joins == 0)
    for _ in range(log_weeks):
        action = (rng.random(len(names)) < 0.15).astype(np.int64)
        after = dynamics.sample_next(state, action, rng)
        ago = np.full(len(founders), log_weeks - len(frames))
        frames.append((founders, state[founders], action[founders], after[founders], ago))
        state = after
    arm, before, action, after, ago = (
        np.concatenate(column) for column in zip(*frames, strict=True)
    )
    log = {"arm": names[arm], "state": before, "action": action, "next_state": after}
    log["date"] = [str(FIRST - dt.timedelta(7 * int(weeks))) for weeks in ago]
    _write(folder / "log.csv", log)
    constraint = Constraint(
        kind="capacity", costs="costs.csv", workers="workers.csv", calendar="calendar.csv"
    )
    return Programme(
        log="log.csv",
        rewards="rewards.csv",
        horizon=HORIZON,
        members=0,
        constraint=constraint,
        **learning,
    )


def _write(path: Path, columns: dict[str, object]) -> None:
    pd.DataFrame(columns).to_csv(path, index=False)


class RoundRobin(Planner):
    """Visits whoever was not visited for longest; `last` (arms,) is shared between weeks."""

    def __init__(self, built: Built, last: Ints, week: int) -> None:
        self._set, self._last, self._week = built.instance.actions, last, week

    def plan(self, observation: object) -> Decision:
        action = self._set.fill(np.argsort(self._last, kind="stable"))
        self._last[action == 1] = self._week
        return Decision(action, None, None, "heuristic", 0.0)


Decide = Callable[[int, Ints], Ints]


def play(world: World, weeks: int, decide: Decide) -> Floats:
    """Mean reward per client in each week, (weeks,).

    Args:
        world: what happens.
        weeks: how many.
        decide: from the week and the true states (people,) to the visits (people,).
    """
    state, rewards = world.start.copy(), np.zeros(weeks)
    for week in range(weeks):
        inside = world.inside(week)
        action = np.where(inside, decide(week, state), 0)
        dynamics = world.dynamics(week)
        people = np.arange(len(state))
        after = draw(dynamics.transition[people, action, state], world.luck[week])
        state = np.where(inside, after, state)
        rewards[week] = world.reward[people, state][inside].mean()
    return rewards


def routine(
    world: World, programme: Programme, folder: Path, policy: str, seed: int, seen_all: bool
) -> Decide:
    """The decisions of a policy through the daily routine: a function for `play`."""
    last, seen = np.full(len(world.names), -1), dict[str, int]()
    place = {name: number for number, name in enumerate(world.names)}
    now, scenario = {"week": 0}, Scenario("year", programme, solver=SOLVER)

    def planner_of(name: str, built: Built) -> Planner:
        if policy == "round_robin":
            return RoundRobin(built, last, now["week"])
        return make_planner(name, built, scenario, seed, None)

    database = folder / f"{policy}.db"
    setup = Setup("year", programme, folder / "year.yaml", database, planner_of, seed)

    def decide(week: int, state: Ints) -> Ints:
        now["week"] = week
        inside, before = world.inside(week), world.inside(week - 1)
        outcomes = [Outcome(name, int(state[place[name]])) for name in seen if before[place[name]]]
        joining = np.flatnonzero(inside & ~before) if week else np.flatnonzero(inside)
        outcomes += [Outcome(world.names[j], int(state[j])) for j in joining]
        gone = np.flatnonzero(before & ~inside) if week else np.flatnonzero(~inside)
        request = Request(
            FIRST + dt.timedelta(7 * week),
            tuple(outcomes),
            "random" if policy == "round_robin" else policy,  # a name that is registered
            lambda names: True,
            tuple(world.names[j] for j in gone),
            assume=True,
            by="benchmark",
        )
        day = run_day(setup, request)
        seen.clear()
        if seen_all:
            seen.update((world.names[j], 1) for j in np.flatnonzero(inside))
        action = np.zeros(len(world.names), np.int64)
        for row in day.plan:
            seen[row["arm"]] = 1
            action[place[row["arm"]]] = 1
        return action

    return decide


def clairvoyant(world: World, programme: Programme, folder: Path) -> Decide:
    """The decisions of the Whittle policy with true states and dynamics: a function for `play`."""
    base = build(programme, folder / "year.yaml")

    def decide(week: int, state: Ints) -> Ints:
        out = ~world.inside(week)
        true = world.dynamics(week)
        true = replace(true, reward=np.where(out[:, None], 0.0, true.reward))
        today = on_day(
            base,
            programme,
            folder / "year.yaml",
            state,
            date=FIRST + dt.timedelta(7 * week),
            steps_left=HORIZON,
        )
        none = np.zeros_like(out)
        actions = fixed(today.instance.actions, out, none, none)
        instance = replace(today.instance, dynamics=true, actions=actions)
        planner = make_policy("whittle", PolicyContext(instance, solver=SOLVER))
        return planner.plan({"state": state, "steps_left": HORIZON}).action.astype(np.int64)

    return decide


def measure(arguments: argparse.Namespace) -> pd.DataFrame:
    """A row for each policy: mean reward per client and week, share of the year and of its
    quarters, CPU seconds per decision.
    """
    weeks = arguments.weeks
    sizes = [int(size) for size in arguments.log_weeks.split(",")]
    world = make_world(arguments.clients, weeks, arguments.seed)
    rewards, seconds = dict[str, Floats](), dict[str, float]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = (world, arguments.clients, weeks, arguments.seed)
        learning = {name: getattr(arguments, name) for name in LEARNING}
        programme = write_files(*given, folder, sizes[0], **learning)
        decisions: dict[str, Decide] = {
            "nobody": lambda week, state: np.zeros_like(state),
            "clairvoyant": clairvoyant(world, programme, folder),
        }
        for number, size in enumerate(sizes):
            place = folder / str(size)
            place.mkdir()
            learned = write_files(*given, place, size, **learning)
            names = arguments.policies if not number else arguments.curve
            for policy in names.split(","):
                decisions[policy if not number else f"{policy}, log of {size} weeks"] = routine(
                    world, learned, place, policy, arguments.seed, arguments.seen == "all"
                )
        for policy, decide in decisions.items():
            started = time.process_time()
            rewards[policy] = play(world, weeks, decide)
            seconds[policy] = (time.process_time() - started) / weeks
            print(f"{policy}: {rewards[policy].mean():.4f}", flush=True)
    zero, best = rewards["nobody"], rewards["clairvoyant"]
    parts = {"share": slice(None)} | {
        f"quarter {quarter + 1}": slice(weeks * quarter // 4, weeks * (quarter + 1) // 4)
        for quarter in range(4)
    }
    return pd.DataFrame(
        {"policy": policy, "reward": got.mean()}
        | {
            name: (got[part].mean() - zero[part].mean()) / (best[part].mean() - zero[part].mean())
            for name, part in parts.items()
        }
        | {"seconds": seconds[policy]}
        for policy, got in rewards.items()
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="A simulated year of a programme.")
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policies", default="whittle,myopic,thompson,round_robin,random")
    parser.add_argument("--seen", choices=("visited", "all"), default="visited")
    parser.add_argument(
        "--log_weeks", default="10", help="weeks of the log: 10,2,50 for the curve of --curve"
    )
    parser.add_argument("--curve", default="whittle", help="policies of the further log sizes")
    parser.add_argument("--borrow", default="estimated", help="or fixed: programme.borrow")
    parser.add_argument("--prior_strength", type=float, default=5.0)
    parser.add_argument("--half_life", default="", help="programme.half_life, such as '26 weeks'")
    parser.add_argument("--output", default="", help="CSV file of the table")
    arguments = parser.parse_args()
    table = measure(arguments)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    if arguments.output:
        table.to_csv(arguments.output, index=False)


if __name__ == "__main__":
    main()
