"""Texts that already went through a chat template, and chat templates that do not end."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.preferences import read_pairs
from ropo_bench.preferences.chat import render
from ropo_bench.preferences.files import MIN_LIMIT_BYTES
from ropo_bench.preferences.formats import MalformedError, pair_of
from ropo_bench.preferences.template_limit import RenderingTimeError, bounded_rendering
from ropo_bench.types import Message, Pair

CHATML = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
LLAMA3 = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n2+2?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
ZEPHYR = "<|system|>\nBe brief.</s>\n<|user|>\n2+2?</s>\n<|assistant|>\n"
LLAMA2 = "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n2+2? [/INST]"
USER = Message(role="user", content="2+2?")
PLAIN = Pair("1", (USER,), "4", "5")
BRIEF = Pair("1", (Message(role="system", content="Be brief."), USER), "4", "5")


@pytest.mark.parametrize(
    ("record", "pair"),
    [
        ({"prompt": CHATML, "chosen": "4", "rejected": "5"}, BRIEF),
        ({"prompt": CHATML, "chosen": "4<|im_end|>\n", "rejected": "5<|im_end|>"}, BRIEF),
        ({"chosen": CHATML + "4<|im_end|>\n", "rejected": CHATML + "5<|im_end|>\n"}, BRIEF),
        ({"prompt": [{"role": "user", "content": CHATML}], "chosen": "4", "rejected": "5"}, BRIEF),
        ({"prompt": LLAMA3, "chosen": "4<|eot_id|>", "rejected": "5<|eot_id|>"}, PLAIN),
        (
            {
                "prompt": "<bos><start_of_turn>user\n2+2?<end_of_turn>\n<start_of_turn>model\n",
                "chosen": "4<end_of_turn>\n",
                "rejected": "5",
            },
            PLAIN,
        ),
        ({"prompt": ZEPHYR, "chosen": "4", "rejected": "5</s>"}, BRIEF),
        ({"prompt": LLAMA2, "chosen": "4 </s>", "rejected": "5"}, BRIEF),
        ({"prompt": "2+2?", "chosen": "4<|endoftext|>", "rejected": "5"}, PLAIN),
    ],
)  # fmt: skip
def test_text_of_a_template_is_read_back_into_turns(record: dict[str, Any], pair: Pair) -> None:
    assert pair_of(record, "1") == pair


@pytest.mark.parametrize(
    ("prompt", "mark"),
    [
        ("<|im_start|>user\n2+2?", "<|im_start|>user\\n"),
        ("<|im_start|>user\nwhat is <|im_start|>?<|im_end|>\n<|im_start|>assistant\n", "<|im_start|>user\\n"),
        ("<|im_start|>tool\n2<|im_end|>\n<|im_start|>assistant\n", "<|im_start|>tool\\n"),
        ("<|start_header_id|>user<|end_header_id|>\n\n2+2?", "Llama 3"),
        ("[INST] 2+2?", "[INST]"),
    ],
)
def test_half_a_template_is_refused_with_its_mark(prompt: str, mark: str) -> None:
    with pytest.raises(MalformedError, match=re.escape(mark)):
        pair_of({"prompt": prompt, "chosen": "4", "rejected": "5"}, "1")


def test_marks_inside_a_text_are_counted_and_html_is_no_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [
        {"prompt": "What does <|im_start|> mean?", "chosen": "a turn", "rejected": "", "source": "web"},
        {"prompt": "Strike it out", "chosen": "<s>old</s>", "rejected": "old"},
        {"prompt": CHATML, "chosen": "4", "rejected": "4"},
        {"prompt": CHATML, "chosen": "4", "rejected": "4"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_pairs(path)
    assert read.pairs[1].chosen == "<s>old</s>"
    assert read.unread == {"source": 1}
    assert read.counts == {
        "the same as an earlier one": 1,
        "with equal chosen and rejected": 2,
        "with an empty answer": 1,
        "with marks of some chat template in their text": 1,
        "written by a chat template and read back into turns": 2,
    }
    with pytest.raises(
        UsageError, match=r"1 of 4 records .*pair 1: 'prompt' holds '<\|im_start\|>', a special token"
    ):
        read_pairs(path, ["<|im_start|>", "<|im_end|>"])
    with pytest.raises(UsageError, match="pair 2: 'chosen' holds '<s>', a special token"):
        read_pairs(path, ["<s>", "</s>"])


def test_a_template_that_does_not_end_is_stopped() -> None:
    def spin() -> None:
        with bounded_rendering(0.1):
            while True:
                pass

    with pytest.raises(RenderingTimeError, match="did not end within"):
        spin()


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
        ("{% for i in range(99999) %}{{ messages[0].content }} and so on{% endfor %}", "characters, more than"),
        ("{{ 1 // 0 }}", "by zero"),
        ("{{ messages[9].content.x.y }}", "refuses its messages"),
    ],
)
def test_a_template_that_fails_or_floods_is_one_line(template: str, message: str) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    tokenizer.chat_template = template
    with pytest.raises(UsageError, match=message) as caught:
        render(tokenizer, [USER], "pair 1")
    assert str(caught.value).startswith("pair 1: the chat template")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("deep.jsonl", b'{"prompt":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "nested too deep"),
        ("deep.json", b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (
            "twice.jsonl",
            b'{"prompt": "a", "chosen": "b", "chosen": "c", "rejected": "d"}\n',
            "the key 'chosen' twice",
        ),
        ("bomb.jsonl.gz", gzip.compress(b" " * (MIN_LIMIT_BYTES + 1), mtime=0), "expands to more than 64 MiB"),
    ],
)
def test_a_file_beyond_its_limits_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_pairs(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_odd_columns_of_a_parquet_file_are_unread_or_a_reason(tmp_path: Path) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    columns = {
        "prompt": arrow.array(["2+2?"]).dictionary_encode(),
        "chosen": arrow.array(["4"]),
        "rejected": arrow.array(["5"]),
        "when": arrow.array([1], arrow.timestamp("ns", tz="UTC")),
        "price": arrow.array([1], arrow.decimal128(10, 2)),
        "nested": arrow.array([[[{"a": [1]}]]]),
    }
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
    read = read_pairs(tmp_path / "a.parquet")
    assert read.pairs == [PLAIN]
    assert read.unread == {"nested": 1, "price": 1, "when": 1}
    parquet.write_table(arrow.table(columns | {"prompt": columns["when"]}), tmp_path / "b.parquet")
    with pytest.raises(UsageError, match="'prompt' is a "):
        read_pairs(tmp_path / "b.parquet")
