"""Transitions of the true simulator beyond the support of a dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldplan.envs.dynamics.model import DynamicsModel
from worldplan.milp.errors import DatasetError
from worldplan.world_models.data.transitions import Transitions

ALIKE = 0.05  # difference of simulator and data, in standard deviations of the change
CHECKED = 500  # rows on which they are compared


@dataclass(frozen=True)
class SimulatedRows:
    """True transitions of rollouts.

    Args:
        observation: (n, observation).
        action: (n, action).
        truth: next observation and reward, (n, observation + 1).
        rollout: number of the rollout, (n,).
        step: steps since the dataset, from 0, (n,).
    """

    observation: Tensor
    action: Tensor
    truth: Tensor
    rollout: np.ndarray
    step: np.ndarray


def check_simulator(simulator: DynamicsModel, data: Transitions, rows: np.ndarray) -> None:
    """Check that the simulator reproduces the data.

    Args:
        simulator: steps the states of the data.
        data: n transitions with simulator states.
        rows: row numbers to compare, (m,); at most 500 of them are.

    Raises:
        DatasetError: more than a tenth of the rows differ in a column, which is named.
    """
    assert data.state is not None
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), CHECKED)).astype(np.int64)]
    stepped = simulator.step(
        torch.from_numpy(data.observation[chosen]),
        torch.from_numpy(data.action[chosen]),
        state=torch.from_numpy(data.state[chosen]),
    )
    simulated = torch.cat([stepped.next_observation, stepped.reward[:, None]], 1).numpy()
    truth = np.column_stack([data.next_observation[chosen], data.reward[chosen]])
    change = truth.astype(np.float64)
    change[:, :-1] -= data.observation[chosen]
    scale = np.maximum(change.std(0), 1e-6 * np.abs(truth).max(0) + 1e-9)
    differs = ~(np.abs(simulated - truth) <= ALIKE * scale)  # NaN differs
    share = differs.mean(0)
    if share.max() > 0.1:
        column = int(share.argmax())
        last = truth.shape[1] - 1
        name = "reward" if column == last else f"observation[{column}]"
        raise DatasetError(
            f"the simulator does not reproduce the data: {name} differs in "
            f"{100 * share[column]:.0f} % of {len(chosen)} rows: the environment had other "
            "arguments or another version"
        )


def simulate_beyond(
    simulator: DynamicsModel,
    data: Transitions,
    rows: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    generator: torch.Generator,
    *,
    starts: int = 500,
    steps: int = 10,
) -> SimulatedRows:
    """Rollouts from states of the dataset, each with one uniform action that is held: after a few
    steps they are in states that the dataset's policy does not reach. A rollout ends where the
    simulator terminates.

    Args:
        simulator: steps the states of the data.
        data: n transitions with simulator states.
        rows: row numbers to start from, (m,).
        low: least actions, (action,).
        high: greatest actions, (action,).
        generator: of starts and actions.
        starts: rollouts.
        steps: of a rollout, at most.
    """
    assert data.state is not None
    chosen = rows[torch.randint(len(rows), (starts,), generator=generator).numpy()]
    observation = torch.from_numpy(data.observation[chosen])
    state = torch.from_numpy(data.state[chosen])
    least, most = torch.from_numpy(low).float(), torch.from_numpy(high).float()
    action = least + (most - least) * torch.rand(starts, len(low), generator=generator)
    rollout = torch.arange(starts)
    parts: list[tuple[Tensor, ...]] = []
    for step in range(steps):
        result = simulator.step(observation, action, state=state)
        assert result.state is not None
        truth = torch.cat([result.next_observation, result.reward[:, None]], 1)
        finite = truth.isfinite().all(1)  # a row that diverged in the simulator is NaN
        parts.append(
            tuple(
                part[finite]
                for part in (
                    observation,
                    action,
                    truth,
                    rollout,
                    torch.full_like(rollout, step),
                )
            )
        )
        alive = finite & ~result.terminated
        observation, state = result.next_observation[alive], result.state[alive]
        action, rollout = action[alive], rollout[alive]
        if not len(rollout):
            break
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    seen, taken, truth, numbers, since = columns
    return SimulatedRows(seen, taken, truth, numbers.numpy(), since.numpy())
