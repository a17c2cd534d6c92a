"""What the returns of policies learned from data are compared with: a random policy in the same
episodes, the episodes of the dataset, and the return of score 100.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.spaces import Box
from gymnasium.vector import VectorEnv

from worldplan.commands.studies.references import DATA_MEAN, RANDOM, UniformPolicy
from worldplan.planners.base import bootstrap, evaluate
from worldplan.planners.offline.references import References

EXPERT = "score 100 (expert)"  # no method of a study can have such a name


def reference_rows(
    environment: VectorEnv, references: References | None, episodes: int, seed: int
) -> list[dict[str, Any]]:
    """Rows policy, mean, low, high, length and episodes of what is known.

    Args:
        environment: of the policies; the random policy plays in it.
        references: of the dataset; None where there is none.
        episodes: of the random policy.
        seed: of these episodes, that of the policies.
    """
    space = environment.single_action_space
    assert isinstance(space, Box)
    policy = UniformPolicy(torch.from_numpy(space.low), torch.from_numpy(space.high))
    played = evaluate(policy, environment, episodes, seed).episodes
    random = bootstrap(played["return"].to_numpy())
    rows = [{"policy": RANDOM, **random, "length": played["length"].mean(), "episodes": episodes}]
    if references is None:
        return rows
    count = len(references.returns)
    data = bootstrap(references.returns.numpy())
    rows.append(
        {"policy": DATA_MEAN, **data, "length": references.steps / count, "episodes": count}
    )
    if references.score is not None:
        rows.append({"policy": EXPERT, "mean": references.score[1]})
    return rows
