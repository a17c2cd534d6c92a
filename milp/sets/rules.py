"""The usual rules of a programme, for `build(block, today)`: one function each.

```python
# my_rules.py
from worldplan.milp.sets import rules

def build(block, today):
    rules.must_visit(block, today, ["Amina"])
    rules.at_least_once_in(block, today, days=14)
    rules.at_least_per_group(block, today, "district", 1)
```

`constraint.rules: my_rules.py:build` adds them to a set of any kind; kind "custom" has no other
constraints. Each function names its constraints, so that prices and conflicts name them too. a_j is
1 if arm j is visited today.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.today import Today, known

Names = Iterable[str]


def must_visit(block: Any, today: Today, names: Names) -> None:
    """a_j = 1 for the arms with these names.

    Raises:
        ConfigError: a name is unknown; shows the nearest.
    """
    arms = {name: today.arm(name) for name in _names(names)}
    _add(block, "must_visit", {name: block.a[arm] >= 1 for name, arm in arms.items()})


def must_not_visit(block: Any, today: Today, names: Names) -> None:
    """a_j = 0 for the arms with these names.

    Raises:
        ConfigError: a name is unknown; shows the nearest.
    """
    arms = {name: today.arm(name) for name in _names(names)}
    _add(block, "must_not_visit", {name: block.a[arm] <= 0 for name, arm in arms.items()})


def at_least_once_in(block: Any, today: Today, days: int, names: Names | None = None) -> None:
    """a_j = 1 for the arms whose last visit was `days` or more days ago, or that have had none.

    On any day (`today.date` is None) nobody is due, and who is absent never is.

    Args:
        block: Pyomo's.
        today: the day.
        days: longest time from one visit to the next.
        names: of the arms that the rule holds for; all unless given.

    Raises:
        ConfigError: `days` is below 1, or a name is unknown.
    """
    checks.whole_number(days, "days", least=1)
    if today.date is None:
        return
    due = {}
    for name in today.names if names is None else _names(names):
        since = today.days_since_visit(name)
        if name not in today.absent and (since is None or since >= days):
            due[name] = block.a[today.arm(name)] >= 1
    _add(block, f"once_in_{days}_days", due)


def at_least_per_group(
    block: Any, today: Today, column: str, least: int | Mapping[str, int]
) -> None:
    """sum of a_j over the arms of a group >= least, for each group.

    Args:
        block: Pyomo's.
        today: the day.
        column: of `constraint.attributes`, such as "district": equal texts form a group.
        least: visits in each group, or by group; groups that are left out have no such rule.

    Raises:
        ConfigError: the column or a group is unknown, or a number is negative.
    """
    sums, amounts = _by_group(block, today, column, least)
    rules = {group: sums[group] >= amount for group, amount in amounts.items() if amount > 0}
    _add(block, f"at_least_per_{column}", rules)


def at_most_per_group(block: Any, today: Today, column: str, most: int | Mapping[str, int]) -> None:
    """sum of a_j over the arms of a group <= most, for each group; arguments as above.

    Raises:
        ConfigError: the column or a group is unknown, or a number is negative.
    """
    sums, amounts = _by_group(block, today, column, most)
    rules = {group: sums[group] <= amount for group, amount in amounts.items()}
    _add(block, f"at_most_per_{column}", rules)


def fair_shares(block: Any, today: Today, column: str, within: float = 1.0) -> None:
    """|sum of a_j in g - (n_g / n) sum of all a_j| <= within, for each group g.

    A group with n_g of the n arms that are present gets its share of today's visits, to within so
    many visits.

    Raises:
        ConfigError: the column is unknown, or `within` is negative.
    """
    checks.number(within, "within", least=0)
    present = {arm for arm, name in enumerate(today.names) if name not in today.absent}
    total = sum(block.a[arm] for arm in sorted(present))
    upper, lower = {}, {}
    for group, members in today.groups(column).items():
        arms = [arm for arm in members if arm in present]
        if not arms:
            continue
        extra = sum(block.a[arm] for arm in arms) - len(arms) / len(present) * total
        upper[group], lower[group] = extra <= within, extra >= -within
    _add(block, f"fair_share_of_{column}_at_most", upper)
    _add(block, f"fair_share_of_{column}_at_least", lower)


def assign_workers(
    block: Any,
    today: Today,
    hours: float | Mapping[str, float] = 1.0,
    *,
    needs: str = "",
    skills: Mapping[str, Names] | None = None,
    area: str = "",
    travel: float | Mapping[str, float] = 0.0,
) -> None:
    """One worker who may serve it for each visited arm, within the workers' hours of today.

    With serves_ij = 1 if worker i serves arm j, and goes_ig = 1 if worker i goes to area g,

        sum_i serves_ij = a_j                                            for each arm j
        sum_j hours_j serves_ij + sum_g travel_g goes_ig <= hours of i   for each worker i
        serves_ij <= goes_ig                                             for j in area g

    and serves_ij = 0 unless worker i has the skill that arm j needs (one row `skill` for each arm).
    The decision's table has a column with the worker of each arm.

    Args:
        block: Pyomo's.
        today: the day; `today.hours` are the workers' hours (`constraint.workers`, calendar).
        hours: of a visit, for all arms or by arm.
        needs: column of `constraint.attributes` with the skill that each arm needs; "": none.
        skills: of each worker, texts of that column; workers who are left out have none.
        area: column with the area of each arm, for `travel`; "": no travel.
        travel: hours to an area and back, once a day and worker, for all areas or by area.

    Raises:
        ConfigError: there are no workers, a name is unknown, or a number is negative.
    """
    import pyomo.environ as pyo

    if not today.hours:
        raise ConfigError(
            "assign_workers needs workers: give constraint.workers, a CSV worker, capacity"
        )
    length = _amounts(hours, today.names, "arm", "hours")
    able = _able(today, needs, skills)
    pairs = [(i, name) for i in today.hours for name in today.names]
    block.serves = pyo.Var(pairs, domain=pyo.Binary, doc=ASSIGNMENT)
    by_worker: dict[str, list[str]] = {i: [] for i in today.hours}
    by_arm: dict[str, list[str]] = {name: [] for name in today.names}
    for worker, name in pairs:
        by_worker[worker].append(name)
        by_arm[name].append(worker)
    served = {
        name: sum(block.serves[i, name] for i in workers) - block.a[today.arm(name)] == 0
        for name, workers in by_arm.items()
    }
    _add(block, "one_worker", served, doc=STRUCTURE)
    unable = {name: [i for i in by_arm[name] if name not in able[i]] for name in today.names}
    skill = {
        name: sum(block.serves[i, name] for i in workers) <= 0
        for name, workers in unable.items()
        if workers
    }
    _add(block, "skill", skill, doc=SKILL)
    load = {
        i: sum(length[name] * block.serves[i, name] for name in names)
        for i, names in by_worker.items()
        if names
    }
    if area:
        _add_travel(block, today, area, travel, pairs, load)
    rows = {i: used <= today.hours[i] for i, used in load.items()}
    _add(block, "hours_of", rows, doc=HOURS)


SKILL = "skill of an arm"  # doc of constraints that may be left out, and are no limit to raise
HOURS = "hours of a worker"  # doc of constraints whose index is the worker
ASSIGNMENT = "worker and arm"  # doc of a variable whose indices are (worker, arm)
STRUCTURE = "assignment of workers"  # doc of constraints that define, and are no limit to raise


def _add_travel(
    block: Any,
    today: Today,
    area: str,
    travel: float | Mapping[str, float],
    pairs: list[tuple[str, str]],
    load: dict[str, Any],
) -> None:
    """Add goes_ig, its rows, and its hours to the workers' loads."""
    import pyomo.environ as pyo

    groups = today.groups(area)
    away = _amounts(travel, groups, area, "travel", rest=0.0)
    where = {today.names[arm]: group for group, arms in groups.items() for arm in arms}
    trips = list(dict.fromkeys((worker, where[name]) for worker, name in pairs))
    block.goes = pyo.Var(trips, domain=pyo.Binary)
    rules = {pair: block.serves[pair] <= block.goes[pair[0], where[pair[1]]] for pair in pairs}
    _add(block, "goes_there", rules, doc=STRUCTURE)
    for worker, group in trips:
        load[worker] = load[worker] + away[group] * block.goes[worker, group]


