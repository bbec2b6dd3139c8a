"""What a name in a recipe stands for: "pocket:..." is shipped with the package, the rest is a path or a hub id."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.recipes import resolve_object
from ropo_bench.types import Prompt

POCKET_ASSETS = Path(__file__).parent / "pocket" / "assets"
_POCKET_MODELS = {"sft": "sft"}
_POCKET_DATA = {"preference": "preference.jsonl.gz"}
_POCKET_PROMPTS = "ropo_bench.pocket.prompts:pocket_prompts"  # imported on use


def model_folder(name: str) -> Path:
    """Folder of a model: pocket's, a local Hugging Face folder (or PEFT adapter), or a hub snapshot (fetched once).

    Raises UsageError when there is no such folder or the hub cannot be reached.
    """
    if name.startswith("pocket:"):
        return POCKET_ASSETS / _pocket(name, _POCKET_MODELS)
    path = Path(name).expanduser()
    if path.is_dir():
        if not any((path / file).is_file() for file in ("config.json", "adapter_config.json")):
            raise UsageError(f"model {name}: no config.json in that folder; give a Hugging Face model folder")
        return path.resolve()
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise UsageError(f"model {name}: no such folder; give a Hugging Face model folder or a hub id like org/name")
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=["consolidated*", "original/*"]))
    except Exception as error:  # the hub client raises a dozen unrelated types
        raise UsageError(
            f"model {name}: neither a local folder nor to be had from the hub ({type(error).__name__}); "
            "give a local model folder, or check the name and the network"
        ) from error


def data_source(name: str) -> str:
    """Path or hub id of preference data; raises UsageError for an unknown pocket name."""
    if name.startswith("pocket:"):
        return str(POCKET_ASSETS / _pocket(name, _POCKET_DATA))
    return str(Path(name).expanduser()) if name.startswith("~") else name


def option_file(value: object) -> Path | None:
    """The file that a task's option names ("pocket:NAME" is a shipped one); None where it names none."""
    if not isinstance(value, str):
        return None
    path = POCKET_ASSETS / value.removeprefix("pocket:") if value.startswith("pocket:") else Path(value).expanduser()
    return path if path.is_file() else None


def read_prompts(name: str) -> Sequence[Prompt]:
    """Evaluation prompts: pocket's, or a JSONL file of {"id", "turns", "category"?, "metadata"?}.

    Raises UsageError naming the line that is not such a record.
    """
    if name.startswith("pocket:"):
        make: Callable[[str], Sequence[Prompt]] = resolve_object(_POCKET_PROMPTS, {}, "prompts")
        return make(name.removeprefix("pocket:"))
    path = Path(name).expanduser()
    if not path.is_file():
        raise UsageError(f"prompts {name}: no such file; give a JSONL file of id and turns")
    lines = path.read_text(encoding="utf-8").split("\n")
    prompts = [_prompt(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    twice = [name for name, count in Counter(prompt.id for prompt in prompts).items() if count > 1]
    if twice:
        raise UsageError(
            f"{path}: prompt id {twice[0]!r} is given more than once; every prompt needs an id of its own"
        )
    return prompts


def _prompt(path: Path, number: int, line: str) -> Prompt:
    try:
        record = json.loads(line)
        turns = tuple(record["turns"])
        if not turns or not all(isinstance(turn, str) for turn in turns):
            raise TypeError("turns must be a list of texts")
        return Prompt(str(record["id"]), turns, str(record.get("category", "")), dict(record.get("metadata", {})))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f'{path}, line {number}: not a prompt ({error}); each line is {{"id": ..., "turns": ["...", ...]}}'
        ) from error


def _pocket(name: str, known: dict[str, str]) -> str:
    short = name.removeprefix("pocket:")
    if short not in known:
        raise UsageError(f"{name}: pocket has no such asset; known: {', '.join(f'pocket:{k}' for k in known)}")
    return known[short]
