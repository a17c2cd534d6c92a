"""What to relax for one day whose rules cannot all be met.

A hitting-set tree (Reiter 1987, "A theory of diagnosis from first principles"): a node is a set of
changes. If the day cannot be decided with them, there is a conflict, and each change that relaxes
one of its rules leads to a further node. Searched by size, the first sets with which the day can be
decided are the smallest. Every set that is offered was tried on the day itself.
"""

from __future__ import annotations

import csv
import io
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from sqlalchemy import Connection

from worldplan.milp.errors import InfeasibleActionSet, Remedy
from worldplan.routine.model import Model, asked_today, build_model, relaxed_of
from worldplan.routine.people import Known, members, states_today
from worldplan.routine.request import MOST_HOURS, Names, Request, Setup
from worldplan.world_models.arms.clients import Clients

_SECONDS = 10.0  # for the search
_MOST = 12  # sets that are offered
_LARGEST = 3  # changes in a set, before any one set is looked for
_CENT = 0.01  # hours are offered in steps of this
_ORDER = ("visits", "moves", "hours", "forced", "left out", "rule")

Try = Callable[[Request], InfeasibleActionSet | None]
Changes = frozenset[Remedy]


@dataclass(frozen=True)
class Relaxation:
    """Changes with which a day can be decided; fields as in `Request`.

    Args:
        waived: own rules that are left out.
        visits: the limit of visits.
        moves: the limit of moves.
        hours: of workers.
        not_forced: clients who are not forced in any more.
        not_forbidden: clients who are not left out any more.
    """

    waived: Names = ()
    visits: int | None = None
    moves: int | None = None
    hours: Mapping[str, float] = field(default_factory=dict)
    not_forced: Names = ()
    not_forbidden: Names = ()

    def words(self) -> str:
        """For readers: "allow 3 visits and leave out the rule 'day'"."""
        texts = [f"leave out the rule '{name}'" for name in self.waived]
        texts += [] if self.visits is None else [f"allow {self.visits} visits"]
        texts += [] if self.moves is None else [f"allow {self.moves} moves"]
        texts += [f"give {worker} {amount:.10g} hours" for worker, amount in self.hours.items()]
        texts += [f"do not force {name} in" for name in self.not_forced]
        texts += [f"do not leave {name} out" for name in self.not_forbidden]
        return " and ".join(texts)

    def options(self, request: Request) -> str:
        """The same as options of `bandits day`, with those of the request that they add to.

        Args:
            request: that cannot be met.
        """
        new = self.applied(request)
        hours = [f"{worker}={amount:.10g}" for worker, amount in new.hours.items()]
        lists = {
            "waive": (new.waived, request.waived),
            "hours": (tuple(hours), ()),
            "force": (new.force_in, request.force_in),
            "forbid": (new.force_out, request.force_out),
        }
        texts = [
            f"--{name} {shlex.quote(_listed(now))}" if now else f"leave --{name} out"
            for name, (now, before) in lists.items()
            if now != before
        ]
        texts += [] if self.visits is None else [f"--visits {self.visits}"]
        texts += [] if self.moves is None else [f"--moves {self.moves}"]
        return " ".join(texts)

    def applied(self, request: Request) -> Request:
        """The request with these changes."""
        return replace(
            request,
            waived=tuple(dict.fromkeys((*request.waived, *self.waived))),
            visits=request.visits if self.visits is None else self.visits,
            moves=request.moves if self.moves is None else self.moves,
            hours={**request.hours, **self.hours},
            force_in=tuple(name for name in request.force_in if name not in self.not_forced),
            force_out=tuple(name for name in request.force_out if name not in self.not_forbidden),
        )


class InfeasibleDay(InfeasibleActionSet):
    """The rules of a day cannot all be met.

    Args:
        error: that says which.
        request: of the day.
        offers: sets of changes with each of which the day can be decided.

    `head` says which rules conflict, `plain` also what helps, without options of the command.
    """

    def __init__(
        self, error: InfeasibleActionSet, request: Request, offers: Sequence[Relaxation]
    ) -> None:
        self.offers = tuple(offers)
        head = str(error)
        if error.clash and error.clash in head:
            head = head.partition(error.clash)[0] + error.clash
        self.head = head
        words = "; or ".join(offer.words() for offer in self.offers)
        options = "; or ".join(offer.options(request) for offer in self.offers)
        none = "nothing that may be relaxed for the day alone was found to be enough: change the "
        self.plain = f"{head}: {words or none + 'files of the programme'}"
        text = f"{head}: for this day alone, {options}" if self.offers else self.plain
        super().__init__(text, error.conflict, error.remedies, error.clash)


