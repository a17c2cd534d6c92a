"""torchrl's MPPI planner over worldplan's latent model; run by an interpreter of its own, from the
repository root:

    python -m venv peer && peer/bin/pip install torch==2.13.0 torchrl==0.14.1 gymnasium
    python -m benchmarks.modem.planning_latency --peer peer/bin/python

torchrl 0.14.1 asks for torch 2.14 where its compiled extension is used; the planner itself is
Python and runs with the torch of the other side, which is what keeps the comparison one of
planners.

Reads one file written by `benchmarks.modem.planning_latency` (weights, sizes, sequences to score),
then takes a command per line and answers with one line of JSON: "score" -> the scores of the
sequences; "plan KIND ENVIRONMENTS COUNT" -> CPU seconds of COUNT decisions. KIND is the advantage
module: "documented", torchrl's TDLambdaEstimator (lambda 1), which values every state of a
roll-out, or "last", own and cheaper, which values the last.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import gymnasium as gym
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import Tensor, nn
from torchrl.data import Bounded, Composite, Unbounded
from torchrl.envs import ModelBasedEnvBase
from torchrl.modules import MPPIPlanner
from torchrl.objectives.value import TDLambdaEstimator

from worldplan.world_models.latent.model import LatentModel, LatentSettings


class World(ModelBasedEnvBase):
    """The latent model as torchrl's model-based environment."""

    def __init__(self, model: LatentModel) -> None:
        step = TensorDictModule(
            _Step(model), in_keys=["latent", "action"], out_keys=["latent", "reward"]
        )
        super().__init__(step, batch_size=torch.Size([]))
        latent = Unbounded((model.observation_size,))
        self.observation_spec, self.state_spec = (
            Composite(latent=latent),
            Composite(latent=latent.clone()),
        )
        self.action_spec, self.reward_spec = (
            Bounded(-1.0, 1.0, (model.action_size,)),
            Unbounded((1,)),
        )

    def _reset(self, tensordict: TensorDict, **_: Any) -> TensorDict:
        return tensordict


class _Step(nn.Module):
    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.next_latent(latent, action), self.model.reward(latent, action).unsqueeze(
            -1
        )


class _Value(nn.Module):
    """(..., latent) -> (..., 1): mean over the critics of what they think of their own actors'
    actions.
    """

    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor) -> Tensor:
        flat = latent.flatten(0, -2)
        return (
            self.model.value(flat, self.model.actor(flat)).mean((0, 1)).view(*latent.shape[:-1], 1)
        )


class _LastValue(nn.Module):
    """Discounted rewards and the value of the last state, as every step's "advantage"."""

    def __init__(self, value: _Value, discount: float) -> None:
        super().__init__()
        self.value, self.discount = value, discount

    def forward(self, rollout: TensorDict) -> TensorDict:
        reward, latent = (
            rollout["next", "reward"],
            rollout["next", "latent"],
        )  # (..., horizon, 1), (..., horizon, latent)
        powers = self.discount ** torch.arange(reward.shape[-2]).unsqueeze(-1)
        total = (reward * powers).sum(-2) + self.discount ** reward.shape[-2] * self.value(
            latent[..., -1, :]
        )
        return rollout.set("advantage", total.unsqueeze(-2).expand_as(reward))


def main(file: str) -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    asked = torch.load(file, weights_only=True)
    space = gym.spaces.Box(-float("inf"), float("inf"), (asked["observation_size"],))
    model = LatentModel(space, asked["action_size"], LatentSettings(**asked["latent_settings"]))
    model.load_state_dict(asked["weights"])
    model.eval().requires_grad_(False)
    world, value = World(model), _Value(model)
    estimator = TDLambdaEstimator(
        gamma=asked["discount"],
        lmbda=1.0,
        value_network=TensorDictModule(value, in_keys=["latent"], out_keys=["state_value"]),
    )
    planners = {
        kind: MPPIPlanner(
            world,
            module,
            temperature=1.0,
            planning_horizon=asked["horizon"],
            optim_steps=asked["iterations"],
            num_candidates=asked["samples"],
            top_k=asked["elites"],
        )
        for kind, module in (
            ("documented", estimator),
            ("last", _LastValue(value, asked["discount"])),
        )
    }
    for line in sys.stdin:
        command, *words = line.split()
        with torch.no_grad():
            answer = (
                score(world, planners, asked)
                if command == "score"
                else plan(planners[words[0]], asked["starts"], *map(int, words[1:]))
            )
        print(json.dumps(answer), flush=True)


def score(
    world: World, planners: dict[str, MPPIPlanner], asked: dict[str, Any]
) -> dict[str, list[float]]:
    """What both advantage modules say about given sequences, the value of the first state added
    back where it was taken off.
    """
    actions = asked["sequences"]  # (n, horizon, action)
    steps = iter(actions.unbind(1))

    def act(tensordict: TensorDict) -> TensorDict:  # torchrl goes by the argument's name
        return tensordict.set("action", next(steps))

    start = TensorDict({"latent": asked["starts"][:1].expand(len(actions), -1)}, [len(actions)])
    rollout = world.rollout(actions.shape[1], act, auto_reset=False, tensordict=start)
    found = {}
    for kind, planner in planners.items():
        scored = rollout.clone()
        planner.advantage_module(scored)
        baseline = scored["state_value"][:, 0, 0] if kind == "documented" else 0.0
        found[kind] = (scored["advantage"][:, 0, 0] + baseline).tolist()
    return found


def plan(planner: MPPIPlanner, starts: Tensor, environments: int, count: int) -> float:
    """CPU seconds of `count` calls, each a decision for every environment."""
    latent = starts[:environments]
    began = time.process_time()
    for _ in range(count):
        planner(TensorDict({"latent": latent}, [environments]))
    return time.process_time() - began


if __name__ == "__main__":
    main(sys.argv[1])
