"""The embedded pocket world's files, which `pocket:NAME` stands for."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.errors import UsageError

POCKET_ASSETS = Path(__file__).parents[1] / "pocket" / "assets"
POCKET_MODELS = {"sft": "sft"}
POCKET_DATA = {"preference": "preference.jsonl.gz"}


def pocket_name(name: str, names: dict[str, str]) -> str:
    """What stands behind `pocket:NAME` in a table of names; raises UsageError for a name that is not there."""
    short = name.removeprefix("pocket:")
    if short not in names:
        raise UsageError(f"{name}: pocket has no such asset; known: {', '.join(f'pocket:{k}' for k in names)}")
    return names[short]
