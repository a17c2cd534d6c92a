"""Bandit policies by name: what `policies` of a scenario, and `--policy`, may be.

A policy of your own is one class in one file:

```python
# my_package/lazy.py
from worldplan.planners import Decision, Planner

class LazyPolicy(Planner):
    def __init__(self, instance):
        self.action = instance.actions.default()

    def plan(self, observation):  # {"state": (arms,), "steps_left": int}
        return Decision(self.action, value=None, bound=None, status="heuristic", seconds=0.0)
```

A scenario names it:

```yaml
policies: [fluid, my_package.lazy:LazyPolicy]
```

A class is made from the instance alone. If it needs more, such as the seed or the solver's
settings, it has a class method `from_context(context: PolicyContext)`, or the address names a
function of the context. The module must be importable (`PYTHONPATH=. worldplan bandits run ...`).
A short name comes with `@POLICIES.register("lazy")` in Python (with `--jobs 1`: other processes
import addresses only), or from the entry-point group "worldplan.policies" of an installed package.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats, Ints
from worldplan.milp.addresses import own_errors
from worldplan.milp.errors import ConfigError, WorldplanError
from worldplan.milp.registry import Registry
from worldplan.milp.sets.base import ActionSet
from worldplan.milp.sets.fixed import budget_of
from worldplan.milp.solvers import SolverSettings
from worldplan.nearest import did_you_mean
from worldplan.planners.bandits.baselines import (
    IterativeMyopicPolicy,
    MyopicPolicy,
    NullPolicy,
    RandomPolicy,
    SamplingPolicy,
)
from worldplan.planners.bandits.bounds import is_classed, is_priced
from worldplan.planners.bandits.classes.planner import ClassPlanner
from worldplan.planners.bandits.endless.planner import EndlessPlanner, refuse_several_classes
from worldplan.planners.bandits.fluid import FluidPlanner
from worldplan.planners.bandits.lagrangian import LagrangianPlanner
from worldplan.planners.bandits.online.thompson import ThompsonSampling
from worldplan.planners.bandits.online.ucwhittle import UCWhittle
from worldplan.planners.bandits.sequoia.policy import (
    check_learned,
    load_sequoia,
    make_sequoia,
    trained,
)
from worldplan.planners.bandits.sequoia.settings import SequoiaSettings
from worldplan.planners.bandits.whittle import WhittlePolicy
from worldplan.planners.base import Planner, as_planner


@dataclass(frozen=True)
class PolicyContext:
    """What a policy is made from.

    Args:
        instance: arms, feasible actions and horizon; the policy is evaluated on it.
        models: posterior samples of the dynamics, which a planner sees instead of
            `instance.dynamics`; None: it sees `instance.dynamics`.
        solver: settings of the solver.
        seed: of the policy's random numbers and training.
        samples: actions that "sampling" draws per decision.
        fluid_window: steps of the fluid planner's integral window.
        sequoia: learning of the "sequoia" policy.
        folder: of the training of a learned policy, which is resumed or reused; None: there is no
            training.
        checkpoint: a trained SEQUOIA checkpoint to use instead of training.
        later: the feasible actions of the days after today, where the instance has those of today;
            None: those of the instance.
        prior: Dirichlet parameters (arms, 2, states, states) from which "thompson" draws: the
            posterior of a log; None: 1, all distributions alike.
        moves: (arms, 2, states, states) of the log, with which "ucwhittle" begins; None: none.
        delta: probability outside the confidence set of "ucwhittle".
    """

    instance: BanditInstance
    models: tuple[ArmDynamics, ...] | None = None
    solver: SolverSettings = field(
        default_factory=lambda: SolverSettings(gap=1e-3, time_limit=30.0)
    )
    seed: int = 0
    samples: int = 100
    fluid_window: int = 4
    sequoia: SequoiaSettings = field(default_factory=SequoiaSettings)
    folder: Path | None = None
    checkpoint: str | None = None
    later: ActionSet | None = None
    prior: Floats | None = None
    moves: Floats | Ints | None = None
    delta: float = 1e-3


PolicyFactory = Callable[[PolicyContext], Planner]


@dataclass(frozen=True)
class NamedPolicy:
    """A policy factory with what lists of policies are sorted by. Itself a policy factory.

    Args:
        make: makes the planner, and trains it if necessary.
        job_length: relative length of a job; longer jobs start first. That of the bound is 1.
        rank: the report shows an episode of the policy with the highest rank.
        on_request: left out where a scenario names no policies.
        learns: from the moves that it sees while it decides; its episodes are played in sequence.
        trained: before it is played, unless a checkpoint is given.
        check: raises what `make` would raise for bad input, where that takes little time.
    """

    make: PolicyFactory
    job_length: float = 0
    rank: float = math.inf
    on_request: bool = False
    learns: bool = False
    trained: bool = False
    check: Callable[[PolicyContext], object] = lambda context: None

    def __call__(self, context: PolicyContext) -> Planner:
        return self.make(context)


POLICIES: Registry[PolicyFactory | type[Planner]] = Registry("policy", "worldplan.policies")


def make_policy(name: str, context: PolicyContext) -> Planner:
    """The planner that a policy's name or address stands for; a learned one is trained first.

    A training that was interrupted in `context.folder` is resumed.

    Raises:
        ConfigError: the policy is unknown, cannot be made, does not fit the instance, or must be
            trained and has no folder.
        CheckpointError: the checkpoint is missing, damaged, or of another instance.
    """
    return _named(name)(context)


def check_policies(names: Sequence[str], setting: str = "policies") -> None:
    """Refuse names that stand for no policy; the message begins with `setting`.

    Raises:
        ConfigError: there is no name, or one is unknown or cannot be imported.
    """
    unknown = [name for name in names if ":" not in name and name not in POLICIES]
    if unknown or not names:
        near = did_you_mean(unknown[0], POLICIES) if len(unknown) == 1 else ""
        raise ConfigError(
            f"{setting}: {', '.join(unknown) or 'none given'}: "
            f"choose from {', '.join(POLICIES)}, or give your own as module:Class{near}"
        )
    for name in names:
        POLICIES.get(name)


def check_policy(name: str, context: PolicyContext) -> None:
    """Raise what `make_policy` would raise for bad input, where finding it takes little time. A
    user's class that is made from the instance alone is made once.

    Raises:
        ConfigError: the policy does not fit the instance.
        CheckpointError: the checkpoint is missing, damaged, or of another instance.
    """
    _named(name).check(context)


@contextmanager
def naming_policy(name: str, seed: int) -> Iterator[None]:
    """Name policy and seed in the errors of the block under `with`, in which the policy acts.

    Raises:
        ConfigError: code of a user's policy raised an exception; names file and line.
        WorldplanError: the same error with policy and seed in its text.
    """
    subject = f"policy '{name}', seed {seed}"
    try:
        if isinstance(POLICIES.get(name), NamedPolicy):  # errors of worldplan are no user's
            yield
        else:
            with own_errors(subject, "mend it, and repeat the command"):
                yield
    except WorldplanError as error:
        text = str(error).removeprefix(f"{subject}: ").removeprefix(f"policy '{name}': ")
        raise type(error)(f"{subject}: {text}") from error


def job_length(name: str) -> float:
    """The policy's `NamedPolicy.job_length`."""
    return _named(name).job_length


