"""Datasets of transitions as Minari datasets, local or from a Minari hub."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_dataset import MinariDataset
from minari.dataset.minari_storage import MinariStorage
from minari.storage import get_dataset_path

from worldplan.envs.registered import spec_to_gymnasium
from worldplan.milp.errors import DatasetError, FolderInUse
from worldplan.milp.user_files import require_regular
from worldplan.world_models.data.drafts import Place
from worldplan.world_models.data.environment import minari_environments
from worldplan.world_models.data.flattened import (
    flat_observations,
    flattened_metadata,
    is_flat,
    require_flat,
)
from worldplan.world_models.data.minari_places import (
    check_id,
    drafting,
    hdf5_in_memory,
    minari_place,
    near_id,
    require_free_id,
)
from worldplan.world_models.data.simulator_states import join_state, split_state, warn_ignored
from worldplan.world_models.data.transitions import Transitions, plain_metadata
from worldplan.world_models.storage import READ_ERRORS, describe_read_error

_KEY = "worldplan"  # of our metadata among those of Minari
_MINARI_KEYS = (
    "ref_min_score",
    "ref_max_score",
    "algorithm_name",
    "author",
    "description",
    "requirements",
)

_OWN = "worldplan/"  # of datasets that `worldplan data collect` names: none is on a hub


def load_minari(dataset_id: str, *, flatten: bool = False) -> Transitions:
    """The transitions of a Minari dataset, which is downloaded from its hub where it is not on this
    machine.

    Minari stores T + 1 observations per episode, among them the true next observation of the last
    step. Simulator states are read from infos (qpos and qvel), of T or T + 1 rows, and so are costs
    (infos/cost), of which the first of T + 1 rows belongs to the reset. infos/state is one only in
    a dataset that worldplan wrote.

    Args:
        dataset_id: such as mujoco/hopper/medium-v0.
        flatten: make vectors of observations that are none, as FlattenObservation does.

    Raises:
        DatasetError: the id is malformed, the download fails, the data are damaged, or observations
            are not flat vectors or actions not continuous.
    """
    with open_minari(dataset_id) as (dataset, raw):
        episodes = dataset.storage.get_episodes(range(dataset.total_episodes))
        space, metadata = dataset.observation_space, metadata_of(dataset, raw)
        require_flat("actions", dataset.action_space)
        if flatten and not is_flat(space):
            metadata = flattened_metadata(metadata, space)
            episodes = (
                {**entry, "observations": flat_observations(space, entry["observations"])}
                for entry in episodes
            )
        else:
            require_flat("observations", space)
        return _assemble(episodes, metadata, own=isinstance(raw.get(_KEY), dict))


@contextmanager
def open_minari(dataset_id: str) -> Iterator[tuple[MinariDataset, dict[str, Any]]]:
    """Open a Minari dataset, which is downloaded from its hub where it is not on this machine:
    (dataset, raw metadata).

    Raises:
        DatasetError: names the dataset, for every error while it is opened and while the block
            under `with` reads it.
    """
    check_id(dataset_id)
    folder = get_dataset_path(dataset_id) / "data"
    if not folder.is_dir():
        _download(dataset_id)
    for file in folder.rglob("*"):  # a pipe in the place of a file would wait for ever
        if not file.is_dir():
            require_regular(file)
    try:
        raw = MinariStorage.read_raw_metadata(folder)
        if "observation_space" not in raw or "action_space" not in raw:
            # Minari would import and make any environment that the dataset names
            raise DatasetError("it does not store its spaces: write it again with Minari 0.5")
        minari_environments(raw)
        dataset = minari.load_dataset(dataset_id)
        if not dataset.total_episodes:
            raise DatasetError(
                "it holds no episode: its writing was interrupted; "
                "delete the folder and make it again"
            )
        yield dataset, raw
    except DatasetError as error:
        raise DatasetError(f"Minari dataset {dataset_id} in {folder}: {error}") from error
    except (*READ_ERRORS, AssertionError, ImportError) as error:
        raise DatasetError(
            f"Minari dataset {dataset_id} in {folder}: cannot be read, {describe_read_error(error)}"
        ) from error


def save_minari(
    data: Transitions, dataset_id: str, place: Place | None = None, *, replace: bool = False
) -> str:
    """Write a new Minari dataset and return its id. infos/qpos and infos/qvel have a row per step,
    the state before the action, and infos/cost the cost of the step.

    Args:
        data: the transitions.
        dataset_id: such as worldplan/hopper/medium-v0.
        place: see `write_minari`.
        replace: see `write_minari`.

    Raises:
        DatasetError: the id is malformed or taken.
    """
    env, spaces = _environment(data)
    policy = data.metadata.get("policy", "unknown")
    description = f"{policy} policy; written by worldplan; infos hold the state before each action"
    algorithm = str(data.metadata.get("algorithm", ""))
    return write_minari(
        dataset_id,
        _buffers(data),
        data.metadata,
        place,
        replace=replace,
        env=env,
        algorithm_name=algorithm,
        description=description,
        **spaces,
    )


def write_minari(
    dataset_id: str,
    episodes: Iterable[EpisodeBuffer],
    metadata: Mapping[str, Any],
    place: Place | None = None,
    *,
    replace: bool = False,
    **options: Any,
) -> str:
    """Write a new Minari dataset, whole or not at all, and return its id.

    Args:
        dataset_id: such as worldplan/hopper/medium-v0.
        episodes: in Minari's form.
        metadata: JSON values, stored under the key "worldplan"; reference scores are also stored
            under the keys that Minari reads.
        place: of the dataset, if the caller has reserved it.
        replace: take the place of a dataset with this id.
        options: of `minari.create_dataset_from_buffers`.

    Raises:
        DatasetError: the id is malformed or taken.
        FolderInUse: another process makes a dataset with this id.
        OSError: the disk is full.
    """
    if not replace:
        require_free_id(dataset_id)
    scores = {key: metadata[key] for key in ("ref_min_score", "ref_max_score") if key in metadata}
    with (
        nullcontext(place) if place else minari_place(dataset_id) as reserved_place,
        drafting(reserved_place, dataset_id, replace=replace),
        reserved_place.naming_disk_errors(),
        hdf5_in_memory(),
        warnings.catch_warnings(),
    ):
        # Minari warns of every missing author, e-mail address and code link
        warnings.simplefilter("ignore", UserWarning)
        dataset = minari.create_dataset_from_buffers(dataset_id, episodes, **options)
        dataset.storage.update_metadata({_KEY: dict(metadata), **scores})
    return dataset_id


def _download(dataset_id: str) -> None:
    if dataset_id.startswith(_OWN):
        raise DatasetError(
            f"Minari dataset {dataset_id} is not on this machine ({get_dataset_path()})"
            f"{near_id(dataset_id)}: "
            "collect it first (worldplan data collect, or the commands at the head of the "
            "configuration file), or set MINARI_DATASETS_PATH"
        )
    try:
        with minari_place(dataset_id) as place, drafting(place, dataset_id):
            minari.download_dataset(dataset_id)
    except FolderInUse:
        raise
    except Exception as error:  # every hub client has its own exceptions
        text = " ".join(str(error).split())[:200]
        if isinstance(error, ImportError):
            text += "; pip install 'worldplan[hub]'"
        raise DatasetError(
            f"Minari dataset {dataset_id} is not on this machine ({get_dataset_path()})"
            f"{near_id(dataset_id)} and cannot be fetched from its hub "
            f"({type(error).__name__}: {text}): "
            "check id and network, set MINARI_DATASETS_PATH, "
            "or collect your own (worldplan data collect)"
        ) from error


def metadata_of(dataset: MinariDataset, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that `write_minari` stored, else those that Minari records."""
    if isinstance(raw.get(_KEY), dict):
        return dict(raw[_KEY])
    metadata = {key: raw[key] for key in _MINARI_KEYS if raw.get(key) is not None}
    metadata |= minari_environments(raw)
    space = dataset.action_space
    if isinstance(space, gym.spaces.Box):
        metadata |= {"action_low": space.low, "action_high": space.high}
    return metadata | {"dataset_id": raw.get("dataset_id")}


