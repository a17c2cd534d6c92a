"""Every error that worldplan raises on purpose: one type per cause, each message says what to do
next.
"""


class WorldplanError(Exception):
    """Base of all errors a user can mend; the command line prints the message and exits with code
    2.
    """


class InfeasibleActionSet(WorldplanError):
    """No action satisfies the constraints, or a constraint can never be met."""


class InfeasibleAction(WorldplanError):
    """An action was given that is not in its feasible set."""


class SolverUnavailable(WorldplanError):
    """A solver is not installed, not licensed, or the model exceeds its licence."""


class SolverFailed(WorldplanError):
    """A solver stopped without an answer (numerical trouble, or a limit before any feasible point)."""


class DatasetError(WorldplanError):
    """A data file is missing, malformed or inconsistent; the message names file and row."""


class ConfigError(WorldplanError):
    """A setting is unknown, out of range, or contradicts another one."""


class CheckpointError(WorldplanError):
    """A checkpoint is missing, damaged, or belongs to a model of another size."""


class MissingExtra(WorldplanError):
    """An optional part is not installed; the message names the extra to install."""


class Diverged(WorldplanError):
    """Training reached a loss that is not a finite number; the message names the last good
    checkpoint.
    """


class RenderingUnavailable(WorldplanError):
    """No picture can be made: no OpenGL; the message names the packages to install and the variable
    MUJOCO_GL.
    """
