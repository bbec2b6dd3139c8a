"""`ropo-bench score diversity`: distinct-n of any file of texts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.commands.score.diversity import score_diversity_command
from ropo_bench.errors import UsageError

PLAIN = "a b a b\na b c\n"


def write(folder: Path, content: str, name: str = "answers.txt") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return path


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def row(capsys: pytest.CaptureFixture[str], path: Path, level: str = "corpus", denominator: str = "ngrams") -> Any:
    score_diversity_command(path, level, denominator, json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    [only] = found["rows"]
    return only


def values(found: Any) -> dict[str, float | None]:
    return {name: metric["value"] for name, metric in found["metrics"].items()}


def test_a_line_is_a_completion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = row(capsys, write(tmp_path, PLAIN))
    assert (found["model"], found["level"], found["denominator"]) == ("answers.txt", "corpus", "ngrams")
    assert found["metrics"]["distinct_1"] == {"value": 3 / 7, "n": 2, "n_unscored": 0}
    assert values(found) | {"self_bleu": None} == {
        "distinct_1": 3 / 7,
        "distinct_2": 3 / 5,
        "distinct_3": 1.0,
        "distinct_4": 1.0,
        "self_bleu": None,
        "length_words": 3.5,
    }
    assert values(row(capsys, write(tmp_path, PLAIN), denominator="tokens"))["distinct_2"] == 3 / 7


def test_each_completion_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = row(capsys, write(tmp_path, PLAIN), "completion")["metrics"]
    assert metrics["distinct_1"]["value"] == pytest.approx((2 / 4 + 3 / 3) / 2)
    assert metrics["distinct_1"]["standard_error"] == pytest.approx(0.25)
    assert (metrics["distinct_4"]["value"], metrics["distinct_4"]["n_unscored"]) == (1.0, 1)  # "a b c" has none
    assert "self_bleu" not in metrics


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.jsonl.gz"])
def test_samples_of_a_prompt(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = [("p", "a b c d"), ("q", "a a"), ("p", "a b c d"), ("q", "b b")]
    path = write(tmp_path, lines(*({"prompt_id": prompt, "output": output} for prompt, output in samples)), name)
    metrics = row(capsys, path, "prompt")["metrics"]
    assert metrics["distinct_1"]["value"] == pytest.approx((4 / 8 + 2 / 4) / 2)
    assert metrics["distinct_1"]["n"] == 2
    assert metrics["self_bleu"]["value"] > 0.5  # 1 for p
    assert values(row(capsys, path))["distinct_1"] == pytest.approx(4 / 12)


def test_an_array_and_fastchats_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = write(tmp_path, json.dumps([{"instruction": "x", "output": "a b"}, {"instruction": "y", "output": "c"}]))
    assert values(row(capsys, array, "prompt"))["length_words"] == 1.5
    answer = {"question_id": 81, "choices": [{"index": 0, "turns": ["a b", "a\nb c"]}]}
    found = row(capsys, write(tmp_path, lines(answer)), "prompt")
    # The two turns answer two questions; a line break is white space.
    assert (found["metrics"]["distinct_1"]["n"], values(found)["length_words"]) == (2, 2.5)


def test_plain_lines_that_begin_with_a_brace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert values(row(capsys, write(tmp_path, "{ a b\n[ c\n")))["length_words"] == 2.5
    assert values(row(capsys, write(tmp_path, "[ c\n{ a b\n")))["length_words"] == 2.5


def test_an_empty_line_is_an_empty_completion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = row(capsys, write(tmp_path, "a b\n\n"), "completion")["metrics"]
    assert (metrics["length_words"]["value"], metrics["distinct_1"]["n_unscored"]) == (1.0, 1)


@pytest.mark.parametrize(
    ("content", "level", "denominator", "message"),
    [
        (PLAIN, "sentence", "ngrams", "known: corpus, prompt, completion"),
        (PLAIN, "corpus", "words", "known: ngrams, tokens"),
        (PLAIN, "prompt", "ngrams", "prompt_id"),
        ("[]", "corpus", "ngrams", "no completion"),
        ('{"output": "a"}\n{"text": "b"}\n', "corpus", "ngrams", "line 2"),
        ('{"output": "a"}\nb\n', "corpus", "ngrams", "line 2: not JSON"),
        ('{"output": 5}\n', "corpus", "ngrams", "line 1"),
    ],
)
def test_errors_name_the_place(content: str, level: str, denominator: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        score_diversity_command(write(tmp_path, content), level, denominator, json=True)
    assert "\n" not in str(caught.value)


def test_published_figures(assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = json.loads((assets / "diversity" / "expected.json").read_text())
    for file, key in (
        ("dialogpt_human.ref.6k.txt.gz", "dialogpt_human_6k"),
        ("dstc7_demo_hyp.txt", "dstc7_demo_hyp"),
    ):
        found = values(row(capsys, assets / "diversity" / file))
        published = expected[key]["published"]
        # Published with three or four digits: half a unit of the last.
        assert found["distinct_1"] == pytest.approx(published["dist1"], abs=5e-4 if "dialogpt" in key else 5e-5)
        assert found["distinct_2"] == pytest.approx(published["dist2"], abs=5e-4)
        assert found["length_words"] == pytest.approx(published["avg_len"], abs=0.05)
        if computed := expected[key].get("computed_whitespace"):
            assert (found["distinct_1"], found["distinct_2"]) == (computed["dist1"], computed["dist2"])
    tests = expected["distinct_n_unit_tests"]
    path = write(tmp_path, "".join(sentence + "\n" for sentence in tests["sentences"]))
    found = values(row(capsys, path, "completion", "tokens"))
    assert found["distinct_1"] == pytest.approx(tests["dist1"], abs=1e-6)
    assert found["distinct_2"] == pytest.approx(tests["dist2"], abs=1e-9)