def steps_of(
    number: int, episode: Mapping[str, Any], observations: Mapping[str, np.ndarray]
) -> int:
    """The number of steps T of a stored episode.

    Args:
        number: of the episode, for messages.
        episode: as Minari reads it.
        observations: its arrays (T + 1, ...) by name.

    Raises:
        DatasetError: the columns differ in length.
    """
    count = len(episode["rewards"])
    sizes = {name: len(episode[name]) for name in ("actions", "terminations", "truncations")}
    for column in observations.values():
        if len(column) != count + 1 or any(size != count for size in sizes.values()):
            raise DatasetError(
                f"episode {number} has {count} rewards, but {len(column)} observations "
                f"(one more is right) and {sizes}: it was cut off"
            )
    return count


def _assemble(
    episodes: Iterable[Mapping[str, Any]], metadata: Mapping[str, Any], *, own: bool
) -> Transitions:
    """The transitions of all episodes that have steps.

    Args:
        episodes: as Minari reads them.
        metadata: of the dataset.
        own: whether worldplan wrote it, so that infos/state is a simulator state.

    Raises:
        DatasetError: no episode has any.
    """
    columns: dict[str, list[np.ndarray]] = {}
    state_metadata: dict[str, Any] = {}
    states = ("qpos", "qvel", "state") if own else ("qpos", "qvel")
    names: set[str] = set()
    for number, episode in enumerate(episodes):
        observations = np.asarray(episode["observations"])
        count = steps_of(number, episode, {"": observations})
        if not count:
            continue
        infos = episode["infos"] or {}
        names |= infos.keys()
        state, state_metadata = join_state(
            {key: _rows(infos[key], count) for key in states if key in infos}
        )
        terminated = np.array(episode["terminations"], dtype=bool)
        truncated = np.array(episode["truncations"], dtype=bool)
        truncated[-1] |= not terminated[-1]  # a recording may stop in the middle of an episode
        rows = {
            "observation": observations[:-1],
            "next_observation": observations[1:],
            "action": episode["actions"],
            "reward": episode["rewards"],
            "terminated": terminated,
            "truncated": truncated,
            "episode": np.full(count, number),
            **({} if state is None else {"state": state}),
            **_costs(number, count, infos),
        }
        for name, column in rows.items():
            columns.setdefault(name, []).append(column)
    if not columns:
        raise DatasetError("all its episodes are empty: collect again")
    short = [name for name, parts in columns.items() if len(parts) < len(columns["reward"])]
    if short:
        raise DatasetError(f"only some of its episodes have {', '.join(short)}: write it again")
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    warn_ignored(names, joined.get("state"), own=own)
    return Transitions(**joined, metadata=state_metadata | dict(metadata))


