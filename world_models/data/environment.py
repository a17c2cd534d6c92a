"""The environment of a dataset, as its metadata record it.

"environment" holds the whole specification (`worldplan.envs.spec`), "evaluation_environment" that
of the environment in which policies are judged, where that is another one. Older datasets have an
"env_id" only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worldplan.envs.spec import EnvironmentSpec, parse_spec
from worldplan.milp.errors import DatasetError

ENVIRONMENT = "environment"
EVALUATION = "evaluation_environment"


def recorded_environment(
    metadata: Mapping[str, Any], key: str = ENVIRONMENT
) -> EnvironmentSpec | None:
    """The whole specification that metadata record; None where they hold none.

    Args:
        metadata: of a dataset.
        key: `ENVIRONMENT` or `EVALUATION`.

    Raises:
        DatasetError: it is no specification, or of another id than env_id.
    """
    if metadata.get(key) is None:
        return None
    spec = parse_spec(metadata[key], f"metadata {key}", error=DatasetError)
    env_id = metadata.get("env_id")
    if key == ENVIRONMENT and env_id is not None and env_id != spec.id:
        raise DatasetError(
            f"metadata env_id is {env_id!r:.60}, but that of their environment {spec.id!r:.60}: "
            "write the file again"
        )
    return spec


def data_environment(metadata: Mapping[str, Any]) -> EnvironmentSpec | None:
    """The environment that data were made in: the whole specification, else the id alone, else
    None.

    Raises:
        DatasetError: the metadata hold something else.
    """
    spec = recorded_environment(metadata)
    if spec is not None or not str(metadata.get("env_id") or "").strip():  # blank: unknown
        return spec
    return parse_spec(metadata["env_id"], "metadata env_id", error=DatasetError)


def common_environment(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The specification of the environment of several datasets, as JSON values; None where none of
    them records more than an id.

    Args:
        parts: metadata of each dataset; one that records an id only was made in that environment
            as it is registered.

    Raises:
        DatasetError: two datasets were made in different environments.
    """
    whole = [spec for metadata in parts if (spec := recorded_environment(metadata)) is not None]
    if not whole:
        return None
    from worldplan.envs.registered import differences  # gymnasium takes time to import

    for metadata in parts:
        other = data_environment(metadata) or whole[0]
        changes = differences(whole[0], other, "one part", "in another")
        if changes:
            raise DatasetError(
                f"datasets of different environments cannot be joined: {'; '.join(changes)}: join "
                "those of one environment"
            )
    return whole[0].to_json()


def minari_environments(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata about the environment of a dataset, out of Minari's env_spec and eval_env_spec.

    Args:
        raw: Minari's metadata.

    Raises:
        DatasetError: one of them is no specification.
    """
    from worldplan.envs.registered import spec_from_gymnasium  # gymnasium takes time to import

    metadata: dict[str, Any] = {}
    for key, name in ((ENVIRONMENT, "env_spec"), (EVALUATION, "eval_env_spec")):
        if raw.get(name) is not None:
            metadata[key] = spec_from_gymnasium(raw[name], f"its {name}").to_json()
    if ENVIRONMENT in metadata:
        metadata["env_id"] = metadata[ENVIRONMENT]["id"]
    return metadata
