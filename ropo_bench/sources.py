"""What a name in a recipe stands for.

"pocket:..." is shipped with the package, "mt-bench" and "alpaca-eval-2" are prompt sets of the asset registry,
"asset:NAME" is any file of it, and the rest is a path or a hub id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ropo_bench.assets import asset, sha256
from ropo_bench.errors import UsageError
from ropo_bench.prompt_sets import ANSWER_ASSETS, PROMPT_ASSETS, read_answer_file, read_prompt_file
from ropo_bench.recipes import resolve_object
from ropo_bench.runs import content_key, file_hash, source_hash
from ropo_bench.types import Completion, Prompt
from ropo_bench.weights.files import check_folder

POCKET_ASSETS = Path(__file__).parent / "pocket" / "assets"
ASSET = "asset:"  # before an asset's name in a task's option
_HUB_DATA = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(?P<split>:\w+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_POCKET_MODELS = {"sft": "sft"}
_POCKET_DATA = {"preference": "preference.jsonl.gz"}
# Imported on use, from rooms above this one.
_POCKET_PROMPTS = "ropo_bench.pocket.prompts:pocket_prompts"
_GENERATIVE = "llm-adapters"  # eight commonsense tasks as questions
_GENERATIVE_PROMPTS = "ropo_bench.scoring.commonsense.generative:prompts"
_GENERATIVE_KEY = "ropo_bench.scoring.commonsense.generative:prompts_key"


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


def data_source(name: str) -> str:
    """Path or hub id of preference data; raises UsageError for an unknown pocket name."""
    if name.startswith("pocket:"):
        return str(POCKET_ASSETS / _pocket(name, _POCKET_DATA))
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

    known = Path(constants.HF_HUB_CACHE, f"datasets--{owner.replace('/', '--')}", "refs", revision)
    if ask and not known.is_file():
        # The hub's client notes the commit of whatever it asks for; why it may fail, reading the data will say.
        with suppress(Exception):
            hf_hub_download(owner, "README.md", repo_type="dataset", revision=revision)
    return known.read_text().strip() if known.is_file() else None


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


def prompts_key(name: str) -> str:
    """Content key of what `read_prompts` gives; a registered set need not be here. Raises UsageError."""
    if name.startswith("pocket:"):
        return content_key("prompts", {"name": name, "code": source_hash("ropo_bench.pocket")})
    if name == _GENERATIVE:
        code = source_hash(_GENERATIVE_KEY.partition(":")[0])
        return content_key("prompts", {"files": resolve_object(_GENERATIVE_KEY, {}, "prompts")(), "code": code})
    return _content_key("prompts", name, PROMPT_ASSETS)


def answers_key(name: str) -> str:
    """Content key of what `read_answers` gives; a registered set need not be here. Raises UsageError."""
    return _content_key("answers", name, ANSWER_ASSETS)


def _content_key(what: str, name: str, registered: Mapping[str, str]) -> str:
    content = sha256(registered[name]) if name in registered else file_hash(_file(what, name, registered))
    return content_key(what, {"content": content, "code": source_hash("ropo_bench.prompt_sets")})


def read_prompts(name: str) -> Sequence[Prompt]:
    """Evaluation prompts: "pocket:...", "mt-bench", "alpaca-eval-2", "llm-adapters", or a file of a known format.

    Raises UsageError naming the record that is no prompt, and where an asset cannot be had.
    """
    if name.startswith("pocket:"):
        make: Callable[[str], Sequence[Prompt]] = resolve_object(_POCKET_PROMPTS, {}, "prompts")
        return make(name.removeprefix("pocket:"))
    if name == _GENERATIVE:
        questions: Sequence[Prompt] = resolve_object(_GENERATIVE_PROMPTS, {}, "prompts")()
        return questions
    if name in PROMPT_ASSETS:
        return read_prompt_file(asset(PROMPT_ASSETS[name]))
    return read_prompt_file(_file("prompts", name, PROMPT_ASSETS))


def read_answers(name: str, prompts: Sequence[Prompt] = ()) -> list[Completion]:
    """Answers of a fixed opponent: "alpaca-eval-2" (gpt4_1106_preview), or a FastChat or alpaca_eval file.

    prompts: those that must be answered; raises UsageError where one is not, and as `read_prompts`.
    """
    path = asset(ANSWER_ASSETS[name]) if name in ANSWER_ASSETS else _file("answers", name, ANSWER_ASSETS)
    return read_answer_file(path, prompts)


def _file(what: str, name: str, registered: Mapping[str, str]) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise UsageError(
            f"{what} {name}: no such file; give a JSON or JSONL file, or a known set ({', '.join(registered)})"
        )
    return path


def _pocket(name: str, known: dict[str, str]) -> str:
    short = name.removeprefix("pocket:")
    if short not in known:
        raise UsageError(f"{name}: pocket has no such asset; known: {', '.join(f'pocket:{k}' for k in known)}")
    return known[short]
