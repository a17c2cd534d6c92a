"""Imitation on crafting maps: behaviour cloning and offline DQN, one network for maps of every
size.

A map is laid into the corner of a 15 x 15 grid; cells beyond it are bedrock (code 3), as beyond a
map in the game, and a step onto bedrock does nothing. Nobody tells the network which actions are
applicable.

Inputs are standardised by the training data and the step size falls to nothing. Neither is in the
publication, whose networks get the raw numbers; with those, the many constant cells slow learning
down: with 640 Pogo Stick trajectories and 8 updates each, cloning then solves half of the 6 x 6
maps instead of nine in ten.
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
HIDDEN = (512, 256, 256)  # of the publication's offline networks, as are the batch and gamma
BATCH, GAMMA = 32, 0.99
RATE = {"bc": 1e-3, "dqn": 3e-4}
TARGET_EVERY = 64  # updates between two copies to DQN's target network


class Transitions(NamedTuple):
    """Rows of expert data: observations (rows, inputs), action numbers, rewards and ends (rows,)."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    next_observation: Tensor
    terminated: Tensor


def observed(dynamics: Dynamics, state: object) -> NDArray[np.float32]:
    """[block under the agent, blocks of the whole grid, items, goal item, agent's cell in the
    grid].
    """
    seen, size = dynamics.observe(state), dynamics.instance.size
    grid = np.full((GRID, GRID), BEDROCK, np.float32)
    grid[:size, :size] = seen[1 : 1 + size**2].reshape(size, size)
    return np.concatenate(
        [seen[:1], grid.ravel(), seen[1 + size**2 : -1], [into_grid(int(seen[-1]), size)]]
    ).astype(np.float32)


def into_grid(action: int, size: int) -> int:
    """A map's gym action (or cell) as one of the grid's."""
    return action // size * GRID + action % size if action < size**2 else action - size**2 + GRID**2


def onto_map(action: int, size: int) -> int | None:
    """The inverse; None for a teleport onto bedrock."""
    if action >= GRID**2:
        return action - GRID**2 + size**2
    row, column = divmod(action, GRID)
    return row * size + column if row < size and column < size else None


def transitions(experts: Sequence[Expert]) -> Transitions:
    """All steps of all experts; reward 1 at the goal."""
    before, after, actions, ends = [], [], [], []
    for expert in experts:
        rows = [observed(expert.dynamics, state) for state in expert.states]
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
    """Inputs (rows, inputs) with mean 0 and deviation 1 over `rows`; those that never vary there
    are only shifted.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        deviation = rows.std(0, correction=0)
        self.register_buffer("mean", rows.mean(0))
        self.register_buffer("deviation", torch.where(deviation > 0, deviation, 1.0))

    def forward(self, rows: Tensor) -> Tensor:
        """The same shape."""
        return (rows - self.mean) / self.deviation


def network(task: Task, data: Transitions, generator: torch.Generator) -> nn.Sequential:
    """An MLP from observations to a number per action, freshly drawn (PyTorch's own distribution)."""
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
    """Behaviour cloning: cross-entropy of the expert's actions."""
    policy = network(task, data, generator)
    for rows, step in _batches("bc", policy, data, updates, generator):
        step(nn.functional.cross_entropy(policy(data.observation[rows]), data.action[rows]))
    return policy


def offline_dqn(
    task: Task, data: Transitions, updates: int, generator: torch.Generator
) -> nn.Module:
    """Double DQN with a target network on the expert's transitions alone, with nothing to hold back
    values of actions never seen.
    """
    values, target = network(task, data, generator), network(task, data, generator)
    for update, (rows, step) in enumerate(_batches("dqn", values, data, updates, generator)):
        if update % TARGET_EVERY == 0:
            target.load_state_dict(values.state_dict())
        following = data.next_observation[rows]
        with torch.no_grad():
            best = values(following).argmax(1, keepdim=True)
            wanted = (
                data.reward[rows]
                + GAMMA * (1 - data.terminated[rows]) * target(following).gather(1, best)[:, 0]
            )
        estimate = values(data.observation[rows]).gather(1, data.action[rows][:, None])[:, 0]
        step(nn.functional.smooth_l1_loss(estimate, wanted))
    return values


def _batches(
    method: str, learned: nn.Module, data: Transitions, updates: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Callable[[Tensor], None]]]:
    """Row numbers of each update's batch, with what takes its loss and makes the update."""
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
    """Act greedily on every map; None where the goal is not reached within the limit. An action
    that cannot be taken uses a step.
    """
    games: list[Dynamics] = [dynamics_of(instance) for instance in instances]
    states = [game.start for game in games]
    needed: list[int | None] = [None] * len(games)
    for step in range(1, limit + 1):
        running = [i for i, one in enumerate(needed) if one is None]
        if not running:
            break
        rows = np.stack([observed(games[i], states[i]) for i in running])
        for i, choice in zip(
            running, policy(torch.from_numpy(rows)).argmax(1).tolist(), strict=True
        ):
            action = onto_map(choice, instances[i].size)
            if action is not None and games[i].applicable(states[i], action):
                states[i] = games[i].successor(states[i], action)
                needed[i] = step if states[i].reached else None
    return needed