def learns(name: str) -> bool:
    """The policy's `NamedPolicy.learns`."""
    return _named(name).learns


def is_trained(name: str) -> bool:
    """The policy's `NamedPolicy.trained`."""
    return _named(name).trained


def best_informed(names: Iterable[str]) -> str:
    """The policy whose episode is shown: the highest rank, the first of equals."""
    return max(names, key=lambda name: _named(name).rank)


# ---- from an entry of the registry to a planner


def _named(name: str) -> NamedPolicy:
    """The entry of the registry; a user's class or function is wrapped."""
    member = POLICIES.get(name)
    if isinstance(member, NamedPolicy):
        return member
    return NamedPolicy(
        lambda context: _call(name, member, context),
        check=lambda context: _try(name, member, context),
    )


def _try(name: str, member: Any, context: PolicyContext) -> None:
    """Make the planner if the instance alone suffices: a function of the context may train.

    Raises:
        ConfigError: it cannot be called, fails, or makes no planner.
    """
    _, argument = _bind(name, member, context)
    if argument is context.instance:
        _call(name, member, context)


def _call(name: str, member: Any, context: PolicyContext) -> Planner:
    """The planner that a user's class or function makes of the context.

    Raises:
        ConfigError: it cannot be called, fails, or makes no planner.
    """
    make, argument = _bind(name, member, context)
    with own_errors(f"policy '{name}'", "mend it, or leave the policy out"):
        candidate = make(argument)
    try:
        return as_planner(candidate)
    except ConfigError as error:
        raise ConfigError(f"policy '{name}': {error}") from error


