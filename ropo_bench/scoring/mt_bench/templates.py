"""The official judge prompts and reference answers, read from the assets when they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import suggest
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.sources.assets import read_jsonl
from ropo_bench.types import Message, Prompt

NEEDS_REFERENCE = frozenset({"math", "reasoning", "coding", "arena-hard-200"})
"""Categories that are judged beside a reference answer."""
REFERENCES = {
    "original": "mt_bench/reference_answer/gpt-4.jsonl",
    "corrected": "mt_bench/reference_answer/gpt-4-1106-preview.jsonl",
}
"""FastChat's own answers of gpt-4, some of them wrong, and those of gpt-4-1106-preview that replaced them."""
QUESTION_FILES = ("mt_bench/judge_prompts", "mt_bench/reference_answer/")
PARAMS = {"temperature": 0, "max_tokens": 2048}
"""How the official judge is sampled."""

Kind = Literal["single", "pair"]
References = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Template:
    """One official judge prompt: what the system says, and the user's text with named gaps."""

    name: str
    system: str
    text: str

    def messages(self, words: Mapping[str, str]) -> tuple[Message, ...]:
        """The chat for a judge; words: name of a gap -> text, more than the template needs is allowed."""
        return (
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.text.format(**words)},
        )


def read_templates() -> dict[str, Template]:
    """The official templates by name; raises UsageError where the asset is not to be had."""
    rows = read_jsonl("mt_bench/judge_prompts.jsonl")
    return {row["name"]: Template(row["name"], row["system_prompt"], row["prompt_template"]) for row in rows}


def template_name(kind: Kind, category: str, turn: int) -> str:
    """Which template judges an answer to turn 1 or 2 in a category."""
    plain = {"single": "single-v1", "pair": "pair-v2"}
    name = f"{kind}-math-v1" if category in NEEDS_REFERENCE else plain[kind]
    return f"{name}-multi-turn" if turn == 2 else name


def reference_set(task: TaskRecipe) -> str:
    """The reference answers that a task is judged by: "original" or "corrected"; raises UsageError."""
    name = task.options.get("references", "corrected")
    if name not in REFERENCES:
        hint = suggest(str(name), REFERENCES) or f"known: {', '.join(REFERENCES)}"
        raise UsageError(f"task {task.name}: options.references: no such reference answers, given {name!r}; {hint}")
    return str(name)


def read_references(task: TaskRecipe) -> References:
    """By prompt id the words `ref_answer_1`, `ref_answer_2`; raises UsageError for an unknown set."""
    rows = read_jsonl(REFERENCES[reference_set(task)])
    return {
        str(row["question_id"]): {f"ref_answer_{n}": text for n, text in enumerate(row["choices"][0]["turns"], 1)}
        for row in rows
    }


def reference_words(prompt: Prompt, references: References) -> Mapping[str, str]:
    """What fills a template's gaps for references, nothing where the category has none; raises UsageError."""
    if prompt.category not in NEEDS_REFERENCE:
        return {}
    if prompt.id not in references:
        raise UsageError(
            f"prompt {prompt.id}: category {prompt.category} is judged beside a reference answer and MT-Bench has "
            "none for it; leave the prompt out or give it another category"
        )
    return references[prompt.id]
