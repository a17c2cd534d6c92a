"""The errors that worldplan raises on purpose: one type per cause.

Every message names the cause and what to do about it.
"""


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


class InfeasibleActionSet(WorldplanError):
    """No action satisfies the constraints, or a constraint can never be met.

    Args:
        text: of the message.
        conflict: names of rules that cannot all be met, as in `worldplan.milp.sets.Conflict`; empty
            where they are not known.
    """

    def __init__(self, text: str = "", conflict: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self._conflict = conflict

    @property
    def conflict(self) -> tuple[str, ...]:
        """The conflict of this error, or of the one that it was raised from."""
        cause = self.__cause__
        if self._conflict or not isinstance(cause, InfeasibleActionSet):
            return self._conflict
        return cause.conflict


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