def models_for(
    connection: Connection, setup: Setup, clients: Clients
) -> Callable[[Request], tuple[Model, dict[str, Known]]]:
    """Model and states for requests of one day that differ in what is relaxed.

    They are made once, unless the constraints cannot be met on any day without what is relaxed.

    Args:
        connection: of the read.
        setup: the programme.
        clients: of its files.

    Returns:
        A function with the errors of `build_model` and `states_today`.
    """
    now, kept = members(connection), list[tuple[Model, dict[str, Known]]]()

    def known_on(asked: Request) -> tuple[Model, dict[str, Known]]:
        if kept:
            return kept[0]
        names, reward, settings = clients.names, clients.reward, asked.settings()
        model = build_model(connection, setup, asked.date, now, names, reward, settings)
        found = model, states_today(connection, asked, model.dynamics, model.names)
        if not any(relaxed_of(settings).values()):
            kept.append(found)
        return found

    return known_on


def refuse_infeasible(
    setup: Setup,
    request: Request,
    known_on: Callable[[Request], tuple[Model, dict[str, Known]]],
    error: InfeasibleActionSet,
) -> NoReturn:
    """Refuse a day that cannot be decided, with what may be relaxed.

    Args:
        setup: the programme.
        request: of the day.
        known_on: model and states for a request, of `models_for`.
        error: the reason.

    Raises:
        InfeasibleActionSet: its conflict is not known.
        InfeasibleDay: it is.
    """
    if not error.conflict:
        raise error

    def fails(asked: Request) -> InfeasibleActionSet | None:
        try:
            asked_today(setup, asked, *known_on(asked))
        except InfeasibleActionSet as conflict:
            return conflict
        return None

    offers = offers_for(
        request,
        error,
        fails,
        kind=setup.programme.constraint.kind,
        clients=len(setup.rewards()[1]),
    )
    raise InfeasibleDay(error, request, offers) from error


def offers_for(
    request: Request,
    error: InfeasibleActionSet,
    fails: Try,
    *,
    kind: str,
    clients: int,
    seconds: float = _SECONDS,
) -> list[Relaxation]:
    """The smallest sets of changes with which a day can be decided; where they are large, or the
    search is long, any one set of which no change can be left out.

    Args:
        request: of the day.
        error: its conflict.
        fails: why the day cannot be decided as in a request; None if it can.
        kind: of the feasible set (`constraint.kind`).
        clients: in the programme.
        seconds: for the search.
    """
    search = _Search(request, error, fails, kind, clients, time.monotonic() + seconds)
    offers = list[Relaxation]()
    for changes in search.smallest() or search.any_one():
        if offers and search.late(_SECONDS):
            break
        offers.append(search.tightened(changes))
    return offers


