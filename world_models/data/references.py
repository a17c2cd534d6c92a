"""Returns of the D4RL score (Fu et al., 2020): 100 (return - ref_min) / (ref_max - ref_min)."""

from __future__ import annotations

from worldplan.envs.spec import EnvironmentSpec

_CONSTANTS = {  # (ref_min, ref_max), from the D4RL package
    "Hopper": (-20.272305, 3234.3),
    "HalfCheetah": (-280.178953, 12135.0),
    "Walker2d": (1.629008, 4592.3),
    "Ant": (-325.6, 3879.7),
}
_POLICIES = ("random", "medium", "medium-replay", "medium-expert", "expert", "full-replay")

D4RL_REFERENCES = {
    **{f"{task}-v{n}": pair for task, pair in _CONSTANTS.items() for n in range(2, 6)},
    **{
        f"{task.lower()}-{policy}-v{n}": pair
        for task, pair in _CONSTANTS.items()
        for policy in _POLICIES
        for n in range(3)
    },
}
"""(ref_min, ref_max) by the id of an environment with its registered arguments, or by the name of
one of D4RL's datasets. Other environments of a similar name have other returns."""


def references_of(spec: EnvironmentSpec | None) -> tuple[float, float] | tuple[None, None]:
    """(ref_min, ref_max) of D4RL for an environment; (None, None) where they do not hold for it.

    Args:
        spec: the environment; None: unknown.
    """
    known = None if spec is None else D4RL_REFERENCES.get(spec.bare_id)
    if spec is None or known is None:
        return None, None
    from worldplan.envs.registered import differences  # gymnasium takes time to import

    return (None, None) if differences(spec, EnvironmentSpec(spec.bare_id)) else known
