"""Action values for whole batches of states, most of them from the fluid relaxation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.bandits.ends import counting
from worldplan.envs.bandits.environment import BanditInstance, Floats, draw
from worldplan.milp.solvers import SolverSettings
from worldplan.planners.bandits.fluid import FluidProgram
from worldplan.planners.bandits.group_values import GroupTable
from worldplan.planners.bandits.observations import one_hot
from worldplan.planners.bandits.units import of_counting


class LevelTargets:
    """Action values r(s, a) + min_k E[V_k(s')] of separable values V_k.

    Args:
        instance: the programme.
        tables: (values, horizon + 1, arms, states) value of each arm's state by steps to go.
        constants: (values, horizon + 1) that the sums over the arms lack.
    """

    def __init__(self, instance: BanditInstance, tables: Floats, constants: Floats) -> None:
        model, discount = instance.dynamics, instance.discount
        # separable mean of the values, (horizon + 1, arms, states)
        self.values: Floats = np.mean(tables, axis=0)
        # reward now and expected value after: (values, horizon, arms, states, levels), where entry
        # n - 1 has n steps to go
        after = np.einsum("jklm,anjm->anjlk", model.transition, tables[:, :-1])
        reward = model.one_step().transpose(0, 2, 1)  # (arms, states, levels)
        lefts = range(1, instance.horizon + 1)
        now = np.stack([of_counting(reward, instance.late, left) for left in lefts])
        self.level_value = torch.as_tensor(discount * after + now, dtype=torch.float32)
        self.constant = torch.as_tensor(discount * constants[:, :-1], dtype=torch.float32)
        self._model = model

    def separable(self) -> tuple[Floats, Floats]:
        """Separable mean of the values, from which training can start.

        Returns:
            The value without intervention and the gain of the strongest level, each (horizon + 1,
            arms, states).
        """
        mean = self.level_value.mean(0).numpy()
        base, gain = mean[..., 0], mean[..., -1] - mean[..., 0]
        base = base + self.constant.mean(0).numpy()[:, None, None] / base.shape[1]
        pad = np.zeros((1, *base.shape[1:]))
        return np.concatenate([pad, base]), np.concatenate([pad, gain])

    def levels(self) -> Floats:
        """The same mean for each level, (horizon + 1, arms, states, levels)."""
        mean = self.level_value.mean(0).numpy()
        constant = self.constant.mean(0).numpy()[:, None, None, None] / mean.shape[1]
        return np.concatenate([np.zeros_like(mean[:1]), mean + constant])

    def pull_weights(self, rng: np.random.Generator) -> Callable[[], Floats]:
        """A function that draws gains of the components, (components,), of random states and times,
        scaled by up to 30 %.
        """
        model = self._model
        _, gain = self.separable()
        effect = np.eye(model.arms) if model.effect is None else model.effect

        def weights() -> Floats:
            row = gain[
                rng.integers(1, len(gain)),
                np.arange(model.arms),
                rng.integers(model.states, size=model.arms),
            ]
            return np.asarray((row * rng.uniform(0.7, 1.3, model.arms)) @ effect)

        return weights

    def __call__(self, state: Tensor, left: Tensor, actions: Tensor) -> Tensor:
        """Targets (b, m) for states (b, arms), steps to go (b,) and actions (b, m, components)."""
        arms = torch.arange(state.shape[1])
        table = self.level_value[:, left[:, None] - 1, arms, state]  # (values, b, arms, levels)
        constant = self.constant[:, left - 1]
        if self._model.effect is None:
            gain = table[..., 1] - table[..., 0]
            total = table[..., 0].sum(-1)[..., None] + torch.einsum("abj,bmj->abm", gain, actions)
        else:
            level = torch.as_tensor(self._model.level(actions.numpy()))  # (b, m, arms)
            chosen = torch.nn.functional.one_hot(level, table.shape[-1]).to(table.dtype)
            total = torch.einsum("abjl,bmjl->abm", table, chosen)
        return (total + constant[..., None]).amin(0)


class FluidTargets(LevelTargets):
    """Upper bounds of the optimal action value, tight near the states they were solved at.

    Each linear program, from a random start, gives a separable bound of the value with n steps to
    go (`ValueTables`). The minimum over the programs approximates the value, concave and piecewise
    linear. Half of the start states have the instance's start distribution, half are uniform, so
    that all states are covered.

    Args:
        instance: the programme.
        solves: number of linear programs.
        rng: of the start states.
        settings: the solver.
    """

    def __init__(
        self,
        instance: BanditInstance,
        solves: int,
        rng: np.random.Generator,
        settings: SolverSettings | None = None,
    ) -> None:
        model = instance.dynamics
        program = FluidProgram(
            [model],
            instance.actions,
            instance.horizon,
            settings or SolverSettings(),
            discount=instance.discount,
            late=instance.late,
        )
        tables, constants = [], []
        for number in range(solves):
            start = instance.initial if number % 2 else model.uniform
            state = draw(start, rng.random(model.arms))
            values = program.value_tables(program.solve(one_hot(state, model.states)))
            tables.append(values.table)
            constants.append(values.constant)
        super().__init__(instance, np.stack(tables), np.stack(constants))


class GroupTargets:
    """Action values of groups of arms that the same interventions reach.

    Args:
        tables: of all groups.
        effect: (arms, components) of the dynamics.
    """

    def __init__(self, tables: Sequence[GroupTable], effect: Floats) -> None:
        self._tables = [
            (torch.as_tensor(table.arms), torch.as_tensor(table.values, dtype=torch.float32))
            for table in tables
        ]
        self._reaches = torch.as_tensor(effect != 0, dtype=torch.float32)

    def __call__(self, state: Tensor, left: Tensor, actions: Tensor) -> Tensor:
        """Targets (b, m) for states (b, arms), steps to go (b,) and actions (b, m, components)."""
        total = torch.zeros(actions.shape[:2])
        counts = (actions @ self._reaches.T).round().long()  # (b, m, arms)
        for arms, table in self._tables:
            place = (left, *state[:, arms].T)
            values = table[place]  # (b, interventions)
            total += values.gather(1, counts[:, :, int(arms[0])])
        return total


class SeparableTargets:
    """Action values that are sums over the arms, for arms with two levels.

    Args:
        base: (horizon + 1, arms, states) value without a pull.
        gain: (horizon + 1, arms, states) gain of a pull.
    """

    def __init__(self, base: Floats, gain: Floats) -> None:
        self._base = torch.as_tensor(base, dtype=torch.float32)
        self._gain = torch.as_tensor(gain, dtype=torch.float32)

    def __call__(self, state: Tensor, left: Tensor, actions: Tensor) -> Tensor:
        """Targets (b, m) for states (b, arms), steps to go (b,) and actions (b, m, components)."""
        arms = torch.arange(state.shape[1])
        base, gain = (table[left[:, None], arms, state] for table in (self._base, self._gain))
        return base.sum(1, keepdim=True) + torch.einsum("bj,bmj->bm", gain, actions)


def expected_reward(
    instance: BanditInstance, state: Tensor, left: Tensor, actions: Tensor
) -> Tensor:
    """Expected rewards (b, m) of one joint step, as float32, of the arms that have not ended.

    Args:
        instance: the programme.
        state: (b, arms).
        left: (b,) steps to go.
        actions: (b, m, components).
    """
    model, arms = instance.dynamics, np.arange(instance.dynamics.arms)
    reward = model.one_step()[arms, model.level(actions.numpy()), state.numpy()[:, None]]
    counted = counting(instance.late, left.numpy())  # (b, arms)
    if counted is not None:
        reward = reward * counted[:, None]
    return torch.as_tensor(reward.sum(-1), dtype=torch.float32)
