"""Train a soft actor-critic agent (Haarnoja et al., 2018, by stable-baselines3) and record every
transition of its training. A killed training resumes from its last evaluation.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger

from worldplan.milp.errors import CheckpointError, ConfigError, Diverged
from worldplan.world_models.collection.recording import Recorder, Recording
from worldplan.world_models.collection.settings import (
    Act,
    Array,
    CollectionSettings,
    Progress,
    flat_environment,
    mean_return,
    seed_after,
)
from worldplan.world_models.training.checkpoints import load_tensors, save_tensors


@dataclass
class Trained:
    """An agent in training.

    Args:
        model: the agent.
        recording: of all transitions of its training.
        parts: number of parts of the recording.
        evaluations: [steps, mean return] of every evaluation.
        seed: of the settings.
    """

    model: SAC
    recording: Recording
    parts: int
    evaluations: list[list[float]]
    seed: int

    @property
    def steps(self) -> int:
        """Environment steps of training so far."""
        return int(self.model.num_timesteps)

    def mean_policy(self, observations: Array) -> Array:
        """Observations (batch, observation) -> the agent's mean actions (batch, action)."""
        return self.model.predict(observations, deterministic=True)[0]

    def sampling_policy(self, done: int) -> Act:
        """The agent's stochastic policy, seeded for a roll-out of which `done` steps are recorded
        already.
        """
        self.model.set_random_seed(seed_after(self.seed, self.steps + done))
        return lambda observations: self.model.predict(observations, deterministic=False)[0]


@contextlib.contextmanager
def train(settings: CollectionSettings, folder: Path, progress: Progress) -> Iterator[Trained]:
    """A context with an agent that is trained until an evaluation reaches `settings.mark`, or, if
    that is None, for `settings.train_steps`.

    stable-baselines3 draws from Python's, NumPy's and torch's global random generators. On leaving
    the context, these and torch's number of threads are what they were before.

    Args:
        settings: what to train.
        folder: holds the agent and the recording; a training in it is resumed.
        progress: called after every step with "training".

    Yields:
        The trained agent.

    Raises:
        ConfigError: no evaluation reached the mark.
        CheckpointError: the agent in the folder is damaged.
        Diverged: the agent's weights are no longer finite.
    """
    with _globals_restored():
        trained = _resume(settings, folder, progress)
        while not _finished(settings, trained):
            _train_interval(settings, trained, folder)
        yield trained


def _finished(settings: CollectionSettings, trained: Trained) -> bool:
    """Whether the training is complete.

    Raises:
        ConfigError: all training steps are done, but the mark is not reached.
    """
    if (
        settings.mark is not None
        and trained.evaluations
        and trained.evaluations[-1][1] >= settings.mark
    ):
        return True
    if trained.steps < settings.train_steps:
        return False
    if settings.mark is None:
        return True
    best = max(mean for _, mean in trained.evaluations)
    raise ConfigError(
        f"after {trained.steps} steps the best mean return is {best:.1f}, below the stop return "
        f"{settings.mark:g}: go on with more --train-steps, or choose a lower --stop-return and "
        "another folder"
    )


def _train_interval(settings: CollectionSettings, trained: Trained, folder: Path) -> None:
    """Train up to the next evaluation, evaluate, save.

    Raises:
        Diverged: the agent's weights are no longer finite.
    """
    model = trained.model
    steps = min(
        settings.evaluate_every - trained.steps % settings.evaluate_every,
        settings.train_steps - trained.steps,
    )
    model.learn(steps, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]  # None: log nothing
    weights = torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])
    if not torch.isfinite(weights).all():
        raise Diverged(
            f"the agent's weights are not finite after {trained.steps} steps: the last good state "
            f"is in {folder}; try another --seed"
        )
    mean = mean_return(
        settings.env_id,
        trained.mean_policy,
        settings.evaluation_episodes,
        seed_after(settings.seed, trained.steps),
    )
    trained.evaluations.append([trained.steps, mean])
    recorder = model.get_env().envs[0].env  # type: ignore[union-attr]  # DummyVecEnv[Monitor[Recorder]]
    trained.recording.write(trained.parts, recorder.take())
    trained.parts += 1
    _save(trained, folder / "agent.pt")


def _save(trained: Trained, path: Path) -> None:
    """Write the agent as plain tensors and numbers (stable-baselines3's own archives hold pickles).
    The replay buffer is not saved: it is rebuilt from the recording.
    """
    model = trained.model
    content = {
        "parameters": model.get_parameters(),
        "log_ent_coef": model.log_ent_coef.detach(),  # type: ignore[union-attr]
        "updates": model._n_updates,
        "steps": trained.steps,
        "parts": trained.parts,
        "evaluations": trained.evaluations,
    }
    save_tensors(content, path)


def _resume(settings: CollectionSettings, folder: Path, progress: Progress) -> Trained:
    """A new agent, or the one in the folder with its replay buffer rebuilt from the recording.

    Raises:
        CheckpointError: the agent in the folder is damaged.
    """
    path, recording = folder / "agent.pt", Recording(folder)
    saved: dict[str, Any] | None = None
    if path.is_file():
        try:
            saved = load_tensors(path)
        except Exception as error:  # torch raises nearly anything for a damaged file
            raise CheckpointError(
                f"{path}: cannot be read ({type(error).__name__}): delete {folder.parent} and "
                "collect again"
            ) from error
    columns = recording.read(saved["parts"]) if saved else None
    steps = saved["steps"] if saved else 0
    first_episode = int(columns["episode"][-1]) + 1 if columns else 0

    def advance() -> None:
        nonlocal steps
        steps += 1
        progress("training", steps, settings.train_steps)

    model = SAC(
        "MlpPolicy",
        Recorder(flat_environment(settings.env_id), first_episode, advance),
        buffer_size=max(settings.train_steps, steps),
        learning_starts=settings.evaluate_every,
        policy_kwargs={"net_arch": list(settings.hidden)},
        device="cpu",
        seed=seed_after(settings.seed, steps),
    )
    # the default logger makes a temporary folder in every call of learn()
    model.set_logger(Logger(folder=None, output_formats=[]))
    if saved is None or columns is None:
        return Trained(model, recording, 0, [], settings.seed)
    model.set_parameters(saved["parameters"])
    with torch.no_grad():
        model.log_ent_coef.copy_(saved["log_ent_coef"])  # type: ignore[union-attr]
    model.num_timesteps, model._n_updates = saved["steps"], saved["updates"]
    _fill(model, columns)
    return Trained(model, recording, saved["parts"], saved["evaluations"], settings.seed)


def _fill(model: SAC, columns: dict[str, Array]) -> None:
    """Put recorded transitions, name -> (rows, ...), into the agent's empty replay buffer."""
    buffer, count = model.replay_buffer, len(columns["reward"])
    assert buffer is not None
    buffer.observations[:count, 0] = columns["observation"]
    buffer.next_observations[:count, 0] = columns["next_observation"]
    buffer.actions[:count, 0] = model.policy.scale_action(columns["action"])
    buffer.rewards[:count, 0] = columns["reward"]
    buffer.dones[:count, 0] = columns["terminated"] | columns["truncated"]
    buffer.timeouts[:count, 0] = columns["truncated"]
    buffer.pos, buffer.full = count % buffer.buffer_size, count == buffer.buffer_size


@contextlib.contextmanager
def _globals_restored() -> Iterator[None]:
    """Restores the global random generators and torch's number of threads on leaving."""
    python, legacy, threads = random.getstate(), np.random.get_state(), torch.get_num_threads()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.set_num_threads(1)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.set_num_threads(threads)
