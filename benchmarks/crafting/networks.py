"""Imitation on crafting maps: behaviour cloning and offline DQN, one network for all map sizes.

Every map is placed in the corner of a 15 x 15 grid. Cells beyond the map are bedrock (code 3), as
beyond a map in the game; a teleport onto bedrock does nothing. The networks get no action masks.

Inputs are standardised by the training data, and the learning rate decays to 0. Neither is in the
publication, whose networks get the raw numbers. With raw numbers, the many constant cells make
learning slower: with 640 Pogo Stick trajectories and 8 updates each, cloning then solves half of
the 6 x 6 maps instead of nine in ten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.crafting.experts import Expert
from worldplan.envs.crafting.dynamics import Dynamics, dynamics_of
from worldplan.envs.crafting.rules import ITEMS, CraftingMap, Task, recipes

GRID, BEDROCK = 15, 3
HIDDEN = (512, 256, 256)  # layer widths; this, the batch and gamma are those of the publication
BATCH, GAMMA = 32, 0.99
RATE = {"bc": 1e-3, "dqn": 3e-4}
TARGET_EVERY = 64  # updates between two copies of DQN's network to its target network


class Transitions(NamedTuple):
    """Expert data: observations (rows, inputs); actions, rewards and terminations (rows,)."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    next_observation: Tensor
    terminated: Tensor


def network_input(dynamics: Dynamics, state: object) -> NDArray[np.float32]:
    """The input of a network (3 + 15 * 15 + items,): [block under the agent, blocks of the whole
    grid, items, goal item, agent's cell in the grid].
    """
    observation, size = dynamics.observe(state), dynamics.instance.size
    grid = np.full((GRID, GRID), BEDROCK, np.float32)
    grid[:size, :size] = observation[1 : 1 + size**2].reshape(size, size)
    cell = into_grid(int(observation[-1]), size)
    parts = [observation[:1], grid.ravel(), observation[1 + size**2 : -1], [cell]]
    return np.concatenate(parts).astype(np.float32)


def into_grid(action: int, size: int) -> int:
    """The action (or cell) of the grid for one of a map."""
    return action // size * GRID + action % size if action < size**2 else action - size**2 + GRID**2


def onto_map(action: int, size: int) -> int | None:
    """The action of a map for one of the grid; None for a teleport onto bedrock."""
    if action >= GRID**2:
        return action - GRID**2 + size**2
    row, column = divmod(action, GRID)
    return row * size + column if row < size and column < size else None


def transitions(experts: Sequence[Expert]) -> Transitions:
    """All steps of all experts. The reward is 1 at the goal, else 0."""
    before, after, actions, ends = [], [], [], []
    for expert in experts:
        rows = [network_input(expert.dynamics, state) for state in expert.states]
        before += rows[:-1]
        after += rows[1:]
        actions += [into_grid(action, expert.dynamics.instance.size) for action in expert.actions]
        ends += [0.0] * (len(expert.actions) - 1) + [1.0]
    end = torch.tensor(ends)
    return Transitions(
        torch.from_numpy(np.stack(before)),
        torch.tensor(actions),
        end,
        torch.from_numpy(np.stack(after)),
        end,
    )


class Standardise(nn.Module):
    """Shifts and scales inputs (rows, inputs) to mean 0 and standard deviation 1 over `rows`.
    Inputs that are constant in `rows` are only shifted.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        deviation = rows.std(0, correction=0)
        self.register_buffer("mean", rows.mean(0))
        self.register_buffer("deviation", torch.where(deviation > 0, deviation, 1.0))

    def forward(self, rows: Tensor) -> Tensor:
        """Standardised inputs, same shape."""
        return (rows - self.mean) / self.deviation


def network(task: Task, data: Transitions, generator: torch.Generator) -> nn.Sequential:
    """An MLP from observations (rows, inputs) to one output per action (rows, actions), with
    PyTorch's default initial distribution.
    """
    widths = (GRID**2 + 3 + len(ITEMS[task]), *HIDDEN, GRID**2 + len(recipes(task, "map")))
    layers: list[nn.Module] = [Standardise(data.observation)]
    for into, out in zip(widths, widths[1:], strict=False):
        linear = nn.Linear(into, out)
        for parameter in linear.parameters():
            nn.init.uniform_(
                parameter, -1 / math.sqrt(into), 1 / math.sqrt(into), generator=generator
            )
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def clone(task: Task, data: Transitions, updates: int, generator: torch.Generator) -> nn.Module:
    """Behaviour cloning: minimises the cross-entropy of the expert's actions."""
    policy = network(task, data, generator)
    for rows, step in _batches("bc", policy, data, updates, generator):
        step(nn.functional.cross_entropy(policy(data.observation[rows]), data.action[rows]))
    return policy


def offline_dqn(
    task: Task, data: Transitions, updates: int, generator: torch.Generator
) -> nn.Module:
    """Double DQN with a target network, trained on the expert's transitions alone. Nothing
    constrains the values of actions that are not in the data.
    """
    values, target = network(task, data, generator), network(task, data, generator)
    for update, (rows, step) in enumerate(_batches("dqn", values, data, updates, generator)):
        if update % TARGET_EVERY == 0:
            target.load_state_dict(values.state_dict())
        following = data.next_observation[rows]
        with torch.no_grad():
            best = values(following).argmax(1, keepdim=True)
            target_values = (
                data.reward[rows]
                + GAMMA * (1 - data.terminated[rows]) * target(following).gather(1, best)[:, 0]
            )
        estimate = values(data.observation[rows]).gather(1, data.action[rows][:, None])[:, 0]
        step(nn.functional.smooth_l1_loss(estimate, target_values))
    return values


def _batches(
    method: str, learned: nn.Module, data: Transitions, updates: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Callable[[Tensor], None]]]:
    """(row numbers of the batch, function that makes the update from its loss) of each update. The
    learning rate decays linearly to 0.
    """
    adam = torch.optim.Adam(learned.parameters(), RATE[method], fused=True)

    def step(loss: Tensor) -> None:
        adam.zero_grad()
        loss.backward()
        adam.step()

    for update in range(updates):
        adam.param_groups[0]["lr"] = RATE[method] * (1 - update / updates)
        yield torch.randint(len(data.action), (BATCH,), generator=generator), step


LEARNERS = {"bc": clone, "dqn": offline_dqn}


@torch.no_grad()
def steps_to_goal(
    policy: nn.Module, instances: Sequence[CraftingMap], limit: int
) -> list[int | None]:
    """Steps to the goal on every map under the greedy policy; None if the limit is reached. An
    action that is not applicable counts as a step.
    """
    dynamics: list[Dynamics] = [dynamics_of(instance) for instance in instances]
    states = [each.start for each in dynamics]
    steps: list[int | None] = [None] * len(dynamics)
    for step in range(1, limit + 1):
        running = [i for i, reached_at in enumerate(steps) if reached_at is None]
        if not running:
            break
        rows = np.stack([network_input(dynamics[i], states[i]) for i in running])
        greedy = policy(torch.from_numpy(rows)).argmax(1).tolist()
        for i, grid_action in zip(running, greedy, strict=True):
            action = onto_map(grid_action, instances[i].size)
            if action is not None and dynamics[i].applicable(states[i], action):
                states[i] = dynamics[i].successor(states[i], action)
                steps[i] = step if states[i].reached else None
    return steps
