"""torchrl's MPPI planner over worldplan's latent model; run by an interpreter of its own, from the
repository root:

    python -m venv peer
    peer/bin/pip install torch==2.13.0 torchrl==0.14.1 gymnasium lazy-loader
    peer/bin/pip install --no-deps --editable .
    python -m benchmarks.modem.planning_latency --peer peer/bin/python

torchrl 0.14.1 requires torch 2.14 for its compiled extension only. The planner itself is Python and
runs with the same torch as ours, so that only the planners differ.

Reads one file written by `benchmarks.modem.planning_latency` (weights, sizes, sequences to score),
then one command per line, each of which it answers with one line of JSON: "score" -> the scores of
the sequences; "plan KIND ENVIRONMENTS COUNT" -> CPU seconds of COUNT decisions. KIND is the
advantage module: "documented", torchrl's TDLambdaEstimator (lambda 1), which computes the value of
every state of a roll-out, or "last", written here and cheaper, which computes that of the last.
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

from worldplan.world_models.latent.model import LatentModel
from worldplan.world_models.latent.settings import LatentSettings


class World(ModelBasedEnvBase):
    """The latent model as torchrl's model-based environment."""

    def __init__(self, model: LatentModel) -> None:
        step = TensorDictModule(
            _Step(model), in_keys=["latent", "action"], out_keys=["latent", "reward"]
        )
        super().__init__(step, batch_size=torch.Size([]))
        latent = Unbounded((model.observation_size,))
        self.observation_spec = Composite(latent=latent)
        self.state_spec = Composite(latent=latent.clone())
        self.action_spec = Bounded(-1.0, 1.0, (model.action_size,))
        self.reward_spec = Unbounded((1,))

    def _reset(self, tensordict: TensorDict, **_: Any) -> TensorDict:
        return tensordict


class _Step(nn.Module):
    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        reward = self.model.reward(latent, action)
        return self.model.next_latent(latent, action), reward.unsqueeze(-1)


class _Value(nn.Module):
    """(..., latent) -> (..., 1): mean value over the critics, each for its own actor's action."""

    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor) -> Tensor:
        flat = latent.flatten(0, -2)
        value = self.model.value(flat, self.model.actor(flat)).mean((0, 1))
        return value.view(*latent.shape[:-1], 1)


class _LastValue(nn.Module):
    """Discounted rewards and the value of the last state, as every step's "advantage"."""

    def __init__(self, value: _Value, discount: float) -> None:
        super().__init__()
        self.value, self.discount = value, discount

    def forward(self, rollout: TensorDict) -> TensorDict:
        reward = rollout["next", "reward"]  # (..., horizon, 1)
        latent = rollout["next", "latent"]  # (..., horizon, latent)
        powers = self.discount ** torch.arange(reward.shape[-2]).unsqueeze(-1)
        last = self.value(latent[..., -1, :])
        total = (reward * powers).sum(-2) + self.discount ** reward.shape[-2] * last
        return rollout.set("advantage", total.unsqueeze(-2).expand_as(reward))


def main(file: str) -> None:
    """Answer commands until the input ends."""
    torch.set_num_threads(1)
    request = torch.load(file, weights_only=True)
    space = gym.spaces.Box(-float("inf"), float("inf"), (request["observation_size"],))
    model = LatentModel(space, request["action_size"], LatentSettings(**request["latent_settings"]))
    model.load_state_dict(request["weights"])
    model.eval().requires_grad_(False)
    world, value = World(model), _Value(model)
    estimator = TDLambdaEstimator(
        gamma=request["discount"],
        lmbda=1.0,
        value_network=TensorDictModule(value, in_keys=["latent"], out_keys=["state_value"]),
    )
    planners = {
        kind: MPPIPlanner(
            world,
            module,
            temperature=1.0,
            planning_horizon=request["horizon"],
            optim_steps=request["iterations"],
            num_candidates=request["samples"],
            top_k=request["elites"],
        )
        for kind, module in (
            ("documented", estimator),
            ("last", _LastValue(value, request["discount"])),
        )
    }
    for line in sys.stdin:
        command, *words = line.split()
        with torch.no_grad():
            answer = (
                score(world, planners, request)
                if command == "score"
                else plan(planners[words[0]], request["starts"], *map(int, words[1:]))
            )
        print(json.dumps(answer), flush=True)


def score(
    world: World, planners: dict[str, MPPIPlanner], request: dict[str, Any]
) -> dict[str, list[float]]:
    """Scores of given sequences by both advantage modules; the value of the first state is added
    back where the module subtracted it.
    """
    actions = request["sequences"]  # (n, horizon, action)
    steps = iter(actions.unbind(1))

    def act(tensordict: TensorDict) -> TensorDict:  # torchrl requires this argument name
        return tensordict.set("action", next(steps))

    start = TensorDict({"latent": request["starts"][:1].expand(len(actions), -1)}, [len(actions)])
    rollout = world.rollout(actions.shape[1], act, auto_reset=False, tensordict=start)
    scores = {}
    for kind, planner in planners.items():
        scored = rollout.clone()
        planner.advantage_module(scored)
        baseline = scored["state_value"][:, 0, 0] if kind == "documented" else 0.0
        scores[kind] = (scored["advantage"][:, 0, 0] + baseline).tolist()
    return scores


def plan(planner: MPPIPlanner, starts: Tensor, environments: int, count: int) -> float:
    """CPU seconds of `count` calls, each a decision for every environment."""
    latent = starts[:environments]
    began = time.process_time()
    for _ in range(count):
        planner(TensorDict({"latent": latent}, [environments]))
    return time.process_time() - began


if __name__ == "__main__":
    main(sys.argv[1])
