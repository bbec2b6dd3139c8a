"""What a name of a model stands for: a folder on this machine."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.sources.shipped import POCKET_ASSETS, POCKET_MODELS, pocket_name
from ropo_bench.weights.files import INDEX, check_folder, read_weight_map


def model_folder(name: str) -> Path:
    """Folder of a model: pocket's, a local Hugging Face folder (or PEFT adapter), or a hub snapshot (fetched once).

    Raises UsageError when there is no such folder or the hub cannot be reached.
    """
    if name.startswith("pocket:"):
        return POCKET_ASSETS / pocket_name(name, POCKET_MODELS)
    path = Path(name).expanduser()
    if path.is_dir():
        if not any((path / file).is_file() for file in ("config.json", "adapter_config.json")):
            raise UsageError(f"model {name}: no config.json in that folder; give a Hugging Face model folder")
        check_folder(path)
        return path.resolve()
    if path.exists():
        raise UsageError(f"model {name}: a file, not a folder; give a Hugging Face model folder")
    if "://" in name:
        raise UsageError(f"model {name}: an address; give the hub id org/name or a local folder")
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise UsageError(f"model {name}: no such folder; give a Hugging Face model folder or a hub id like org/name")
    if path.parent.is_dir():  # a slip in a path, which the hub need not be asked about
        raise UsageError(f"model {name}: no such folder in {path.parent.resolve()}; give a Hugging Face model folder")
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]
    try:
        folder = snapshot_download(name, allow_patterns=patterns, ignore_patterns=["consolidated*", "original/*"])
    except Exception as error:  # the hub client raises a dozen unrelated types
        raise UsageError(
            f"model {name}: a hub id (org/name), and no such folder is here, but the hub does not give it"
            f" ({type(error).__name__}); give a local model folder, or check the name and the network"
        ) from error
    check_folder(Path(folder))
    return Path(folder)


def local_model(name: str) -> Path | None:
    """The folder of a model that is whole on this machine, hub snapshots among them; no network is used.

    Raises UsageError for a path that is no model folder.
    """
    if name.startswith(("pocket:", ".", "/", "~")) or name.count("/") != 1 or Path(name).exists():
        return model_folder(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    check_folder(folder)
    return folder if not missing_files(folder) else None


def missing_files(folder: Path) -> list[str]:
    """What a model folder lacks of config, weights and tokenizer; empty for a whole one."""
    missing = [name for name in ("config.json", "tokenizer_config.json") if not (folder / name).is_file()]
    if (folder / INDEX).is_file():
        shards = sorted(set(read_weight_map(folder).values()))
        return missing + [shard for shard in shards if not (folder / shard).is_file()]
    return missing + ([] if any(folder.glob("*.safetensors")) else ["*.safetensors"])
