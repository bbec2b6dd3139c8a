"""What becomes of an error that nobody foresaw: one line for the user, the traceback in a file without keys.

A crash must never look like a verdict: the line is an InternalError (exit 70), or an OutOfMemory (exit 4).
"""

from __future__ import annotations

import os
import re
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from ropo_bench.errors import InternalError, MethodFailed, OutOfMemory, RopoBenchError, first_line

TRACEBACKS = "ROPO_BENCH_TRACEBACKS"
"""Environment variable with the folder of tracebacks, for this process and those that it starts."""
INTERNAL = "internal error"
_DOING = "while doing: "
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.I)
_SHORTEST_SECRET = 6  # "1" or "none" in such a variable would blot out half a traceback
_SECRETS = re.compile(
    r"\b(?:sk|pk|rk)-[\w-]{16,}|\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|(?i:\bbearer\s+[\w.~+/-]{8,})"
)
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|cannot allocate memory|not enough memory", re.I)
MEMORY_MEND = (
    "free memory, or take less at a time: --set train.micro_batch_size=1 --set train.micro_batch_tokens=2048, a"
    " task's decoding.batch_size, --processes N --shard, or a smaller base (`ropo-bench plan` says what each needs)"
)


def keep_tracebacks_in(folder: Path) -> None:
    """Where tracebacks are written from now on, in this process and those that it starts."""
    os.environ[TRACEBACKS] = str(folder.absolute())


def note_work(error: BaseException, work: str) -> None:
    """Write on an error what was being done when it was raised; the innermost is noted first."""
    error.add_note(f"{_DOING}{work}")


def work_of(error: BaseException) -> str:
    """What was being done when an error was raised, outermost first; empty where nobody noted it."""
    notes = [note.removeprefix(_DOING) for note in getattr(error, "__notes__", []) if note.startswith(_DOING)]
    return ", ".join(dict.fromkeys(reversed(notes)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that memory is used up; torch has several words."""
    if isinstance(error, MemoryError):
        return True
    says_so = isinstance(error, RuntimeError | OSError) and _NO_MEMORY.search(str(error)) is not None
    return says_so or (error.__cause__ is not None and is_out_of_memory(error.__cause__))


def as_expected(error: BaseException) -> RopoBenchError:
    """The error that is told to the user in place of any other; a RopoBenchError is one already.

    Writes the traceback of an unforeseen error into a file.
    """
    if isinstance(error, RopoBenchError):
        return error
    work = work_of(error)
    place = f" in {work}" if work else ""
    if is_out_of_memory(error):
        return OutOfMemory(f"out of memory{place}: {without_secrets(first_line(error))}; {MEMORY_MEND}")
    if type(error).__name__.endswith("LinAlgError"):  # numpy's and torch's: the numbers are the method's
        return MethodFailed(f"no solution{place}: {first_line(error)}; a smaller train.lr may help")
    path = write_traceback(error)
    lies = f"its traceback: {path}" if path else "its traceback could not be written anywhere"
    reason = f"{type(error).__name__}: {without_secrets(first_line(error))}"
    return InternalError(
        f"{INTERNAL}{place}: {reason}; this is a fault of ropo-bench, not a result: report it with the command and"
        f" {lies}; what was finished is kept"
    )


def write_traceback(error: BaseException) -> Path | None:
    """Write an error's traceback below the folder of tracebacks, else the temporary folder; None if neither can."""
    text = without_secrets("".join(traceback.format_exception(error)))
    name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{time.monotonic_ns() % 10**6:06d}.txt"
    chosen = os.environ.get(TRACEBACKS)
    for folder in [*([Path(chosen)] if chosen else []), Path(tempfile.gettempdir()) / "ropo-bench-tracebacks"]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        return folder / name
    return None


def without_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """A text in which the values of secret environment variables, and what looks like a key, are blotted out."""
    values = {
        value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
    }
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "[blotted out]")
    return _SECRETS.sub("[blotted out]", text)
