"""What names in recipes stand for: prompt sets, fixed answers, option files and their content keys."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.sources.assets import sha256
from ropo_bench.sources.options import option_file, option_key, option_path
from ropo_bench.sources.pairs import pinned_data
from ropo_bench.sources.prompts import answers_key, prompts_key, read_answers, read_prompts
from ropo_bench.stages import pairs
from ropo_bench.store import Store
from ropo_bench.types import Completion, Prompt

FASTCHAT_ANSWER = {"question_id": 81, "model_id": "m", "choices": [{"index": 0, "turns": ["one", "two"]}]}
OUTPUTS = [
    {"dataset": "koala", "instruction": "Why?", "output": "Because.", "generator": "m"},
    {"dataset": "koala", "instruction": "How?", "output": "Like this.", "generator": "m"},
]
PROMPTS = [Prompt("0", ("How?",)), Prompt("1", ("Why?",))]


def lines(path: Path, *records: Any) -> str:
    """A JSONL file of these records, gzipped where its name says so; its name as a recipe gives it."""
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPO_BENCH_ASSETS", "")
    monkeypatch.setenv("ROPO_BENCH_CACHE", str(tmp_path / "empty"))


def test_mt_bench_is_eighty_questions_of_two_turns_in_eight_categories(assets: Path) -> None:
    prompts = read_prompts("mt-bench")
    assert [prompt.id for prompt in prompts] == [str(number) for number in range(81, 161)]
    assert {len(prompt.turns) for prompt in prompts} == {2}
    assert set(Counter(prompt.category for prompt in prompts).values()) == {10}


def test_alpaca_eval_is_805_instructions_by_row_and_its_reference_answers_them(assets: Path) -> None:
    prompts, answers = read_prompts("alpaca-eval-2"), read_answers("alpaca-eval-2")
    rows = json.loads(
        gzip.decompress((assets / "alpaca_eval/reference_outputs_gpt4_1106_preview.json.gz").read_bytes())
    )
    assert [prompt.id for prompt in prompts] == [str(row) for row in range(805)]
    assert [prompt.turns for prompt in prompts] == [(row["instruction"],) for row in rows]
    assert [prompt.metadata["dataset"] for prompt in prompts] == [row["dataset"] for row in rows]
    assert answers == [Completion(str(i), 0, (row["output"],), ()) for i, row in enumerate(rows)]
    assert read_answers("alpaca-eval-2", prompts) == answers


def test_every_published_answer_file_answers_its_prompts(assets: Path) -> None:
    for name, pattern, count in (
        ("mt-bench", "mt_bench/model_answer/*.jsonl.gz", 10),
        ("alpaca-eval-2", "alpaca_eval/*/model_outputs.json.gz", 3),
    ):
        prompts, files = read_prompts(name), sorted(assets.glob(pattern))
        assert len(files) == count
        for file in files:
            answers = read_answers(str(file), prompts)
            assert [answer.prompt_id for answer in answers] == [prompt.id for prompt in prompts]
            assert all(len(a.turns) == len(p.turns) for a, p in zip(answers, prompts, strict=True))


@pytest.mark.parametrize("name", ["prompts.jsonl", "prompts.jsonl.gz"])
def test_prompts_of_every_form(tmp_path: Path, name: str) -> None:
    ours = {"id": "a", "turns": ["Hi", "And?"], "category": "chat", "metadata": {"k": 1}}
    fastchat = {"question_id": 7, "turns": ["Hi"], "category": "chat", "reference": ["no"]}
    prompts = read_prompts(lines(tmp_path / name, ours, fastchat))
    assert prompts == [Prompt("a", ("Hi", "And?"), "chat", {"k": 1}), Prompt("7", ("Hi",), "chat")]


def test_a_json_array_of_instructions_is_numbered_by_row(tmp_path: Path) -> None:
    path = tmp_path / "instructions.json"
    path.write_text(json.dumps(OUTPUTS, indent=1))
    assert read_prompts(str(path)) == [
        Prompt("0", ("Why?",), "", {"dataset": "koala"}),
        Prompt("1", ("How?",), "", {"dataset": "koala"}),
    ]


def test_outputs_are_matched_by_instruction_and_only_without_prompts_by_row(tmp_path: Path) -> None:
    name = lines(tmp_path / "outputs.jsonl.gz", *OUTPUTS, {"instruction": "Who?", "output": "They."})
    assert [(a.prompt_id, a.turns) for a in read_answers(name)] == [
        ("0", ("Because.",)),
        ("1", ("Like this.",)),
        ("2", ("They.",)),
    ]
    assert [(a.prompt_id, a.turns) for a in read_answers(name, PROMPTS)] == [
        ("1", ("Because.",)),
        ("0", ("Like this.",)),
    ]


def test_fastchat_choices_are_samples(tmp_path: Path) -> None:
    choices = [{"index": 0, "turns": ["a", "b"]}, {"index": 1, "turns": ["c", "d"]}]
    assert read_answers(lines(tmp_path / "m.jsonl", {**FASTCHAT_ANSWER, "choices": choices})) == [
        Completion("81", 0, ("a", "b"), ()),
        Completion("81", 1, ("c", "d"), ()),
    ]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([OUTPUTS[0]], r"1 of 2 prompts have no answer, first '0'"),
        ([*OUTPUTS, {"instruction": "Who?"}, FASTCHAT_ANSWER, FASTCHAT_ANSWER], "'81' is answered more than once"),
        ([OUTPUTS[0], {"instruction": "How?"}], r"line 2: is no answer \(no 'output'\)"),
        ([OUTPUTS[0], {"instruction": "How?", "output": 3}], "line 2: is no answer"),
        ([{"question_id": 1, "choices": [{"turns": "text"}]}], "line 1: is no answer"),
        (["text"], "line 1: is no answer"),
    ],
)
def test_bad_answers_are_named(tmp_path: Path, records: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_answers(lines(tmp_path / "bad.jsonl", *records), PROMPTS)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"id": "a", "turns": ["x"]}, {"id": "a", "turns": ["y"]}], "'a' is given more than once"),
        ([{"id": "a", "turns": []}], "line 1: is no prompt"),
        ([{"turns": ["x"]}], "line 1: is no prompt"),
        ([{"id": "a", "turns": ["x"], "metadata": 3}], "line 1: is no prompt"),
    ],
)
def test_bad_prompts_are_named(tmp_path: Path, records: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_prompts(lines(tmp_path / "bad.jsonl", *records))


def test_text_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"id": "a", "turns": ["x"]}\n{"id": \n')
    with pytest.raises(UsageError, match=r"bad\.jsonl, line 2: is no JSON object"):
        read_prompts(str(path))
    path.write_text("[1, 2")
    with pytest.raises(UsageError, match="is no JSON array"):
        read_prompts(str(path))
    with pytest.raises(UsageError, match=r"prompts nowhere: no such file.*mt-bench, alpaca-eval-2"):
        read_prompts("nowhere")


@pytest.mark.usefixtures("nothing_here")
def test_content_keys_of_registered_sets_need_no_file() -> None:
    keys = {prompts_key("mt-bench"), prompts_key("alpaca-eval-2"), answers_key("alpaca-eval-2")}
    assert len(keys) == 3
    assert option_key("asset:mt_bench/question.jsonl") == sha256("mt_bench/question.jsonl")
    with pytest.raises(UsageError, match="not in the registry"):
        option_key("asset:mt_bench/nothing.jsonl")


def test_content_keys_of_files_follow_their_content(tmp_path: Path) -> None:
    name = lines(tmp_path / "file.jsonl", *OUTPUTS)
    before = prompts_key(name), answers_key(name), option_key(name)
    copy = lines(tmp_path / "copy.jsonl", *OUTPUTS)
    assert (prompts_key(copy), answers_key(copy), option_key(copy)) == before
    lines(tmp_path / "file.jsonl", OUTPUTS[0])
    assert all(a != b for a, b in zip((prompts_key(name), answers_key(name), option_key(name)), before, strict=True))
    assert [option_key(value) for value in ("no file", 3, None, ["file"])] == [None] * 4
    with pytest.raises(UsageError, match="no such file"):
        answers_key("mt-bench")


def test_an_options_file_is_an_asset_a_shipped_file_or_a_path(assets: Path, tmp_path: Path) -> None:
    assert option_path("asset:mt_bench/question.jsonl") == assets / "mt_bench/question.jsonl"
    shipped = option_path("pocket:preference.jsonl.gz")
    assert shipped.is_file()
    assert option_file("pocket:preference.jsonl.gz") == shipped
    assert option_path(str(tmp_path / "x")) == tmp_path / "x"


def test_hub_data_are_known_by_their_commit_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    refs = tmp_path / "hub" / "datasets--owner--data" / "refs"
    (refs / "pr").mkdir(parents=True)
    old, new = "0123456789abcdef" * 2 + "01234567", "f" * 40
    assert pinned_data("owner/data:train") == "owner/data:train"  # nobody knows: offline, and never read before
    for commit in (old, new):
        (refs / "main").write_text(commit)
        assert pinned_data("owner/data:train") == f"owner/data@{commit}:train"
        assert pinned_data("owner/data") == f"owner/data@{commit}"
    (refs / "pr" / "1").write_text(old)
    assert pinned_data("owner/data@pr/1:train") == f"owner/data@{old}:train"
    assert pinned_data(f"owner/data@{old}") == f"owner/data@{old}"
    assert pinned_data("owner/other@v1.0") == "owner/other@v1.0"


def test_another_commit_is_another_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    refs = tmp_path / "hub" / "datasets--owner--data" / "refs"
    refs.mkdir(parents=True)
    keys = []
    for commit in ("a" * 40, "b" * 40, "a" * 40):
        (refs / "main").write_text(commit)
        keys.append(pairs.find(Store(tmp_path / "runs"), "owner/data:train", None, ask=False).key)
    assert keys[0] == keys[2] != keys[1]
    assert pairs.find(Store(tmp_path / "runs"), f"owner/data@{'b' * 40}:train", None).key == keys[1]


@pytest.mark.parametrize("name", ["pocket:preference", "pairs.jsonl", "./data/pairs.jsonl", "/data/pairs.jsonl"])
def test_files_stay_what_they_are(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pairs.jsonl").touch()
    assert pinned_data(name).endswith(name.partition(":")[2] + ".jsonl.gz" if ":" in name else name)
