"""Every error a user can meet, with the exit code of the command that meets it.

RopoBenchError
├── UsageError        2   bad command line, bad recipe, missing or malformed data
├── MethodFailed      4   one method cannot finish; the others go on
│   ├── TrainingDiverged      the loss became NaN or infinite
│   └── CertificateFailed     the merged model is not the trained model
├── UnfinishedRun     4   a run has not everything that is asked of it yet
├── OutOfMemory       4   of the machine or of a device
├── StorageError      4   unwritable folder, full disk, corrupt file of a run
├── BudgetReached     5   calls or money; resumable
└── InternalError    70   an error of the program itself; its traceback is in a file

Exit 0 is success, 1 a regression or a failed claim, 3 inconclusive, 130 interrupted and resumable
(docs/exit-codes.md). A message says where, what, what was given and how to mend it, in one line.
"""

from __future__ import annotations

MESSAGE_CHARACTERS = 1900  # a message quotes what was given, which may be a file without an end
_TAIL_CHARACTERS = 500


class RopoBenchError(Exception):
    """Base of all errors with a message for the user, which is cut in its middle where it is too long to be read."""

    exit_code = 4

    def __init__(self, message: str = "") -> None:
        if len(message) > MESSAGE_CHARACTERS:
            head = MESSAGE_CHARACTERS - _TAIL_CHARACTERS - len(" ... ")
            message = f"{message[:head]} ... {message[-_TAIL_CHARACTERS:]}"  # the mend stands at the end
        super().__init__(message)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type's name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


class UsageError(RopoBenchError):
    """The command, a recipe or a data file is wrong; nothing was started."""

    exit_code = 2


class MethodFailed(RopoBenchError):
    """One method of a run cannot finish."""


class TrainingDiverged(MethodFailed):
    """The loss became NaN or infinite."""


class CertificateFailed(MethodFailed):
    """The merged model differs from the trained one by more than the limits."""


class UnfinishedRun(RopoBenchError):
    """A run lacks rows or stages that the command needs."""


class StorageError(RopoBenchError):
    """A file of the run cannot be written or read."""


class OutOfMemory(RopoBenchError):
    """The machine or a device has too little memory for what was asked."""


class InternalError(RopoBenchError):
    """An error that nobody foresaw, told in one line (see failures.py)."""

    exit_code = 70


class BudgetReached(RopoBenchError):
    """The budget in calls or money is used up."""

    exit_code = 5
