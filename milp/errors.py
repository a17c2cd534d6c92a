"""The errors that worldplan raises on purpose: one type per cause.

Every message names the cause and what to do about it.
"""

from __future__ import annotations

from dataclasses import dataclass


def one_line(error: BaseException | str, longest: int = 200) -> str:
    """The text of an error as one line of about `longest` characters at most; of an error without a
    text, its type.
    """
    text = error if isinstance(error, str) else str(error) or type(error).__name__
    line = " ".join(text[: 10 * longest].split())
    return line if len(line) <= longest else f"{line[:longest]} ..."


class WorldplanError(Exception):
    """Base class of all errors that a user can mend.

    The command line prints the message without a traceback and exits with code 2.
    """


@dataclass(frozen=True)
class Remedy:
    """A change that relaxes one rule of a conflict.

    Args:
        kind: "rule": leave the rule out; "visits", "moves", "hours": raise the limit of visits, of
            moves, or of one worker; "forced", "left out": do not force a component in or out.
        name: of the rule, the worker or the component; "" for visits and moves.
        amount: of a limit: the least with which all other rules that were looked at can be met;
            None where there is none, or where it is not known.
    """

    kind: str
    name: str = ""
    amount: float | None = None


class InfeasibleActionSet(WorldplanError):
    """No action satisfies the constraints, or a constraint can never be met.

    Args:
        text: of the message.
        conflict: names of rules that cannot all be met, as in `worldplan.milp.sets.Conflict`; empty
            where they are not known.
        remedies: changes each of which relaxes one of these rules; there may be another conflict.
        clash: the part of the text that says which rules conflict, without what to do about it.
    """

    def __init__(
        self,
        text: str = "",
        conflict: tuple[str, ...] = (),
        remedies: tuple[Remedy, ...] = (),
        clash: str = "",
    ) -> None:
        super().__init__(text)
        self._conflict, self._remedies, self._clash = conflict, remedies, clash

    def _reason(self) -> InfeasibleActionSet:
        """This error, or the one that it was raised from, if only that one has the conflict."""
        cause = self.__cause__
        if self._conflict or not isinstance(cause, InfeasibleActionSet):
            return self
        return cause._reason()

    @property
    def conflict(self) -> tuple[str, ...]:
        """The conflict of this error, or of the one that it was raised from."""
        return self._reason()._conflict

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """The remedies of this error, or of the one that it was raised from."""
        return self._reason()._remedies

    @property
    def clash(self) -> str:
        """The rules in conflict in words, of this error or of the one that it was raised from."""
        return self._reason()._clash


class InfeasibleAction(WorldplanError):
    """An action was given that is not in its feasible set."""


class SolverUnavailable(WorldplanError):
    """A solver is not installed, not licensed, or the model exceeds its licence."""


class SolverFailed(WorldplanError):
    """A solver stopped without a solution: numerical trouble, or a limit came first."""


class DatasetError(WorldplanError):
    """A data file is missing, malformed or inconsistent; the message names file and row."""


class ConfigError(WorldplanError):
    """A setting is unknown, out of range, or contradicts another one."""


class FolderInUse(WorldplanError):
    """Another process works in the folder; the message names the process."""


class JobKilled(WorldplanError):
    """A process that ran a job of a run ended without a result; finished jobs are kept."""


class CheckpointError(WorldplanError):
    """A checkpoint is missing, damaged, or belongs to a model of another size."""


class MissingExtra(WorldplanError):
    """An optional dependency is not installed; the message names the extra to install."""


class Diverged(WorldplanError):
    """A training loss or a planned action is not finite; the message says what to go back to."""


class RenderingUnavailable(WorldplanError):
    """OpenGL is missing; the message names the packages to install and the variable MUJOCO_GL."""
