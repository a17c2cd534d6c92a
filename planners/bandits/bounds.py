"""The upper bound that suits an instance."""

from __future__ import annotations

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import ActionSet, Budget
from worldplan.milp.sets.fixed import budget_of
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bound import Bound, refuse_endless
from worldplan.planners.bandits.classes.prices import ClassBound, suits_classes
from worldplan.planners.bandits.endless.bound import EndlessBound
from worldplan.planners.bandits.fluid import FluidBound
from worldplan.planners.bandits.hull import HullBound
from worldplan.planners.bandits.joint import JointBound, suits
from worldplan.planners.bandits.lagrangian import LagrangianBound

LARGE = 1000  # arms above which plain budgets are solved by prices instead of one linear program
MANY = 300  # arms above which other limits are, where they treat few classes of arms alike
BOUNDS = ("auto", "fluid", "hull", "joint")


def make_bound(instance: BanditInstance, solver: SolverSettings, kind: str = "auto") -> Bound:
    """The bound of a kind, or the tightest that suits the instance.

    "fluid" relaxes the action set to its linear relaxation: one linear program or, for very many
    arms, a search for prices (of a plain budget, or of limits that treat few classes of arms
    alike; there "auto" is the same). "hull" keeps the convex hull of the set, by column generation;
    on a plain budget both are equal. "joint" treats arms that the same interventions reach as one
    chain. "auto" takes "hull" where arms are pulled or not and the set is no plain budget, and
    "joint" where it suits the interventions; else "fluid". A programme without an end has one kind,
    the relaxation of all steps to come (`worldplan.planners.bandits.endless`): "auto" and "fluid"
    are the same. Searches have the solver's time limit.

    Args:
        instance: the programme.
        solver: the solver.
        kind: one of `BOUNDS`.

    Raises:
        ConfigError: the kind is unknown or does not suit the instance.
    """
    check_bound(instance, kind)
    if instance.endless:
        return EndlessBound(instance, solver)
    if kind in ("auto", "fluid") and is_classed(instance):
        return ClassBound(instance, solver)
    if kind == "joint" or (kind == "auto" and suits(instance)):
        return JointBound(instance, solver)
    plain = (
        isinstance(instance.actions, Budget)
        or instance.dynamics.effect is not None
        or is_priced(instance)
    )
    if kind == "hull" or (kind == "auto" and not plain):
        return HullBound(instance, solver, refine=False)
    if is_priced(instance):
        return LagrangianBound(instance, solver, gap=min(solver.gap, 1e-6))
    return FluidBound(instance, solver)


def check_bound(instance: BanditInstance, kind: str) -> None:
    """Refuse a kind of bound that does not suit an instance.

    Args:
        instance: the programme.
        kind: one of `BOUNDS`.

    Raises:
        ConfigError: the kind is unknown or does not suit the instance.
    """
    checks.choice(kind, "bound", BOUNDS)
    if kind == "hull" and instance.dynamics.effect is not None:
        raise ConfigError(
            "bound hull needs arms that are pulled or not: choose auto, joint or fluid for several "
            "interventions per arm"
        )
    if kind in ("hull", "joint"):
        refuse_endless(instance, f"bound {kind}", "choose auto or fluid")


def is_priced(instance: BanditInstance) -> bool:
    """Whether one linear program would be too large and one price per step can replace it."""
    return (
        instance.dynamics.effect is None
        and instance.dynamics.arms > LARGE
        and budget_of(instance.actions) is not None
    )


def is_classed(instance: BanditInstance, later: ActionSet | None = None) -> bool:
    """Whether one linear program would be too large, and prices of classes can replace it.

    Args:
        instance: the programme.
        later: the feasible set of the days after today; that of the instance unless given.
    """
    many = instance.dynamics.arms > MANY and budget_of(instance.actions) is None
    return many and suits_classes(instance, later)
