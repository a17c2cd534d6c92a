"""What a symbolic environment returns, checked and brought into exact form: one line names the part
that is wrong and says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from gymnasium import spaces

from worldplan.envs.checked import check_reset, check_step
from worldplan.milp import checks
from worldplan.milp.addresses import own_errors
from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleAction
from worldplan.planners.numeric.symbolic_env import SymbolicEnv
from worldplan.world_models.exact.numbers import Rational, exact
from worldplan.world_models.numeric.domain import Goal, Ground, Vocabulary
from worldplan.world_models.numeric.forms import Values, exact_number

_MEMBERS = ("reset", "step", "symbolic_state", "call", "action_of")


class CheckedSymbolicEnv:
    """The same environment; what its members return is checked.

    Facts may come as any set, list or tuple of tuples of names, or as a mapping from facts to truth
    values. Numbers may be Python's or numpy's, truth values count as 0 and 1; a float is taken as
    its shortest decimal. What the environment's own code raises becomes one line with its place.

    Args:
        env: has the members of `SymbolicEnv`.
        vocabulary: its domain.
        decimals: numbers of the state are rounded to so many decimals; None: exact as they are.

    Raises:
        ConfigError: a member is missing, or a space is of another kind.
    """

    def __init__(
        self, env: SymbolicEnv, vocabulary: Vocabulary, decimals: int | None = None
    ) -> None:
        self.env, self.vocabulary, self.decimals = env, vocabulary, decimals
        self.name = f"environment '{type(env).__name__}'"
        for member in _MEMBERS:
            if not callable(getattr(env, member, None)):
                raise ConfigError(
                    f"{self.name}: has no method '{member}': define the members of SymbolicEnv "
                    "(of a wrapped environment, give its .unwrapped)"
                )
        if not hasattr(type(env), "objects") and not hasattr(env, "objects"):
            raise ConfigError(f"{self.name}: has no 'objects': give a mapping from names to types")
        actions, observations = (
            getattr(env, f"{kind}_space", None) for kind in ("action", "observation")
        )
        if not isinstance(actions, spaces.Discrete) or actions.start != 0:
            raise ConfigError(f"{self.name}: has actions {actions}: make them Discrete, from 0 on")
        if not isinstance(observations, spaces.Box) or len(observations.shape) != 1:
            raise ConfigError(
                f"{self.name}: has observations {observations}: make them a Box of one axis"
            )
        self.action_space: spaces.Discrete = actions
        self.observation_space: spaces.Box = observations
        self._count = int(actions.n)
        self._objects: dict[str, str] = {}
        # what each kind of tuple may name, and the tuples over these objects that were checked
        self._declared: dict[str, Mapping[str, tuple[str, ...]]] = {
            "fact": vocabulary.predicates,
            "fluent": vocabulary.functions,
            "call": {
                name: tuple(kind for _, kind in parameters)
                for name, parameters in vocabulary.actions.items()
            },
        }
        self._known: dict[str, set[Ground]] = {kind: set() for kind in self._declared}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; returns the observation (size,) and details.

        Raises:
            ConfigError: the environment's code fails, or returns something else.
        """
        with self._running("reset"):
            result = self.env.reset(seed=seed, options=options)
        check_reset(result, self.observation_space, self.name)
        self.check_count()
        return np.asarray(result[0]), dict(result[1])

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Apply an action; returns observation (size,), reward, terminated, truncated and details.

        Raises:
            ConfigError: the environment's code fails, or returns something else.
        """
        with self._running(f"step({action})"):
            result = self.env.step(action)
        check_step(result, self.observation_space, self.name)
        observation, reward, terminated, truncated, info = result
        return np.asarray(observation), float(reward), bool(terminated), bool(truncated), dict(info)

    @property
    def objects(self) -> Mapping[str, str]:
        """Type of each object, constants included.

        Raises:
            ConfigError: the environment's code fails, or gives no such mapping.
        """
        with self._running("objects"):
            given = self.env.objects
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"{self.name}: objects is {checks.shown(given)}: give a mapping from names to types"
            )
        objects = dict(given)
        if objects != self._objects:
            for name, kind in objects.items():
                if not isinstance(name, str) or (
                    kind != "object" and kind not in self.vocabulary.types
                ):
                    raise ConfigError(
                        f"{self.name}: object {name!r} has type {kind!r}, which domain "
                        f"'{self.vocabulary.name}' does not declare: "
                        f"give {', '.join(self.vocabulary.types) or 'object'}"
                    )
            self._objects = objects
            for known in self._known.values():
                known.clear()
        return objects

    def goal(self, given: Goal | None) -> Goal:
        """The goal that is given; else the environment's own of the current episode.

        Raises:
            ConfigError: there is none.
        """
        if given is not None:
            return given
        with self._running("goal"):
            own = getattr(self.env, "goal", None)
        if not isinstance(own, Goal):
            raise ConfigError(
                f"{self.name}: its goal is {checks.shown(own)}: give RAMP a goal, or the "
                "environment a property 'goal' that is a Goal"
            )
        return own

    def symbolic_state(self) -> tuple[frozenset[Ground], Mapping[Ground, Rational]]:
        """The true ground atoms, and the exact value of every ground fluent.

        Raises:
            ConfigError: the environment's code fails, returns something else, or uses names that
                are not declared.
        """
        with self._running("symbolic_state"):
            given = self.env.symbolic_state()
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise ConfigError(
                f"{self.name}: symbolic_state returned {checks.shown(given)}: return the true "
                "facts, and a mapping from fluents to numbers"
            )
        objects = self.objects
        atoms = frozenset(
            self._checked("fact", fact, objects, "fact") for fact in self._facts_of(given)
        )
        if not isinstance(given[1], Mapping):
            raise ConfigError(
                f"{self.name}: the fluents are {checks.shown(given[1])}: give a mapping from "
                "fluents, such as ('fuel', 'truck0'), to numbers"
            )
        values = {
            self._checked("fluent", fluent, objects, "fluent"): self._number(fluent, value)
            for fluent, value in given[1].items()
        }
        return atoms, Values(values)

    def call(self, action: Any) -> Ground:
        """The ground action of an action number in the current state, applicable or not.

        Raises:
            ConfigError: the environment's code fails, or the call does not fit the domain.
            InfeasibleAction: the number stands for nothing in this state.
        """
        return self._call(action, self.objects)

    def action_of(self, call: Ground) -> int:
        """The number of a ground action in the current state.

        Raises:
            ConfigError: the environment's code fails, or returns no action number.
            InfeasibleAction: it has no number in this state.
        """
        text = " ".join(call)
        with self._running(f"action_of({text})", "raise InfeasibleAction where there is none"):
            number = self.env.action_of(call)
        if isinstance(number, bool | np.bool_) or not self.action_space.contains(number):
            raise ConfigError(
                f"{self.name}: action_of({text}) is {checks.shown(number)}: return a number from 0 "
                f"to {self._count - 1}, or raise InfeasibleAction"
            )
        return int(number)

    def calls(self) -> list[Ground | None]:
        """The ground action of every number in the current state; None where it stands for
        nothing.

        Raises:
            ConfigError: as `call`; or the number of actions has changed.
        """
        self.check_count()
        objects = self.objects
        calls: list[Ground | None] = []
        for action in range(self._count):
            try:
                calls.append(self._call(action, objects))
            except InfeasibleAction:
                calls.append(None)
        return calls

    def check_count(self) -> None:
        """Check that the number of actions is the first one.

        Raises:
            ConfigError: it is not.
        """
        count = int(self.env.action_space.n)
        if count != self._count:
            raise ConfigError(
                f"{self.name}: had {self._count} actions and now has {count}: keep their number "
                "(let `call` raise InfeasibleAction for numbers that stand for nothing)"
            )

    def _running(self, member: str, remedy: str = "mend it") -> Any:
        return own_errors(f"{self.name}: {member}", remedy)

    def _facts_of(self, given: Any) -> Iterable[Any]:
        """The true facts of a state.

        Raises:
            ConfigError: they are no set, list, tuple or mapping to truth values.
        """
        facts = given[0]
        if isinstance(facts, Mapping):
            for fact, truth in facts.items():
                if not isinstance(truth, bool | np.bool_):
                    raise ConfigError(
                        f"{self.name}: fact {fact!r} is {checks.shown(truth)}: give True or False, "
                        "or put numbers among the fluents"
                    )
            return [fact for fact, truth in facts.items() if truth]
        if isinstance(facts, str | bytes) or not isinstance(facts, Iterable):
            raise ConfigError(
                f"{self.name}: the facts are {checks.shown(facts)}: give a set of tuples such as "
                "('at', 'truck0', 'depot1')"
            )
        return facts

    def _call(self, action: Any, objects: Mapping[str, str]) -> Ground:
        with self._running(f"call({action})"):
            given = self.env.call(action)
        return self._checked("call", given, objects, f"call({action})")

    def _checked(self, kind: str, given: Any, objects: Mapping[str, str], what: str) -> Ground:
        """A tuple of names that fits its declaration.

        Args:
            kind: "fact", "fluent" or "call".
            given: by the environment.
            objects: types of the objects by name.
            what: for messages.

        Raises:
            ConfigError: it does not fit.
        """
        if type(given) is tuple and given in self._known[kind]:
            return given
        parts = tuple(given) if isinstance(given, tuple | list) else ()
        if not parts or not all(isinstance(part, str) for part in parts):
            raise ConfigError(
                f"{self.name}: {what}: {checks.shown(given)}: give a tuple of names such as "
                "('at', 'truck0', 'depot1')"
            )
        name, *arguments = parts
        text, expected = " ".join(parts), self._declared[kind].get(name)
        if expected is None:
            raise ConfigError(
                f"{self.name}: {what}: ({text}): domain '{self.vocabulary.name}' declares no "
                f"'{name}': use {', '.join(self._declared[kind]) or 'none'}"
            )
        if len(expected) != len(arguments):
            raise ConfigError(
                f"{self.name}: {what}: ({text}) has {len(arguments)} arguments: "
                f"'{name}' is declared with {len(expected)}"
            )
        for argument, ancestor in zip(arguments, expected, strict=True):
            type_of = objects.get(argument)
            if type_of is None or not self.vocabulary.is_a(type_of, ancestor):
                has = "is not among the objects" if type_of is None else f"has type '{type_of}'"
                raise ConfigError(
                    f"{self.name}: {what}: ({text}): '{argument}' {has}: "
                    f"'{name}' takes {', '.join(expected)}"
                )
        self._known[kind].add(parts)
        return parts

    def _number(self, fluent: Ground, value: Any) -> Rational:
        """The exact value of a fluent.

        Raises:
            ConfigError: it is no finite number.
        """
        if isinstance(value, np.ndarray) and value.shape == ():
            value = value[()]
        if isinstance(value, bool | np.bool_):
            value = int(value)
        try:
            number = exact_number(value, f"({' '.join(map(str, fluent))})")
        except DatasetError as error:
            raise ConfigError(f"{self.name}: {error}") from error
        if self.decimals is None or type(number) is int:
            return number
        return exact(round(Fraction(number), self.decimals))
