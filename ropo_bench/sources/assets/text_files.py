"""Text files that a user names: one line about every way in which a file can be none."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.store.bounded import GZIP, gunzip, read_bounded


def read_given(path: Path, form: str) -> str:
    """A file's text, without byte order mark, uncompressed where it is gzipped.

    form: what is wanted, after "give". Raises UsageError where there is no such file, where it is a folder,
    cannot be read, is too large (bounded.MAX_FILE_BYTES), is not a whole gzip file, not UTF-8 text, or empty.
    """
    try:
        data = read_bounded(path)
        if data and (path.suffix == ".gz" or data.startswith(GZIP)):
            data = gunzip(data)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; give {form}") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: a folder, not a file; give {form}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text (byte {error.start}); give {form}") from None
    except ValueError as error:
        raise UsageError(f"{path}: {error}; fetch or write it again") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check its permissions and the disk") from None
    if not text.strip():
        raise UsageError(f"{path}: the file is empty; give {form}")
    return text