@dataclass
class _Search:
    """The tree of one day; arguments as in `offers_for`."""

    request: Request
    error: InfeasibleActionSet
    fails: Try
    kind: str
    clients: int
    ends: float

    def __post_init__(self) -> None:
        self._conflicts = [self._changes(self.error)]
        # limits that are as good as none
        self._free = {"visits": self.clients, "moves": 2 * self.clients, "hours": MOST_HOURS}

    def _changes(self, error: InfeasibleActionSet) -> list[Remedy]:
        """What may be changed about a conflict for one day, without amounts."""
        some = [r if self.kind == "exactly" else replace(r, amount=None) for r in error.remedies]
        some = [remedy for remedy in some if self._possible(remedy)]
        return sorted(dict.fromkeys(some), key=lambda remedy: _ORDER.index(remedy.kind))

    def _possible(self, remedy: Remedy) -> bool:
        if remedy.kind == "visits":
            own = self.kind == "custom" or ":" in self.kind
            fixed = self.kind == "exactly" and (remedy.amount is None or remedy.amount < 1)
            return not own and not fixed
        if remedy.kind == "forced":
            return remedy.name in self.request.force_in
        return remedy.kind != "left out" or remedy.name in self.request.force_out

    def _relaxation(self, changes: Changes) -> Relaxation:
        """The changes; a limit without an amount is none."""
        by = {kind: [r for r in changes if r.kind == kind] for kind in _ORDER}
        limits = {
            kind: int(by[kind][0].amount or self._free[kind]) if by[kind] else None
            for kind in ("visits", "moves")
        }
        names = {kind: tuple(sorted(r.name for r in by[kind])) for kind in _ORDER}
        return Relaxation(
            names["rule"],
            limits["visits"],
            limits["moves"],
            {r.name: self._free["hours"] if r.amount is None else r.amount for r in by["hours"]},
            names["forced"],
            names["left out"],
        )

    def _fails(self, changes: Changes) -> InfeasibleActionSet | None:
        return self.fails(self._relaxation(changes).applied(self.request))

    def late(self, more: float = 0.0) -> bool:
        """Whether the time of the search, and some seconds more, are over."""
        return time.monotonic() > self.ends + more

    def _conflict(self, changes: Changes) -> list[Remedy] | None:
        """What may be changed about a conflict that remains; None if there is none."""
        for known in self._conflicts:
            if not changes.intersection(known):
                return known
        error = self._fails(changes)
        if error is None:
            return None
        self._conflicts.append(self._changes(error))
        return self._conflicts[-1]

    def smallest(self) -> list[Changes]:
        """All smallest sets, up to `_MOST` of up to `_LARGEST` changes; those found in time."""
        level, found = [frozenset[Remedy]()], list[Changes]()
        for _ in range(_LARGEST + 1):
            further: dict[Changes, None] = {}
            for changes in level:
                if len(found) >= _MOST or self.late():
                    return found
                conflict = self._conflict(changes)
                if conflict is None:
                    found.append(changes)
                else:
                    further |= dict.fromkeys(changes | {change} for change in conflict)
            if found:
                return found
            level = list(further)
        return found

    def any_one(self) -> list[Changes]:
        """A set of which no change can be left out, or nothing where there is none."""
        changes = frozenset[Remedy]()
        while (conflict := self._conflict(changes)) is not None:
            if not conflict or self.late(_SECONDS):
                return []
            changes |= {conflict[0]}
        for change in sorted(changes, key=lambda remedy: (remedy.kind, remedy.name)):
            if self._conflict(changes - {change}) is None:
                changes -= {change}
        return [changes]

    def tightened(self, changes: Changes) -> Relaxation:
        """The changes with the least amounts of their limits that were found to be enough."""
        for change in sorted(changes, key=lambda remedy: (remedy.kind, remedy.name)):
            if change.kind in self._free and self.kind != "exactly":
                rest = changes - {change}
                changes = rest | {self._least(change, rest)}
        return self._relaxation(changes)

    def _least(self, change: Remedy, rest: Changes) -> Remedy:
        """A change with the least amount that is enough beside `rest`, which is not."""
        step = _CENT if change.kind == "hours" else 1.0
        error, low = self._fails(rest) if rest else self.error, 0.0
        while error is not None:  # the rules alone may need less than all constraints together
            amounts = [r.amount for r in error.remedies if replace(r, amount=None) == change]
            if not amounts or amounts[0] is None or amounts[0] <= low or self.late(_SECONDS):
                return self._bisected(change, rest, step)
            low = amounts[0]
            tried = replace(change, amount=_rounded_up(low, step))
            error = self._fails(rest | {tried})
        return tried

    def _bisected(self, change: Remedy, rest: Changes, step: float) -> Remedy:
        """As `_least`, where conflicts do not tell the amount; after the time of the search, the
        least amount that was found to be enough by then.
        """
        low, high = 0, round(self._free[change.kind] / step)  # which is enough
        while high - low > 1 and not self.late(_SECONDS):
            middle = max(low + 1, math.isqrt(max(low, 1) * high))  # of the ratio
            if self._fails(rest | {replace(change, amount=middle * step)}):
                low = middle
            else:
                high = middle
        return replace(change, amount=round(high * step, 6))


def _rounded_up(amount: float, step: float) -> float:
    """The next multiple of a step, but for rounding errors of solvers."""
    return round(math.ceil(amount / step - 1e-5) * step, 6)


def _listed(names: Sequence[str]) -> str:
    """Names as an option takes them: those with a comma in double quotes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return text.getvalue()
