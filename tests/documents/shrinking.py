"""What the tests add to the commands of the documentation, and which of them they do not run.

A pattern is a regular expression, which a command contains. The documentation itself is never
changed for a test.
"""

from __future__ import annotations

from typing import Any

from worldplan.planners.bandits.sequoia.settings import SequoiaSettings

OPTIONS = {
    r"bandits (run|bound) configs/bandits/(?!from_logs)": (
        "--programme.arms 8 --programme.budget 2 --programme.horizon 2"
    ),
    r"bandits run configs/bandits/from_logs": "--programme.horizon 2",
    r"bandits run scenario.yaml": "--jobs 1 --seeds 0 --episodes 2",
    r"bandits run configs/bandits/": (
        "--jobs 1 --seeds 0 --episodes 2 --sequoia.hidden [4,4] --sequoia.pretrain_steps 2"
        " --sequoia.solves 1 --sequoia.updates 2 --sequoia.episodes 2 --sequoia.batch 4"
        " --sequoia.pool 4 --sequoia.check_every 2 --sequoia.check_episodes 1"
    ),
    r"bandits run configs/bandits/\S+-\d+.yaml": "--policies null,sampling,myopic,fluid",
    r"evaluate runs/": "--episodes 1",
    r"--estimate fqe": "--updates 4",
    r"data collect \S+-v\d .*--policy random": "--steps 300",
    r"data collect (\S+-v5|Pendulum-v1|\S+:PointMass-v0) --policy (medium|expert)": (
        "--hidden 8 --train-steps 220 --evaluate-every 110 --steps 200 --stop-return -9999"
    ),
    r"data collect \S+-v5 ": "--max-episode-steps 40",
    r"Double\S+ --policy medium-replay$": "--output worldplan/readme-v0 --folder readme",
    r"data collect \S+ --demonstrator scripted": "--episodes 1",
    r"^worldplan run configs/model_free/": (
        "--jobs 1 --seeds 1 --epochs 1 --check_every 1 --save_every 1 --check_episodes 1"
        " --episodes 1 --settings.updates 1 --settings.hidden [4] --settings.batch 20"
    ),
    r"^worldplan run configs/(ravl|online)/": (
        "--jobs 1 --seeds 1 --epochs 1 --check_every 1 --save_every 1 --check_episodes 1"
        " --episodes 1 --settings.starts 10 --settings.updates 1 --settings.hidden [4]"
        " --settings.batch 20"
    ),
    r"^worldplan tune ": (
        "--jobs 1 --trials 1 --seeds 1 --epochs 1 --check_every 1 --save_every 1 --check_episodes 1"
        " --episodes 1 --settings.starts 10 --settings.updates 1 --settings.hidden [4]"
        " --settings.batch 20"
    ),
    r"^worldplan run configs/online/finetune": (
        "--methods.with_rollouts.finetune 1 --methods.with_rollouts.finetuning.steps 20"
    ),
    r"configs/ravl/published_": "--accelerator cpu",
    r"--trainer.accelerator gpu": "--trainer.accelerator cpu",
    r"actions evaluate": "--folds 2 --counts 1 --problems 1 --walk-steps 5 --jobs 1",
}
"""Options that are appended."""

METHODS = {
    r"^worldplan run configs/ravl/(true_dynamics|published)_": "--methods mobile --shares 0,1",
    r"^worldplan run configs/ravl/true_dynamics.yaml": "--methods mopo_learned,ravl_true",
    r"^worldplan run configs/ravl/edge_of_reach": "--methods oracle_patch,ravl_n10_eta1",
    r"^worldplan run configs/model_free/yardsticks": "--methods bc_best_tenth,iql",
    r"^worldplan run configs/online/cost": "--methods no_budget,damped_2",
    r"^worldplan run configs/online/finetune": "--methods with_rollouts",
}
"""The methods of a study that are trained; a slow test trains all of them."""

