"""Names for interchangeable classes: a policy, a feasible set, a dynamics model, a planner.

A registry maps the name that a YAML file uses to the object that implements it. There are three
ways to add an object, none of which edits worldplan: `@POLICIES.register("lazy")` in Python, in
whatever module is imported first; the address `my_package.lazy:LazyPolicy`, wherever a name is
accepted; or an entry point in the pyproject.toml of an installed package:

```toml
[project.entry-points."worldplan.policies"]
lazy = "my_package.lazy:LazyPolicy"
```
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Generic, TypeVar

from worldplan.milp.addresses import import_address
from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """The objects of one kind, by name.

    Args:
        kind: what is registered, for messages ("policy").
        group: entry-point group in which installed packages announce their objects
            ("worldplan.policies").
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind, self.group = kind, group
        self._members: dict[str, T] = {}

    def register(self, name: str, member: T | None = None) -> Callable[[T], T]:
        """Register `member` under `name`, or decorate it: `@registry.register("name")`.

        Args:
            name: letters, digits, '-' and '_'.
            member: the object; None when this is used as a decorator.

        Raises:
            ConfigError: the name is taken by another object, or has other characters.
        """
        if not name or not name.replace("_", "").replace("-", "").isalnum():
            raise ConfigError(f"{self.kind} '{name}': use letters, digits, '-' and '_'")

        def add(item: T) -> T:
            if self._members.setdefault(name, item) is not item:
                raise ConfigError(
                    f"{self.kind} '{name}' is registered already: choose another name"
                )
            return item

        if member is not None:
            add(member)
        return add

    def get(self, name: str) -> T:
        """The object registered as `name`, announced as `name`, or at `name` = "module:attribute".

        Raises:
            ConfigError: nothing has that name (the message lists the names), or the import fails.
        """
        if name in self._members:
            return self._members[name]
        for entry in metadata.entry_points(group=self.group):
            if entry.name == name:
                return self._load(entry.value)
        if ":" in name:
            return self._load(name)
        known = ", ".join(self)
        raise ConfigError(
            f"{self.kind} '{name}'{did_you_mean(name, self)}: choose {known}, "
            "or give your own as module:attribute"
        )

    def _load(self, address: str) -> T:
        member: T = import_address(address, self.kind)
        return member

    def __iter__(self) -> Iterator[str]:
        """Registered names in the order of registration, then the announced ones."""
        yield from self._members
        announced = (entry.name for entry in metadata.entry_points(group=self.group))
        yield from (name for name in announced if name not in self._members)

    def __contains__(self, name: object) -> bool:
        return any(name == known for known in self)  # entry points are searched last
