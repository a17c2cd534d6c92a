"""Upper bound on every policy of a programme without an end (see `program`)."""

from __future__ import annotations

from worldplan.envs.bandits.environment import ArmDynamics, BanditInstance, Floats
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, SolverFailed
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.bound import Bound
from worldplan.planners.bandits.endless.program import EndlessProgram
from worldplan.planners.bandits.models import models_of
from worldplan.planners.bandits.observations import checked_distribution, checked_steps
from worldplan.planners.bandits.units import in_units

WINDOW = 8  # steps with an action of their own; more make a discounted bound tighter, and slower
MOST = 40_000  # variables of all steps of such a window


class EndlessBound(Bound):
    """Upper bound on the discounted return of all steps, or on the long-run average per step.

    Args:
        instance: a programme without an end.
        settings: the solver.
        window: see `EndlessProgram`; by the size of the programme unless given.

    Raises:
        ConfigError: the programme has an end, or an argument of another type or out of range.
    """

    def __init__(
        self,
        instance: BanditInstance,
        settings: SolverSettings | None = None,
        *,
        window: int | None = None,
    ) -> None:
        members = models_of(instance, None)
        if not instance.endless:
            raise ConfigError(
                "the endless bound needs a programme without an end: give endless=True, or use the "
                "fluid bound"
            )
        (model,), self._units = in_units(members, instance.discount)
        self.instance = instance
        if window is None:
            window = _window(model)
        if settings is not None:
            checks.of_type(settings, "settings", SolverSettings)
        self.program = EndlessProgram(
            model,
            instance.actions,
            instance.discount,
            settings or SolverSettings(),
            window=checks.whole_number(window, "window", least=0),
        )

    def from_distribution(self, start: Floats, steps_left: int | None = None) -> float:
        """Bound from first states with the distribution (arms, states): of the discounted return
        or, with the discount 1, of the average reward per step.

        Args:
            start: (arms, states).
            steps_left: of no meaning here.

        Raises:
            ConfigError: `steps_left` is no whole number of at least 1.
            DatasetError: `start` is no distribution for each arm.
            SolverFailed: the solver ran out of time before it had a bound.
        """
        checked_steps(steps_left, "steps_left")
        solution = self.program.solve(checked_distribution(self.instance, start))
        if solution.x is None:
            raise SolverFailed(
                f"no bound within {self.program.session.settings.time_limit:g} s: raise "
                "solver.time_limit"
            )
        return self._units.endless_total(solution.bound)


def _window(model: ArmDynamics) -> int:
    """Steps of the window that suit the size of a programme."""
    return min(WINDOW, MOST // (model.arms * model.states * model.levels))