SETTINGS: dict[str, dict[str, Any]] = {
    r"fit --config configs/sequoia/": {
        "programme": {"arms": 8, "horizon": 2},
        "settings": {
            "hidden": [4, 4],
            "pretrain_steps": 2,
            "solves": 1,
            "updates": 2,
            "episodes": 2,
            "batch": 2,
            "check_every": 2,
            "check_episodes": 1,
        },
    },
    r"fit --config configs/ensemble/(inv|mujoco)": {
        "settings": {"epochs": 1, "hidden": [8], "weight_decay": [0, 0]},
    },
    r"fit --config configs/ensemble/hopper": {
        "settings": {
            "epochs": 1,
            "hidden": [8],
            "weight_decay": [0, 0],
            "members": 2,
            "elites": 1,
        },
    },
    r"fit --config (configs/ravl/|value.yaml)": {
        "epochs": 2,
        "check_every": 2,
        "check_episodes": 1,
        "settings": {"starts": 10, "updates": 2, "hidden": [8], "batch": 40},
    },
    r"fit --config configs/leq/": {
        "epochs": 1,
        "check_episodes": 1,
        "settings": {"updates": 2, "hidden": [8], "batch": 10, "starts": 10, "horizon": 2},
    },
    r"fit --config configs/model_free/": {
        "epochs": 1,
        "check_every": 1,
        "check_episodes": 1,
        "settings": {"updates": 2, "hidden": [8], "batch": 40},
    },
    r"fit --config configs/modem/": {
        "options": {"max_episode_steps": 6},
        "check_every": 1,
        "check_episodes": 1,
        "settings": {
            "steps": 8,
            "seed_steps": 4,
            "seed_updates": 1,
            "clone_updates": 1,
            "clone_batch": 4,
            "batch": 4,
            "environments": 1,
            "planning": {"search": {"samples": 8, "elites": 2}},
            "latent": {"latent": 8, "hidden": 8, "encoder_hidden": 8, "channels": 2},
        },
    },
    r"_pixels.yaml": {"options": {"observation": "pixels", "max_episode_steps": 6}},
    r"methods/no_demonstrations.yaml": {"settings": {"clone_updates": 0}},
}
"""Settings of the module (`model.init_args`) that go into a further file, --config FILE."""

PAGE_OPTIONS = {
    r"bandits run programme.yaml --policies (?!.*endless)": "--programme.horizon 2 --episodes 2",
    r"bandits run programme.yaml .*endless": "--episodes 1",
    r"bandits run twelve.yaml": (
        "--programme.horizon 6 --episodes 1 --sequoia.pretrain_steps 2 --sequoia.updates 2"
        " --sequoia.check_every 2 --sequoia.check_episodes 1 --sequoia.solves 1"
    ),
    r"bandits (decide|day) programme.yaml (?!--state today.csv)": "--programme.horizon 6",
    r"^worldplan ramp ": "--jobs 1",
    r"^worldplan evaluate runs/push": "--episodes 1",
}
"""Options that are appended to commands of tutorials and how-tos."""

PAGE_SETTINGS: dict[str, dict[str, Any]] = {
    r"fit --config push.yaml": {
        "check_episodes": 1,
        "settings": {
            "steps": 16,
            "seed_steps": 8,
            "seed_updates": 2,
            "clone_updates": 4,
            "planning": {"search": {"samples": 8, "elites": 2}},
        },
    },
}
"""As `SETTINGS`, for commands of tutorials and how-tos."""

GREEDY = SequoiaSettings(
    argmax="greedy",
    pretrain="none",
    pretrain_steps=0,
    hidden=(4,),
    updates=2,
    episodes=1,
    batch=2,
    check_every=2,
    check_episodes=1,
)
"""In place of `SequoiaSettings.greedy`, whose numbers no option changes."""

NOT_RUN = {
    r"^python3? -m venv |/bin/pip install ": "installs packages, which needs a network",
    r"^make ": "installs and runs everything; `make -n` shows that the target exists",
    r"^export ": "an environment variable of a shell",
    r"^worldplan bandits serve ": "a server, which runs until it is stopped",
    r"^python -m benchmarks\.": "minutes to hours; the benchmark's parser accepts the options",
    r"^git clone ": "fetches public data, which needs a network",
    r"^worldplan ramp domain": "minutes; its how-to, with smaller problems, is followed by a test",
    r"^peer/bin/python ": "an interpreter with packages that ours excludes",
    r"MetaWorld/|modem/metaworld_push": "needs Meta-World, in an interpreter of its own",
}
"""Commands that are not run, with the reason; what can be checked of them is."""
