"""The thoughts of a judged model are no part of its answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel
from transformers import PreTrainedTokenizerFast

from ropo_bench.generation.base import Conversation
from ropo_bench.leaderboard.notes import _thought_lines
from ropo_bench.recipes.load import load_task
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.items import append_completions, read_completions
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import RowRecord
from ropo_bench.scoring.diversity import measure_texts
from ropo_bench.sources.prompt_files import read_answer_file
from ropo_bench.store import JsonLines, Store
from ropo_bench.types import Completion, Prompt
from ropo_bench.types.thoughts import without_thoughts
from tests import stored_run

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def made(*tokens: str, special: bool = False, template: str = TEMPLATE) -> Any:
    """A tokenizer of bytes; tokens: marks that are tokens of their own."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = ByteLevel()
    core.add_special_tokens(["<|end|>"])
    core.add_tokens([AddedToken(token, special=special, normalized=False) for token in tokens])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>")
    tokenizer.chat_template = template
    return tokenizer


def answered(text: str, tokenizer: Any, *, stopped: bool = True, **settings: Any) -> Conversation:
    """A conversation whose one answer is this text."""
    talk = Conversation(Prompt("a", ("2+2?", "And twice that?")), 0, **settings)
    talk.ask()
    ids = tokenizer(text + ("<|end|>" if stopped else ""), add_special_tokens=False)["input_ids"]
    talk.answer(ids, frozenset([tokenizer.eos_token_id]), tokenizer)
    return talk


TOKENIZERS = [made(), made("<think>", "</think>"), made("<think>", "</think>", special=True), made("</think>")]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["spelt", "tokens", "special tokens", "one token"])
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>\nmaybe 5? no\n</think>\n\n4", "4"),
        ("maybe 5? no</think>4", "4"),  # the template had opened the thoughts
        ("<think>a</think> b <think>c</think> 4", "4"),
        ("<think></think>\n\n4", "4"),
        ("4", "4"),
        (" 4 ", " 4 "),
    ],
)
def test_the_answer_is_what_stands_behind_the_thoughts(tokenizer: Any, text: str, answer: str) -> None:
    talk = answered(text, tokenizer)
    assert talk.chat[-1]["content"] == answer
    num_after = len(tokenizer(text.rpartition("</think>")[2], add_special_tokens=False)["input_ids"])
    assert talk.num_tokens == [num_after]
    assert not talk.truncated
    assert "maybe" not in str(talk.ask())  # turn 2 does not see them


@pytest.mark.parametrize("tokenizer", TOKENIZERS[:3], ids=["spelt", "tokens", "special tokens"])
def test_a_text_that_was_cut_within_its_thoughts_is_an_empty_answer(tokenizer: Any) -> None:
    talk = answered("<think>It may be 4, or", tokenizer, stopped=False)
    assert (talk.chat[-1]["content"], talk.num_tokens, talk.truncated) == ("", [0], True)


def test_thoughts_that_the_template_opened_and_the_limit_cut_are_an_empty_answer() -> None:
    opened = made("<think>", "</think>", template=TEMPLATE.replace("<|assistant|>", "<|assistant|><think>\n"))
    assert answered("It may be 4, or", opened, stopped=False).chat[-1]["content"] == ""
    assert answered("It may be</think>4, or", opened, stopped=False).chat[-1]["content"] == "4, or"
    closed = made("<think>", template=TEMPLATE.replace("<|assistant|>", "<|assistant|><think></think>"))
    assert answered("It may be 4, or", closed, stopped=False).chat[-1]["content"] == "It may be 4, or"


def test_kept_thoughts_are_part_of_the_answer() -> None:
    talk = answered("<think>hm</think>4", TOKENIZERS[1], thoughts="keep")
    assert talk.chat[-1]["content"] == "<think>hm</think>4"
    talk.answer([], frozenset(), TOKENIZERS[1])
    assert talk.completion().raw is None


def test_the_raw_text_stays_on_disk(tmp_path: Path) -> None:
    talk = answered("<think>hm</think>4", TOKENIZERS[1])
    talk.ask()
    talk.answer(TOKENIZERS[1]("8<|end|>")["input_ids"], frozenset([TOKENIZERS[1].eos_token_id]), TOKENIZERS[1])
    done = talk.completion()
    assert done.turns == ("4", "8")
    assert done.raw == ("<think>hm</think>4", "8")
    stage = Store(tmp_path).stage("completions", "k")
    with stage.begin():
        with JsonLines(stage.path / "completions.jsonl") as lines:
            append_completions(lines, [done], "life")
        stage.finish({})
    assert read_completions(stage) == [done]
    assert not done.cut_thoughts
    assert Completion("a", 0, ("",), (0,), truncated=True, raw=("<think>hm",)).cut_thoughts


def test_answers_of_a_file_are_read_without_thoughts(tmp_path: Path) -> None:
    thought, plain = "<think>\nA long way to go.\n</think>\n\nRed.", "Blue, <think> I do."
    alpaca = [{"instruction": "q", "output": thought}, {"instruction": "r", "output": plain}]
    (tmp_path / "alpaca.json").write_text(json.dumps(alpaca))
    chat = {"question_id": 81, "choices": [{"index": 0, "turns": [thought, plain]}]}
    (tmp_path / "chat.jsonl").write_text(json.dumps(chat) + "\n")
    assert [answer.turns for answer in read_answer_file(tmp_path / "alpaca.json")] == [("Red.",), (plain,)]
    [answer] = read_answer_file(tmp_path / "chat.jsonl")
    assert (answer.turns, answer.raw) == (("Red.", plain), (thought, plain))


def test_diversity_and_lengths_see_the_answer_alone() -> None:
    text = without_thoughts("<think>one one one one</think>red blue").text
    assert measure_texts([text.split()])["distinct_1"] == 1.0
    assert measure_texts([text.split()])["length_words"] == 2


def test_the_table_says_what_became_of_thoughts(tmp_path: Path) -> None:
    store, task = Store(tmp_path), load_task("alpaca-eval-2")
    rows = []
    for key, found in (("a", {"num_thoughts": 40, "num_cut_thoughts": 3}), ("b", {"num_thoughts": 2}), ("c", {})):
        stage = store.stage("scores", key)
        with stage.begin():
            stage.finish(found)
        rows.append(RowRecord(name=key, seed=0, scores={task.name: key}))

    def lines(rows: list[RowRecord], task: TaskRecipe) -> list[str]:
        return _thought_lines(Run(store, "one", stored_run.record(stored_run.request([task.model_dump()]), rows)))

    assert lines(rows, task) == [
        "alpaca-eval-2: thoughts (up to </think>) were left out of 42 answers; 3 ended within them and count as empty"
    ]
    assert lines(rows[2:], task) == []
    assert task.decoding is not None
    kept = task.model_copy(update={"decoding": task.decoding.model_copy(update={"thoughts": "keep"})})
    assert lines(rows[2:], kept) == ["alpaca-eval-2: thoughts are part of the answers (decoding.thoughts: keep)"]
    assert "thoughts" not in task.decoding.model_dump()  # names and keys of what was made before stay
    assert kept.decoding is not None
    assert kept.decoding.model_dump()["thoughts"] == "keep"