def _able(today: Today, needs: str, skills: Mapping[str, Names] | None) -> dict[str, set[str]]:
    """The arms that each worker may serve.

    Raises:
        ConfigError: a worker or a skill is unknown.
    """
    everybody = set(today.names)
    if not needs:
        if skills is not None:
            raise ConfigError("skills without needs: name the column that holds what an arm needs")
        return dict.fromkeys(today.hours, everybody)
    groups = today.groups(needs)
    able: dict[str, set[str]] = {worker: set() for worker in today.hours}
    for worker, own in (skills or {}).items():
        known(worker, today.hours, "worker")
        for skill in _names(own):
            arms = groups[known(skill, groups, f"'{needs}'")]
            able[worker] |= {today.names[arm] for arm in arms}
    return able


def _by_group(
    block: Any, today: Today, column: str, amount: int | Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, float]]:
    """The visits in each group, and the amount of each group that has one."""
    groups = today.groups(column)
    sums = {group: sum(block.a[arm] for arm in arms) for group, arms in groups.items()}
    if isinstance(amount, Mapping):
        names = [known(group, groups, f"'{column}'") for group in amount]
        return sums, _amounts(amount, names, column, "the number of visits")
    return sums, _amounts(amount, groups, column, "the number of visits")


def _amounts(
    given: float | Mapping[str, float],
    names: Iterable[str],
    what: str,
    quantity: str,
    rest: float | None = None,
) -> dict[str, float]:
    """The amount of each name: one for all, or by name.

    Raises:
        ConfigError: a name is unknown or has no amount, or an amount is negative.
    """
    every = list(names)
    if not isinstance(given, Mapping):
        return dict.fromkeys(every, checks.number(given, quantity, least=0))
    for name in given:
        known(name, every, what)
    missing = [name for name in every if name not in given]
    if missing and rest is None:
        raise ConfigError(f"{quantity} of {what} '{missing[0]}' is missing: add it")
    found = {name: given.get(name, rest) for name in every}
    return {
        name: checks.number(value, f"{quantity} of {what} '{name}'", least=0)
        for name, value in found.items()
    }


def _names(names: Names) -> list[str]:
    """Several names as a list.

    Raises:
        ConfigError: they are one text, or no texts.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ConfigError(f"{checks.shown(names)} is no list of names: write ['Amina']")
    return list(names)


def _add(block: Any, name: str, rules: Mapping[Any, Any], *, doc: str | None = None) -> None:
    """Add constraints by index as a component whose name is not taken yet."""
    import pyomo.environ as pyo

    if not rules:
        return
    number, free = 1, name
    while block.component(free) is not None:
        number += 1
        free = f"{name}_{number}"
    block.add_component(
        free, pyo.Constraint(list(rules), rule=lambda _, *index: rules[_key(index)], doc=doc)
    )


def _key(index: tuple[Any, ...]) -> Any:
    return index[0] if len(index) == 1 else index
