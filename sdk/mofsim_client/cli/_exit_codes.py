"""Exit codes that scripts can rely on."""

from __future__ import annotations

from enum import IntEnum

from mofsim_client import (
    APIError,
    AuthenticationError,
    ConnectionFailedError,
    IncompatibleServerError,
    MOFSimError,
    NotCancellableError,
    NotFinishedError,
    NotFoundError,
    ServerError,
    StructureError,
    TaskError,
    WaitTimeoutError,
)


class ExitCode(IntEnum):
    """What the end of a command means."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    """A wrong option, parameter or file."""
    NO_SERVER = 3
    """No server answers, or one of another version."""
    KEY = 4
    """The API key is missing, wrong or may not do this."""
    NOT_FOUND = 5
    """No such task, model, structure, file or GPU."""
    REFUSED = 6
    """The server refused the request as it stands."""
    SERVER = 7
    """The service itself is in trouble."""
    WAIT_TIMEOUT = 8
    """`--timeout` of a wait has passed; the task goes on."""
    TASK_ENDED = 9
    """A task ended without a result: failed, cancelled or timed out."""
    INTERRUPTED = 130
    """Ctrl-C."""


_BY_CLASS: tuple[tuple[tuple[type[MOFSimError], ...], ExitCode], ...] = (
    ((ConnectionFailedError, IncompatibleServerError), ExitCode.NO_SERVER),
    ((StructureError,), ExitCode.USAGE),
    ((WaitTimeoutError,), ExitCode.WAIT_TIMEOUT),
    ((AuthenticationError,), ExitCode.KEY),
    ((NotFoundError,), ExitCode.NOT_FOUND),
    ((ServerError,), ExitCode.SERVER),
    ((NotFinishedError, NotCancellableError), ExitCode.REFUSED),
    ((TaskError,), ExitCode.TASK_ENDED),
    ((APIError,), ExitCode.REFUSED),
)


def exit_code(error: MOFSimError) -> ExitCode:
    """The exit code that tells of an error."""
    return next((code for kinds, code in _BY_CLASS if isinstance(error, kinds)), ExitCode.UNEXPECTED)


EPILOG = (
    "Exit codes: 0 done · 1 unexpected · 2 wrong option or file · 3 no server · 4 API key · 5 not found · "
    "6 refused · 7 server in trouble · 8 wait timed out · 9 task ended without a result · 130 interrupted."
)
