"""What a name in a recipe stands for.

"pocket:..." is shipped with the package, "mt-bench" and "alpaca-eval-2" are prompt sets of the asset registry,
"asset:NAME" is any file of it, and the rest is a path or a hub id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.recipes.objects import resolve_object
from ropo_bench.sources.assets import asset, sha256
from ropo_bench.sources.prompt_files import ANSWER_FILES, PROMPT_FILES, read_answer_file, read_prompt_file
from ropo_bench.store import content_key, file_hash
from ropo_bench.store.source import code_of
from ropo_bench.types import Completion, Prompt

VERSION = 1
"""Of the prompts and answers that names stand for: raised when reading them gives others."""
# Imported on use, from rooms above this one.
_POCKET_PROMPTS = "ropo_bench.pocket.prompts:pocket_prompts"
_GENERATIVE = "llm-adapters"  # eight commonsense tasks as questions
_GENERATIVE_PROMPTS = "ropo_bench.scoring.commonsense.generative:prompts"
_GENERATIVE_KEY = "ropo_bench.scoring.commonsense.generative:prompts_key"


def prompts_key(name: str) -> str:
    """Content key of what `read_prompts` gives; a registered set need not be here. Raises UsageError."""
    if name.startswith("pocket:"):
        return content_key("prompts", {"name": name, "code": code_of(VERSION, _module(_POCKET_PROMPTS))})
    if name == _GENERATIVE:
        code = code_of(VERSION, _module(_GENERATIVE_KEY))
        return content_key("prompts", {"files": resolve_object(_GENERATIVE_KEY, {}, "prompts")(), "code": code})
    return _content_key("prompts", name, PROMPT_FILES)


def answers_key(name: str) -> str:
    """Content key of what `read_answers` gives; a registered set need not be here. Raises UsageError."""
    return _content_key("answers", name, ANSWER_FILES)


def _module(name: str) -> str:
    return name.partition(":")[0]


def _content_key(what: str, name: str, registered: Mapping[str, str]) -> str:
    content = sha256(registered[name]) if name in registered else file_hash(_file(what, name, registered))
    return content_key(what, {"content": content, "code": code_of(VERSION, "ropo_bench.sources.prompt_files")})


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
    if name in PROMPT_FILES:
        return read_prompt_file(asset(PROMPT_FILES[name]))
    return read_prompt_file(_file("prompts", name, PROMPT_FILES))


def read_answers(name: str, prompts: Sequence[Prompt] = ()) -> list[Completion]:
    """Answers of a fixed opponent: "alpaca-eval-2" (gpt4_1106_preview), or a FastChat or alpaca_eval file.

    prompts: those that must be answered; raises UsageError where one is not, and as `read_prompts`.
    """
    path = asset(ANSWER_FILES[name]) if name in ANSWER_FILES else _file("answers", name, ANSWER_FILES)
    return read_answer_file(path, prompts)


def _file(what: str, name: str, registered: Mapping[str, str]) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise UsageError(
            f"{what} {name}: no such file; give a JSON or JSONL file, or a known set ({', '.join(registered)})"
        )
    return path
