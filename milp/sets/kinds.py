"""Feasible sets by name: what `constraint.kind` of a scenario may be.

A set of your own is one subclass of `ActionSet` in one file; `Budget`, in the module of
`ActionSet`, is the shortest example. Its settings come from
`constraint.options`, or from any other setting of `Constraint` through `from_files`:

```python
# my_package/sets.py
import numpy as np
from worldplan.milp.sets import ActionSet

class Apart(ActionSet):
    def __init__(self, size, distance=1):
        self.size, self.most, self.selectable = size, size, np.ones(size, bool)
        self.pairs = [(i, j) for j in range(size) for i in range(max(0, j - distance), j)]

    def add_constraints(self, program, action, *, relaxed=False):  # rows of the MILP
        rows = [np.isin(range(self.size), pair) for pair in self.pairs]
        program.add_rows((action, np.array(rows, float)), upper=1)

    def witness(self, action, *, exact=True):  # the exact check
        return None if any(action[i] and action[j] for i, j in self.pairs) else np.zeros(0)

    def explain(self, action):  # a row per selected arm
        return [{"arm": int(arm)} for arm in np.flatnonzero(action)]
```

A scenario names it:

```yaml
programme:
  constraint:
    kind: my_package.sets:Apart
    options: {distance: 2}
```

The module must be importable (`PYTHONPATH=. worldplan bandits run scenario.yaml`). A short name
comes with `@SETS.register("neighbours")` in Python, or from the entry-point group
"worldplan.sets" of an installed package.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from worldplan.milp.addresses import own_errors
from worldplan.milp.errors import ConfigError
from worldplan.milp.registry import Registry
from worldplan.milp.sets.base import ActionSet, Budget
from worldplan.milp.sets.capacity import Capacity
from worldplan.milp.sets.custom import PyomoSet
from worldplan.milp.sets.path import Path
from worldplan.milp.sets.rule_files import load_build, sees_today
from worldplan.milp.sets.schedule import Schedule
from worldplan.milp.sets.source import Constraint, SetContext, naming_files
from worldplan.milp.sets.with_rules import WithRules
from worldplan.nearest import did_you_mean

SetFactory = Callable[[SetContext], ActionSet]

SETS: Registry[type[ActionSet] | SetFactory] = Registry("feasible set", "worldplan.sets")


def exactly(context: SetContext) -> Budget:
    """Exactly `constraint.budget` arms."""
    return Budget(len(context.arms), context.budget(), exactly=True)


_BUILT_IN: dict[str, type[ActionSet] | SetFactory] = {
    "budget": Budget,
    "exactly": exactly,
    "capacity": Capacity,
    "schedule": Schedule,
    "path": Path,
    "custom": PyomoSet,
}
_LIMITS: dict[str, set[str]] = {  # settings that only these kinds read
    "budget": {"budget"},
    "exactly": {"budget"},
    "capacity": {"budget", "costs", "workers"},
    "schedule": {"budget", "arm_slots", "workers", "visits", "same_slot"},
    "path": {"budget", "connections", "stations", "source", "moves"},
    "custom": set(),
}
for _name, _member in _BUILT_IN.items():
    SETS.register(_name, _member)


def make_set(context: SetContext) -> ActionSet:
    """The feasible set that `constraint.kind` names, built by `from_files` or by a function.

    Raises:
        ConfigError: the kind is unknown or no feasible set, or a setting is missing or wrong.
        DatasetError: a file of the set is missing or malformed.
        InfeasibleActionSet: no action satisfies the constraints.
    """
    kind, options = context.settings.kind, context.settings.options
    if kind not in SETS and ":" not in kind:
        raise ConfigError(
            f"constraint.kind '{kind}' is unknown{did_you_mean(kind, SETS)}: "
            f"choose {', '.join(SETS)}, or give your own as module:Class"
        )
    if kind in _BUILT_IN and options:
        raise ConfigError(
            f"constraint.options {', '.join(map(str, options))}: '{kind}' takes none: "
            "they are for a set of your own"
        )
    if kind in _BUILT_IN:
        _refuse_idle_calendar(context)
    member = SETS.get(kind)
    with own_errors(f"constraint.kind '{kind}'", "mend it, or choose another set"):
        actions = _made(member, context)
    if kind in _BUILT_IN:
        _refuse_idle(context.settings)
    if isinstance(actions, ActionSet) and kind != "custom" and context.settings.rules is not None:
        arms = tuple(map(str, actions.arm_names or context.arms))
        rules = PyomoSet.from_files(dataclasses.replace(context, arms=arms))
        with naming_files(context.settings.rules):
            actions = WithRules(actions, rules)
    if not isinstance(actions, ActionSet):
        raise ConfigError(
            f"constraint.kind '{kind}': give a subclass of ActionSet, "
            "or a function that makes one from a SetContext"
        )
    return actions


def _refuse_idle_calendar(context: SetContext) -> None:
    """Refuse a calendar that nothing reads.

    Raises:
        ConfigError: there are no workers, or the kind has none and there are no rules.
    """
    settings = context.settings
    if settings.calendar is None or settings.kind in ("capacity", "schedule"):
        return
    if settings.workers is None or settings.rules is None:
        raise ConfigError(
            f"constraint.calendar has no effect on kind '{settings.kind}': give constraint.workers "
            "and constraint.rules that see the workers' hours, or kind capacity or schedule"
        )


def _refuse_idle(settings: Constraint) -> None:
    """Refuse limits that the kind does not read: hours, for example, that would not count.

    Raises:
        ConfigError: names the setting, and the kinds that read it.
    """
    plain = Constraint()
    for name in sorted(set().union(*_LIMITS.values())):
        if getattr(settings, name) == getattr(plain, name) or name in _LIMITS[settings.kind]:
            continue
        if name == "workers" and settings.rules is not None:
            continue  # rules see the workers' hours
        kinds = " or ".join(kind for kind, read in _LIMITS.items() if name in read)
        way = "put it into a rule" if settings.kind == "custom" else "leave it out"
        raise ConfigError(
            f"constraint.{name} has no effect on kind '{settings.kind}': {way}, or choose kind "
            f"{kinds}"
        )


def depends_on_day(context: SetContext) -> bool:
    """Whether the set may be another one on each day: a staff calendar, or rules that see the day.

    Raises:
        ConfigError: the rules cannot be loaded; or a file needs the date, and there is none.
    """
    settings = context.settings
    for name in ("calendar", "last_visits"):
        if getattr(settings, name) is not None and context.date is None:
            raise ConfigError(f"--date is missing: constraint.{name} needs the date of today")
    if settings.calendar is not None:
        return True
    if settings.rules is None:
        return False
    file, _, function = settings.rules.rpartition(":")
    return sees_today(load_build(f"{context.find(file)}:{function}"))


def _made(member: object, context: SetContext) -> object:
    """What a member of the registry makes of the context; None if it is no class or function."""
    if isinstance(member, type):
        return member.from_files(context) if issubclass(member, ActionSet) else None
    return member(context) if callable(member) else None
