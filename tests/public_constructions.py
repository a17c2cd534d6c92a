"""One right construction of public classes and functions, whose arguments tests then damage."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import networkx as nx
import numpy as np
import torch

from worldplan import envs, planners
from worldplan.envs import bandits, crafting, dynamics
from worldplan.milp import networks, sets
from worldplan.planners import bandits as bandit_planners
from worldplan.planners import modem, numeric, offline, shooting
from worldplan.planners.bandits import classes, online, reasons
from worldplan.planners.numeric import task as numeric_task
from worldplan.world_models import arms, data, ensemble, latent
from worldplan.world_models import numeric as numeric_models

Construction = tuple[Callable[..., Any], Callable[[], dict[str, Any]]]

BOX = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


def instance() -> bandits.BanditInstance:
    return bandits.generate("budget", 4, 2, seed=0, horizon=3)


def endless_instance() -> bandits.BanditInstance:
    return dataclasses.replace(instance(), endless=True, discount=0.9)


def transitions() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(7, 2)).astype(np.float32)
    return {
        "observation": seen[:-1],
        "action": rng.normal(size=(6, 1)),
        "reward": rng.normal(size=6),
        "next_observation": seen[1:],
        "terminated": np.zeros(6, bool),
        "truncated": np.array([0, 0, 1, 0, 0, 1], bool),
        "episode": np.array([0, 0, 0, 1, 1, 1]),
    }


def relu() -> networks.ReluNetwork:
    return networks.ReluNetwork((np.ones((2, 4)), np.ones((1, 2))), (np.zeros(2), np.zeros(1)))


def numeric_problem() -> dict[str, Any]:
    words = numeric_models.Vocabulary("d", {}, {}, {}, {"y": ()}, {"go": ()})
    grow = numeric_models.Linear(((("y",), 1),), 1)
    go = numeric_models.NumericAction("go", effects=((("y",), grow),))
    start = numeric_models.State(frozenset(), {("y",): 0})
    goal = numeric_models.read_goal("y >= 1", words)
    return {
        "model": numeric_models.NumericModel(words, {"go": go}),
        "problem": numeric_models.NumericProblem("p", {}, start, goal),
    }


def counts() -> dict[str, Any]:
    return {
        "counts": np.ones((2, 2, 2, 2), int),
        "reward": np.ones((2, 2)),
        "arm_names": ("a", "b"),
    }


CONSTRUCTIONS: dict[str, Construction] = {
    "BanditEnv": (bandits.BanditEnv, lambda: {"instance": instance()}),
    "SeenOnVisitsEnv": (
        bandits.SeenOnVisitsEnv,
        lambda: {
            "instance": instance(),
            "seen": bandits.seen_on_visits(instance().dynamics, instance().initial, 3),
            "num_envs": 2,
        },
    ),
    "BanditVectorEnv": (
        bandits.BanditVectorEnv,
        lambda: {"instance": instance(), "num_envs": 2, "first_episode": 0},
    ),
    "Budget": (sets.Budget, lambda: {"size": 3, "budget": 1}),
    "Capacity": (sets.Capacity, lambda: {"costs": [1.0, 2.0], "capacities": [2.0], "budget": 1}),
    "Schedule": (
        sets.Schedule,
        lambda: {"arm_slots": [[1, 1]], "worker_slots": [[1, 1]], "visits": 1, "budget": 1},
    ),
    "Path": (
        sets.Path,
        lambda: {"graph": nx.path_graph(3), "source": 0, "moves": 2, "budget": 2},
    ),
    "PyomoSet": (sets.PyomoSet, lambda: {"build": lambda block: None, "size": 2}),
    "WithRules": (
        sets.WithRules,
        lambda: {
            "inner": sets.Budget(2, 1),
            "rules": sets.PyomoSet(lambda block: None, 2),
            "check": True,
        },
    ),
    "LinearProblem": (sets.LinearProblem, lambda: {"actions": sets.Budget(3, 1)}),
    "ReluNetwork": (
        networks.ReluNetwork,
        lambda: {"weights": relu().weights, "biases": relu().biases, "skip": np.zeros(4)},
    ),
    "NetworkArgmax": (
        networks.NetworkArgmax,
        lambda: {"networks": relu(), "actions": sets.Budget(4, 2), "bounds": "linear"},
    ),
    "generate": (
        bandits.generate,
        lambda: {"domain": "budget", "arms": 3, "budget": 1, "seed": 0, "horizon": 2, "states": 4},
    ),
    "EndlessBound": (
        bandit_planners.EndlessBound,
        lambda: {"instance": endless_instance(), "window": 2},
    ),
    "EndlessPlanner": (
        bandit_planners.EndlessPlanner,
        lambda: {"instance": endless_instance(), "window": 2},
    ),
    "FluidBound": (bandit_planners.FluidBound, lambda: {"instance": instance(), "steps": 2}),
    "FluidPlanner": (bandit_planners.FluidPlanner, lambda: {"instance": instance(), "window": 2}),
    "HullBound": (
        bandit_planners.HullBound,
        lambda: {"instance": instance(), "gap": 1e-3, "refine": False},
    ),
    "JointBound": (
        bandit_planners.JointBound,
        lambda: {
            "instance": bandits.generate("interventions", 6, 2, seed=0, horizon=2),
            "gap": 1e-3,
            "states": 64,
        },
    ),
    "LagrangianBound": (
        bandit_planners.LagrangianBound,
        lambda: {"instance": instance(), "steps": 2, "gap": 1e-4},
    ),
    "LagrangianPlanner": (
        bandit_planners.LagrangianPlanner,
        lambda: {"instance": instance(), "gap": 1e-4},
    ),
    "ClassBound": (classes.ClassBound, lambda: {"instance": instance(), "gap": 1e-4}),
    "ClassPlanner": (classes.ClassPlanner, lambda: {"instance": instance(), "gap": 1e-4}),
    "WhittlePolicy": (
        bandit_planners.WhittlePolicy,
        lambda: {"instance": instance(), "discount": 0.9},
    ),
    "ThompsonSampling": (
        online.ThompsonSampling,
        lambda: {"instance": instance(), "seed": 0},
    ),
    "UCWhittle": (
        online.UCWhittle,
        lambda: {"instance": instance(), "delta": 0.1},
    ),
    "NullPolicy": (bandit_planners.NullPolicy, lambda: {"instance": instance()}),
    "RandomPolicy": (bandit_planners.RandomPolicy, lambda: {"instance": instance(), "seed": 0}),
    "SamplingPolicy": (
        bandit_planners.SamplingPolicy,
        lambda: {"instance": instance(), "samples": 3, "seed": 0},
    ),
    "Explainer": (
        reasons.Explainer,
        lambda: {
            "planner": bandit_planners.MyopicPolicy(instance()),
            "instance": instance(),
            "observation": {"state": [0, 1, 2, 3]},
            "unit": "visits",
        },
    ),
    "MyopicPolicy": (bandit_planners.MyopicPolicy, lambda: {"instance": instance()}),
    "IterativeMyopicPolicy": (
        bandit_planners.IterativeMyopicPolicy,
        lambda: {"instance": instance()},
    ),
    "IterativeQPolicy": (
        bandit_planners.IterativeQPolicy,
        lambda: {"instance": instance(), "value": lambda o, a: a.sum(1)},
    ),
    "LevelMaximiser": (bandit_planners.LevelMaximiser, lambda: {"instance": instance()}),
    "evaluate": (
        planners.evaluate,
        lambda: {
            "planner": bandit_planners.NullPolicy(instance()),
            "env": bandits.BanditVectorEnv(instance(), 2),
            "episodes": 2,
            "seed": 0,
        },
    ),
    "play": (
        planners.play,
        lambda: {
            "planner": modem.UniformPlanner(2),
            "environments": envs.PlaneVectorEnv(2, envs.Plane(episode=2)),
            "seed": 0,
        },
    ),
    "bootstrap": (planners.bootstrap, lambda: {"values": np.arange(4.0), "seed": 0}),
    "PlaneVectorEnv": (envs.PlaneVectorEnv, lambda: {"num_envs": 2, "plane": envs.Plane()}),
    "PlaneEnv": (envs.PlaneEnv, lambda: {"plane": envs.Plane()}),
    "PendulumDynamics": (dynamics.PendulumDynamics, lambda: {"g": 9.81, "m": 1.0, "l": 2.0}),
    "PlaneDynamics": (envs.PlaneDynamics, lambda: {"plane": envs.Plane()}),
    "CraftingEnv": (
        crafting.CraftingEnv,
        lambda: {"task": "pogo_stick", "variant": "map", "size": 6, "max_steps": 10},
    ),
    "MujocoDynamics": (
        dynamics.MujocoDynamics,
        lambda: {"env_id": "InvertedPendulum-v5", "threads": 1, "seed": 0},
    ),
    "MixedDynamics": (
        dynamics.MixedDynamics,
        lambda: {
            "learned": envs.PlaneDynamics(),
            "true": envs.PlaneDynamics(),
            "share": 0.5,
            "termination": lambda o, a, n: n[:, 0] > 9,
        },
    ),
    "RollOuts": (
        shooting.RollOuts,
        lambda: {
            "model": envs.PlaneDynamics(),
            "discount": 0.9,
            "penalty_weight": 1.0,
            "particles": 1,
        },
    ),
    "ShootingPlanner": (
        shooting.ShootingPlanner,
        lambda: {
            "model": envs.PlaneDynamics(),
            "action_space": BOX,
            "discount": 0.9,
            "penalty_weight": 1.0,
            "particles": 1,
            "noise": 0.1,
            "seed": 0,
        },
    ),
    "UniformPlanner": (modem.UniformPlanner, lambda: {"action_size": 2}),
    "EpisodeReplay": (
        modem.EpisodeReplay,
        lambda: {
            "observation_space": BOX,
            "action_size": 2,
            "capacity": 20,
            "horizon": 2,
            "alpha": 0.6,
            "beta": 0.4,
        },
    ),
    "Handover": (modem.Handover, lambda: {"settings": modem.HandoverSettings()}),
    "GaussianEnsemble": (
        ensemble.GaussianEnsemble,
        lambda: {
            "observation_size": 2,
            "action_size": 1,
            "members": 2,
            "elites": 1,
            "hidden": (4,),
        },
    ),
    "TerminationClassifier": (
        ensemble.TerminationClassifier,
        lambda: {"observation_size": 2, "action_size": 1, "hidden": (4,)},
    ),
    "BatchedMLP": (ensemble.BatchedMLP, lambda: {"count": 2, "sizes": (2, 3)}),
    "EnsembleModule": (
        ensemble.EnsembleModule,
        lambda: {"transitions": data.Transitions(**transitions()), "seed": 0},
    ),
    "LatentModel": (
        latent.LatentModel,
        lambda: {
            "observation_space": BOX,
            "action_size": 2,
            "settings": latent.LatentSettings(latent=4, hidden=4, encoder_hidden=4),
        },
    ),
    "PercentileScale": (latent.PercentileScale, lambda: {"rate": 0.1, "floor": 1.0}),
    "ReachAware": (
        offline.ReachAware,
        lambda: {
            "observation": 2,
            "low": -torch.ones(1),
            "high": torch.ones(1),
            "settings": offline.ReachAwareSettings(critics=2, hidden=(4,)),
            "seeds": 1,
        },
    ),
    "Transitions": (data.Transitions, transitions),
    "Episode": (
        data.Episode,
        lambda: {
            "observation": np.zeros((3, 2)),
            "action": np.zeros((2, 1)),
            "reward": np.zeros(2),
            "terminated": False,
            "success": False,
        },
    ),
    "ArmLog": (arms.ArmLog, counts),
    "ArmPosterior": (
        arms.ArmPosterior,
        lambda: {
            "concentration": np.ones((2, 2, 2, 2)),
            "reward": np.ones((2, 2)),
            "arm_names": ("a", "b"),
        },
    ),
    "SearchLimits": (numeric_task.SearchLimits, lambda: {"seconds": 1.0, "memory_mb": 100.0}),
    "solve": (
        numeric.solve,
        lambda: numeric_problem() | {"time_limit": 5.0, "memory_limit_mb": 1000},
    ),
    "search_plan": (
        numeric.search_plan,
        lambda: numeric_problem() | {"time_limit": 5.0, "memory_limit_mb": 1000},
    ),
    "Metric": (
        numeric_models.Metric,
        lambda: {"sense": "minimize", "expression": numeric_models.Linear(((("y",), 1),))},
    ),
    "astar_plan": (
        numeric.astar_plan,
        lambda: numeric_problem() | {"time_limit": 5.0, "memory_limit_mb": 1000},
    ),
    "milp_plan": (
        numeric.milp_plan,
        lambda: numeric_problem() | {"time_limit": 5.0, "memory_limit_mb": 1000, "max_horizon": 3},
    ),
}
