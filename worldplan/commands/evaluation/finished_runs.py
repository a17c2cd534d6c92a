"""Which policies of a finished run of several are evaluated."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean
from worldplan.runs import SUMMARY, Run


def policies_to_evaluate(
    run: Run, command: str, names: Sequence[str], available: Sequence[str]
) -> list[str]:
    """The policies that a user named, or all of the run.

    Args:
        run: the run.
        command: that made the run and resumes it, such as "worldplan run".
        names: of the policies; empty: all of the run.
        available: the policies of the run.

    Raises:
        ConfigError: the run is not finished, or has no policy of such a name.
    """
    if not (run.path / SUMMARY).is_file():
        raise ConfigError(
            f"{run.path}: this run is not finished: repeat its '{command}' command, "
            "which continues it"
        )
    refuse_unknown(names, available)
    return list(names or available)


def refuse_unknown(names: Sequence[str], available: Collection[str], reason: str = "") -> None:
    """Check that a run has the policies that a user named.

    Args:
        names: of the policies.
        available: the policies of the run.
        reason: why it lacks one, in brackets after a space; "": none to tell.

    Raises:
        ConfigError: it has no policy of such a name.
    """
    unknown = [name for name in names if name not in available]
    if unknown:
        raise ConfigError(
            f"--policies: {', '.join(unknown)} is not in this run{reason}"
            f"{did_you_mean(unknown[0], available)}: choose from {', '.join(available)}"
        )
