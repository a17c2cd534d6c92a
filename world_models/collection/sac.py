"""Train a soft actor-critic agent (Haarnoja et al., 2018, by stable-baselines3) and record every
transition of its training.

The training is a sequence of intervals that each end with an evaluation. Each begins with what the
one before wrote to the folder, a new environment, a new episode (the one before is truncated), and
random numbers of its own, whether or not another process trained the interval before. A killed
training therefore repeats its unfinished interval and gives what an uninterrupted one gives.
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
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger

from worldplan.milp.errors import CheckpointError, ConfigError, Diverged
from worldplan.world_models.collection.randomness import stream_seed
from worldplan.world_models.collection.recording import Recorder, Recording, joined
from worldplan.world_models.collection.settings import (
    Act,
    Array,
    CollectionSettings,
    Progress,
    flat_environment,
    mean_return,
)
from worldplan.world_models.training.checkpoints import load_tensors, save_tensors

_SAVED = ("parameters", "log_ent_coef", "updates", "steps", "parts", "evaluations")


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

    def sampling_policy(self, part: int) -> Act:
        """The agent's stochastic policy, with random numbers of its own for this part of a
        roll-out.
        """
        self.model.set_random_seed(stream_seed(self.seed, "policy", part))
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
        trained = _load(settings, folder, progress, None)
        while not _finished(settings, trained):
            _train_interval(settings, trained, folder)
            trained = _load(settings, folder, progress, trained.model.replay_buffer)
        trained.model.get_env().close()  # type: ignore[union-attr]  # it has one
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
        f"{settings.mark:g}: resume with more --train-steps, or choose a lower --stop-return and "
        "another --folder"
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
        settings.environment,
        trained.mean_policy,
        settings.evaluation_episodes,
        stream_seed(settings.seed, "evaluation", trained.steps),
    )
    trained.evaluations.append([trained.steps, mean])
    environment = model.get_env()
    recorder = environment.envs[0].env  # type: ignore[union-attr]  # DummyVecEnv[Monitor[Recorder]]
    trained.recording.write(trained.parts, recorder.take())
    trained.parts += 1
    # a training with more train_steps does not end an interval here, so it starts from "agent.pt"
    whole = trained.steps % settings.evaluate_every == 0
    _save(trained, folder / ("agent.pt" if whole else "agent-last.pt"))
    environment.close()  # type: ignore[union-attr]


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


def _load(
    settings: CollectionSettings, folder: Path, progress: Progress, buffer: ReplayBuffer | None
) -> Trained:
    """The agent of the folder, or a new one, at the beginning of its next interval.

    Args:
        settings: of the training.
        folder: with the agent and the recording.
        progress: called after every step with "training".
        buffer: the replay buffer of the interval before, if this process trained it; None: it is
            rebuilt from the recording.

    Raises:
        CheckpointError: the agent in the folder is damaged.
        DatasetError: a part of the recording is damaged.
    """
    recording, saved = Recording(folder), _saved_agent(folder, settings)
    steps, parts = (saved["steps"], saved["parts"]) if saved else (0, 0)

    def advance() -> None:
        nonlocal steps
        steps += 1
        progress("training", steps, settings.train_steps)

    last = recording.part(parts - 1) if parts else None
    first_episode = 0 if last is None else int(last["episode"][-1]) + 1
    model = SAC(
        "MlpPolicy",
        Recorder(flat_environment(settings.environment), first_episode, advance),
        buffer_size=max(settings.train_steps, steps),
        learning_starts=settings.evaluate_every,
        policy_kwargs={"net_arch": list(settings.hidden)},
        device="cpu",
        seed=stream_seed(settings.seed, "training", steps),
    )
    # the default logger makes a temporary folder in every call of learn()
    model.set_logger(Logger(folder=None, output_formats=[]))
    if saved is None or last is None:
        return Trained(model, recording, 0, [], settings.seed)
    model.set_parameters(saved["parameters"])
    with torch.no_grad():
        model.log_ent_coef.copy_(saved["log_ent_coef"])  # type: ignore[union-attr]
    model.num_timesteps, model._n_updates = saved["steps"], saved["updates"]
    if buffer is None:
        end = 0
        for number in range(parts):
            end = _fill(model, recording.part(number), end)
    else:
        model.replay_buffer = buffer
        _fill(model, last, steps - len(last["reward"]))
    return Trained(model, recording, parts, saved["evaluations"], settings.seed)


def _saved_agent(folder: Path, settings: CollectionSettings) -> dict[str, Any] | None:
    """What `_save` wrote after the last interval of these settings; None if there is nothing.

    Raises:
        CheckpointError: a file is damaged.
    """
    last = _read_agent(folder / "agent-last.pt")
    if last is not None and last["steps"] == settings.train_steps:
        return last
    return _read_agent(folder / "agent.pt")


def _read_agent(path: Path) -> dict[str, Any] | None:
    """The content of a file that `_save` wrote; None if there is no such file.

    Raises:
        CheckpointError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        saved = load_tensors(path)
        return {name: saved[name] for name in _SAVED}
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}): check the permissions"
        ) from error
    except Exception as error:  # torch raises nearly anything for a damaged file
        raise CheckpointError(
            f"{path}: cannot be read ({type(error).__name__}): collect again with --fresh, or with "
            "another --folder"
        ) from error


def _fill(model: SAC, columns: dict[str, Array], start: int) -> int:
    """Put the recorded transitions of an interval, name -> (rows, ...), into the agent's replay
    buffer from row `start` on; returns the row after them. Its last episode counts as truncated.
    """
    buffer, end = model.replay_buffer, start + len(columns["reward"])
    assert buffer is not None
    columns = joined([columns])
    rows = slice(start, end)
    buffer.observations[rows, 0] = columns["observation"]
    buffer.next_observations[rows, 0] = columns["next_observation"]
    buffer.actions[rows, 0] = model.policy.scale_action(columns["action"])
    buffer.rewards[rows, 0] = columns["reward"]
    buffer.dones[rows, 0] = columns["terminated"] | columns["truncated"]
    buffer.timeouts[rows, 0] = columns["truncated"] & ~columns["terminated"]
    buffer.pos, buffer.full = end % buffer.buffer_size, end == buffer.buffer_size
    return end


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
