"""What a name of preference data stands for."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from ropo_bench.sources.shipped import POCKET_ASSETS, POCKET_DATA, pocket_name

_HUB_DATA = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(?P<split>:\w+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def data_source(name: str) -> str:
    """Path or hub id of preference data; raises UsageError for an unknown pocket name."""
    if name.startswith("pocket:"):
        return str(POCKET_ASSETS / pocket_name(name, POCKET_DATA))
    return str(Path(name).expanduser()) if name.startswith("~") else name


def pinned_data(name: str, ask: bool = True) -> str:
    """`data_source`, hub data at the commit that their revision means: `owner/name@COMMIT[:split]`.

    The hub's cache knows it without a network; where it does not, the hub is asked once (ask). Data whose commit
    nobody knows stay as they are named. Raises UsageError as `data_source`.
    """
    source = data_source(name)
    match = _HUB_DATA.fullmatch(source)
    if match is None or Path(source).exists():
        return source
    owner, revision, split = match["id"], match["revision"] or "main", match["split"] or ""
    commit = revision if _COMMIT.fullmatch(revision) else _commit(owner, revision, ask)
    return source if commit is None else f"{owner}@{commit}{split}"


def _commit(owner: str, revision: str, ask: bool) -> str | None:
    from huggingface_hub import constants, hf_hub_download

    reference = Path(constants.HF_HUB_CACHE, f"datasets--{owner.replace('/', '--')}", "refs", revision)
    if ask and not reference.is_file():
        # The hub's client notes the commit of whatever it asks for; why it may fail, reading the data will say.
        with suppress(Exception):
            hf_hub_download(owner, "README.md", repo_type="dataset", revision=revision)
    return reference.read_text().strip() if reference.is_file() else None