def _bind(
    name: str, member: Any, context: PolicyContext
) -> tuple[Callable[[Any], Any], BanditInstance | PolicyContext]:
    """The function that makes the planner of a user's class or function, and its argument.

    Raises:
        ConfigError: it cannot be called with the argument.
    """
    make = getattr(member, "from_context", member) if isinstance(member, type) else member
    argument = context.instance if isinstance(make, type) else context
    try:
        inspect.signature(make).bind(argument)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"policy '{name}': {error}: give a class made from the instance alone, a class with "
            "the class method from_context(context), or a function of the context"
        ) from error
    return make, argument


# ---- the policies


def _check_whittle(context: PolicyContext) -> None:
    if context.instance.dynamics.effect is not None or context.instance.averaged:
        _whittle(context)  # raises


def _check_fluid(context: PolicyContext) -> None:
    if context.instance.averaged:
        refuse_several_classes(context.instance)


def _whittle(context: PolicyContext) -> Planner:
    return WhittlePolicy(context.instance, dynamics=context.models, settings=context.solver)


def _thompson(context: PolicyContext) -> Planner:
    prior = 1.0 if context.prior is None else context.prior
    return ThompsonSampling(
        context.instance, prior=prior, settings=context.solver, seed=context.seed
    )


def _ucwhittle(context: PolicyContext) -> Planner:
    return UCWhittle(
        context.instance, counts=context.moves, delta=context.delta, settings=context.solver
    )


def _fluid(context: PolicyContext) -> Planner:
    later = context.later
    if context.instance.endless:
        return EndlessPlanner(
            context.instance, context.fluid_window, context.models, context.solver, later=later
        )
    if is_priced(context.instance) and (later is None or budget_of(later) is not None):
        gap = min(context.solver.gap, 1e-4)
        return LagrangianPlanner(
            context.instance, context.models, context.solver, gap=gap, later=later
        )
    if is_classed(context.instance, later):
        gap = min(context.solver.gap, 1e-4)
        return ClassPlanner(context.instance, context.models, context.solver, gap=gap, later=later)
    return FluidPlanner(
        context.instance,
        context.fluid_window,
        context.models,
        context.solver,
        later=context.later,
    )


def _check_plain(context: PolicyContext) -> None:
    check_learned(context, "plain")


_BUILT_IN = {
    "null": NamedPolicy(lambda context: NullPolicy(context.instance), rank=1),
    "random": NamedPolicy(
        lambda context: RandomPolicy(context.instance, seed=context.seed), rank=2
    ),
    "sampling": NamedPolicy(
        lambda context: SamplingPolicy(
            context.instance, dynamics=context.models, samples=context.samples, seed=context.seed
        ),
        rank=3,
    ),
    "myopic": NamedPolicy(
        lambda context: MyopicPolicy(
            context.instance, dynamics=context.models, settings=context.solver
        ),
        rank=5,
    ),
    "iterative_myopic": NamedPolicy(
        lambda context: IterativeMyopicPolicy(context.instance, dynamics=context.models), rank=4
    ),
    "iterative_dqn": NamedPolicy(
        lambda context: trained("iterative_dqn", SequoiaSettings.greedy(), context),
        check=_check_plain,
        job_length=3,
        rank=6,
        trained=True,
    ),
    "whittle": NamedPolicy(_whittle, rank=8, check=_check_whittle),
    "thompson": NamedPolicy(_thompson, rank=7.5, on_request=True, learns=True, check=_thompson),
    "ucwhittle": NamedPolicy(_ucwhittle, rank=7.4, on_request=True, learns=True, check=_ucwhittle),
    "sequoia": NamedPolicy(make_sequoia, job_length=4, rank=11, check=load_sequoia, trained=True),
    "sequoia_paper": NamedPolicy(
        lambda context: trained("sequoia_paper", SequoiaSettings.paper(), context),
        check=_check_plain,
        job_length=6,
        rank=9,
        on_request=True,
        trained=True,
    ),
    "repaired_dqn": NamedPolicy(
        lambda context: trained("repaired_dqn", SequoiaSettings.repaired_greedy(), context),
        check=_check_plain,
        job_length=5,
        rank=7,
        on_request=True,
        trained=True,
    ),
    "fluid": NamedPolicy(_fluid, check=_check_fluid, job_length=2, rank=10),
}
for _name, _policy in _BUILT_IN.items():
    POLICIES.register(_name, _policy)

DEFAULT_POLICIES = tuple(name for name, policy in _BUILT_IN.items() if not policy.on_request)
"""Compared where a scenario names no policies: the built-in ones but for the slowest."""