def _rows(value: Any, count: int) -> Any:
    """The first `count` rows of a column of infos, which may also be a mapping of columns."""
    return value if isinstance(value, Mapping) or not np.ndim(value) else value[:count]


def _costs(number: int, count: int, infos: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The costs (count,) of an episode under "cost", if its infos have any.

    Raises:
        DatasetError: their number is neither that of the steps nor one more.
    """
    if "cost" not in infos:
        return {}
    cost = np.asarray(infos["cost"])
    if cost.shape[:1] not in ((count,), (count + 1,)) or cost.size != len(cost):
        raise DatasetError(
            f"episode {number} has {count} steps, but infos/cost has the shape {cost.shape}: "
            "a cost per step is right, and one of the reset before them"
        )
    return {"cost": cost.reshape(-1)[len(cost) - count :]}


def _buffers(data: Transitions) -> Iterator[EpisodeBuffer]:
    """The episodes in Minari's form."""
    infos, starts = split_state(data), data.starts
    if data.cost is not None:
        infos = infos | {"cost": data.cost}
    for first, end in zip(starts.tolist(), [*starts[1:].tolist(), len(data)], strict=True):
        rows = slice(first, end)
        yield EpisodeBuffer(
            observations=np.concatenate(
                [data.observation[rows], data.next_observation[end - 1 : end]]
            ),
            actions=data.action[rows],
            rewards=data.reward[rows],
            terminations=data.terminated[rows],
            truncations=data.truncated[rows],
            infos={name: column[rows] for name, column in infos.items()} or None,
        )


class _Described(gym.Env[Any, Any]):
    """An environment that has a specification only: Minari would make one of a bare EnvSpec."""

    def __init__(self, spec: EnvSpec) -> None:
        self.spec = spec


def _environment(data: Transitions) -> tuple[gym.Env[Any, Any] | None, dict[str, Any]]:
    """What Minari is told of the environment, None where its id is not registered here, and flat
    spaces that hold the data.
    """
    metadata = plain_metadata(data.metadata)
    spaces = {
        "observation_space": gym.spaces.Box(
            -np.inf, np.inf, data.observation.shape[1:], data.observation.dtype.type
        ),
        "action_space": _action_box(metadata, data.action.shape[1]),
    }
    spec = None if data.environment is None else spec_to_gymnasium(data.environment)
    return None if spec is None else _Described(spec), spaces


def _action_box(metadata: Mapping[str, Any], size: int) -> gym.spaces.Box:
    """The box of actions (size,) with the bounds of the metadata; without bounds where they are
    missing, or fit neither the actions nor each other.
    """
    try:
        with np.errstate(over="ignore"):
            low, high = (
                np.float32(np.inf * sign if metadata.get(key) is None else metadata[key])
                for key, sign in (("action_low", -1), ("action_high", 1))
            )
        return gym.spaces.Box(low, high, (size,), np.float32)
    except (ValueError, TypeError, AssertionError):
        return gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
