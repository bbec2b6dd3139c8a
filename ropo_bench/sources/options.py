"""What a task's option stands for, where its text names a file."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.sources.assets import asset, sha256
from ropo_bench.sources.shipped import POCKET_ASSETS
from ropo_bench.store import file_hash

ASSET = "asset:"  # before an asset's name in a task's option


def option_file(value: object) -> Path | None:
    """The file that a task's option names ("pocket:NAME" is a shipped one); None where it names none."""
    if not isinstance(value, str):
        return None
    path = POCKET_ASSETS / value.removeprefix("pocket:") if value.startswith("pocket:") else Path(value).expanduser()
    return path if path.is_file() else None


def option_path(value: str) -> Path:
    """The file that an option's text means: "asset:NAME" (fetched where it must be), "pocket:NAME", or a path."""
    if value.startswith(ASSET):
        return asset(value.removeprefix(ASSET))
    if value.startswith("pocket:"):
        return POCKET_ASSETS / value.removeprefix("pocket:")
    return Path(value).expanduser()


def option_key(value: object) -> str | None:
    """What a task's option adds to content keys: the hash of the file that it names; None where it names none.

    "asset:NAME" has the registry's sha256, whether or not the file is here; raises UsageError for an unknown one.
    """
    if isinstance(value, str) and value.startswith(ASSET):
        return sha256(value.removeprefix(ASSET))
    path = option_file(value)
    return None if path is None else file_hash(path)
