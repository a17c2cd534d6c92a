"""What is asked of a day: date, earlier outcomes, who joins, leaves, is absent or forced."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldplan.envs.bandits.environment import Floats
from worldplan.milp.checks import shown
from worldplan.milp.errors import ConfigError
from worldplan.planners.bandits.policies import POLICIES
from worldplan.planners.base import Planner
from worldplan.world_models.arms.clients import Clients
from worldplan.world_models.arms.programme import Built, Programme, clients_of, finder
from worldplan.world_models.arms.tables import read_states

DEFAULT_POLICY = "fluid"
MOST_BY = 200  # characters
MOST_HOURS = 1e6  # of a worker on a day
Names = tuple[str, ...]


def check_text(text: str, what: str) -> None:
    """Refuse a text that no file or database can hold: NUL, control characters, half characters.

    Raises:
        ConfigError: the message begins with `what`.
    """
    if any(unicodedata.category(each) in ("Cc", "Cs") and each not in "\n\t" for each in text):
        raise ConfigError(f"{what} holds a control character or half a character: remove it")


@dataclass(frozen=True)
class Setup:
    """A programme and where its days are kept.

    Args:
        name: of the programme.
        programme: the settings of arms, rewards and constraints.
        base: the scenario's file; file names in it are looked up there.
        database: the file of the days.
        make_planner: a planner of a policy's name for a built programme.
        seed: of random policies and of posterior samples.
        inputs: SHA-256 of the files that the scenario names, by name; called for each decision.
        policies: addresses of policies of the user's own that pages may choose.
    """

    name: str
    programme: Programme
    base: Path
    database: Path
    make_planner: Callable[[str, Built], Planner]
    seed: int = 0
    inputs: Callable[[], Mapping[str, str]] = dict
    policies: Names = ()
    _read: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def rewards_file(self) -> Path:
        """The rewards file.

        Raises:
            ConfigError: the programme names none.
        """
        if self.programme.rewards is None:
            raise ConfigError(
                f"{self.base}: programme.rewards is missing: a day's routine needs a programme of "
                "your own, with rewards (a CSV arm, state, reward) and a log or transitions"
            )
        return Path(finder(self.base)(self.programme.rewards))

    def rewards(self) -> tuple[Floats, Names]:
        """The rewards (arms, states), and the names of the arms; newcomers who stand in the
        attributes alone, where the programme has groups, have the rewards of their group.

        Raises:
            ConfigError: the programme has none.
            DatasetError: the file is missing or malformed.
        """
        clients = self.clients()
        return clients.reward, clients.names

    def clients(self) -> Clients:
        """Who is in the files of the programme; read again only if a file is another one.

        Raises:
            ConfigError: the programme has no rewards.
            DatasetError: a file is missing or malformed.
        """
        self.rewards_file()
        programme, find = self.programme, finder(self.base)
        names = (programme.rewards, programme.own_states, programme.constraint.attributes)
        files = [Path(find(name)) for name in names if name is not None]
        if not all(file.is_file() for file in files):
            return clients_of(programme, find)  # says which is missing
        stats = [file.stat() for file in files]
        now = [(each.st_ino, each.st_size, each.st_mtime_ns) for each in stats]
        if self._read.get("files") != now:
            self._read.update(files=now, clients=clients_of(programme, find))
        clients: Clients = self._read["clients"]
        return clients

    def states_of(self) -> dict[str, int]:
        """The number of states of each client.

        Raises:
            ConfigError: the programme has no rewards.
            DatasetError: a file is missing or malformed.
        """
        clients = self.clients()
        arms, most = clients.reward.shape
        own = [most] * arms if clients.own_states is None else clients.own_states.tolist()
        return dict(zip(clients.names, own, strict=True))

    def start_states(self) -> dict[str, int]:
        """First states by client, of the file `programme.start`; empty without one.

        Raises:
            ConfigError: the programme has no rewards.
            DatasetError: a file is missing or malformed.
        """
        if self.programme.start is None:
            return {}
        clients = self.clients()
        names, states = clients.names, clients.reward.shape[1]
        own = states if clients.own_states is None else clients.own_states
        state = read_states(finder(self.base)(self.programme.start), names, own)
        return dict(zip(names, state.tolist(), strict=True))

    def lists_folder(self, date: dt.date) -> Path:
        """Where the lists of a day are written unless another folder is given."""
        return self.database.with_name(f"{self.database.stem}-lists") / date.isoformat()


def check_offered(policy: str, setup: Setup) -> None:
    """Refuse a policy that a page or a request may not choose: an address is code that would run.

    Args:
        policy: by name, or an address of the scenario's own.
        setup: the programme.

    Raises:
        ConfigError: it is unknown.
    """
    if policy in POLICIES or policy in setup.policies:
        return
    offered = [*POLICIES, *setup.policies]
    more = "" if ":" not in policy else ", or write it into `policies` of the scenario"
    raise ConfigError(f"policy {shown(policy)}: choose from {', '.join(offered)}{more}")


@dataclass(frozen=True)
class Outcome:
    """One client's state after a day's visits.

    Args:
        client: its name.
        state: after the visits.
        date: the day of the visits; None: the last decided day.
        visited: whether the client was visited; None: as the list said.
        place: file and line, for messages.
    """

    client: str
    state: int
    date: dt.date | None = None
    visited: bool | None = None
    place: str = ""


@dataclass(frozen=True)
class Request:
    """What is asked of one day.

    Args:
        date: of the day.
        outcomes: of the days before, newcomers' first states among them.
        policy: by name or address; None: "fluid", or that of the day if it is decided already.
        join: whether newcomers in `outcomes` may join, given their names.
        leave: clients who leave the programme on this day.
        absent: clients who are not visited today, and need no outcome.
        force_in: clients who are visited today.
        force_out: clients who are not visited today.
        assume: decide with the probabilities of the states of clients without an outcome.
        correct: replace outcomes that were entered before.
        redo: decide the last day again.
        revision: that of the list which is decided again; None: whichever it is.
        steps_left: days to plan for; None: the horizon.
        waived: names of own rules that do not hold on this day.
        visits: most visits on this day; None: `constraint.budget`.
        moves: most moves of a route on this day; None: `constraint.moves`.
        hours: of workers on this day, by name, in place of those of the files.
        by: who asks, for the audit trail.
        source: files of `outcomes` with their SHA-256, for the audit trail.
    """

    date: dt.date
    outcomes: tuple[Outcome, ...] = ()
    policy: str | None = None
    join: Callable[[Names], bool] = lambda names: False
    leave: Names = ()
    absent: Names = ()
    force_in: Names = ()
    force_out: Names = ()
    assume: bool = False
    correct: bool = False
    redo: bool = False
    revision: int | None = None
    steps_left: int | None = None
    waived: Names = ()
    visits: int | None = None
    moves: int | None = None
    hours: Mapping[str, float] = field(default_factory=dict)
    by: str = ""
    source: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_text(self.by, "the name of who decides (--by)")
        if len(self.by) > MOST_BY:
            raise ConfigError(
                f"the name of who decides (--by) has {len(self.by)} characters: give at most "
                f"{MOST_BY}"
            )
        for name in ("leave", "absent", "force_in", "force_out", "waived"):
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
        for worker, amount in self.hours.items():
            if not 0 <= amount <= MOST_HOURS:
                raise ConfigError(
                    f"{amount:g} hours of '{worker}': give 0 to {MOST_HOURS:.0f} (--hours)"
                )
        forced = set(self.force_in)
        for name in (*self.force_out, *self.absent, *self.leave):
            if name in forced:
                raise ConfigError(
                    f"client '{name}' is forced in, and also out, absent or leaving: keep one"
                )

    def settings(self) -> dict[str, Any]:
        """What the decision depends on, for the database."""
        return {
            "policy": self.policy or DEFAULT_POLICY,
            "absent": sorted(self.absent),
            "force_in": sorted(self.force_in),
            "force_out": sorted(self.force_out),
            "steps_left": self.steps_left,
            "waived": sorted(self.waived),
            "visits": self.visits,
            "moves": self.moves,
            "hours": dict(sorted(self.hours.items())),
        }
