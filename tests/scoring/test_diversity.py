from __future__ import annotations

import gzip
import json
import math
import os
import random
from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.scoring.diversity import bleu, distinct_n, score, self_bleu
from ropo_bench.tasks import Column, Decoding, TaskRecipe
from ropo_bench.types import Completion, Prompt

ASSETS = Path(os.environ["ROPO_BENCH_ASSETS"], "diversity") if "ROPO_BENCH_ASSETS" in os.environ else None
needs_assets = pytest.mark.skipif(ASSETS is None, reason="ROPO_BENCH_ASSETS is not set")


def words(*texts: str) -> list[list[str]]:
    return [text.split() for text in texts]


def recipe(**options: object) -> TaskRecipe:
    return TaskRecipe(
        name="diversity",
        description="a test",
        prompts="x.jsonl",
        decoding=Decoding(max_new_tokens=8, num_samples=2),
        scorer="diversity",
        options=dict(options),
        columns=[Column(metric="distinct_1", header="d1")],
    )


@needs_assets
def test_published_corpus_figures() -> None:
    assert ASSETS is not None
    expected = json.loads((ASSETS / "expected.json").read_text())
    packed = (ASSETS / "dialogpt_human.ref.6k.txt.gz").read_bytes()
    human = words(*gzip.decompress(packed).decode().splitlines())
    known = expected["dialogpt_human_6k"]["computed_whitespace"]
    assert sum(map(len, human)) == known["tokens"]
    assert distinct_n(human, 1) == pytest.approx(known["dist1"], abs=1e-12)
    assert distinct_n(human, 2) == pytest.approx(known["dist2"], abs=1e-12)
    demo = words(*(ASSETS / "dstc7_demo_hyp.txt").read_text().splitlines())
    known = expected["dstc7_demo_hyp"]["published"]
    assert distinct_n(demo, 1) == pytest.approx(known["dist1"], abs=5e-5)
    assert distinct_n(demo, 2) == known["dist2"]


@needs_assets
def test_published_figures_with_the_other_denominator() -> None:
    assert ASSETS is not None
    known = json.loads((ASSETS / "expected.json").read_text())["distinct_n_unit_tests"]
    texts = words(*known["sentences"])
    for n in (1, 2):
        shares = [distinct_n([text], n, "tokens") or 0.0 for text in texts]
        assert sum(shares) / len(shares) == pytest.approx(known[f"dist{n}"], abs=1e-6)


def test_denominators() -> None:
    texts = words("a b a b", "a b c")
    # bigrams: ab ba ab | ab bc; different: ab ba bc
    assert distinct_n(texts, 2) == pytest.approx(3 / 5)
    assert distinct_n(texts, 2, "tokens") == pytest.approx(3 / 7)
    assert distinct_n(texts, 1) == distinct_n(texts, 1, "tokens") == pytest.approx(3 / 7)
    assert distinct_n(words("a b"), 3) is None
    assert distinct_n(words("a b"), 3, "tokens") == 0


def test_bleu_worked() -> None:
    [text, near, far] = words("the cat sat on the mat", "the cat lay on the mat", "dogs bark")
    # precisions 5/6, 3/5, 1/4, and no match among 3 four-grams counts as a tenth
    expected = (5 / 6 * 3 / 5 * 1 / 4 * 0.1 / 3) ** 0.25
    assert bleu(text, [near, far]) == pytest.approx(expected)
    assert bleu(text, [text]) == 1
    assert bleu(["the", "cat"], [text]) == pytest.approx(math.exp(1 - 6 / 2))
    assert bleu([], [text]) == 0


def test_bleu_is_sacrebleus() -> None:
    metrics = pytest.importorskip("sacrebleu.metrics")
    theirs = metrics.BLEU(tokenize="none", smooth_method="floor", smooth_value=0.1, effective_order=True, force=True)
    draw = random.Random(0)
    for _ in range(200):
        texts = [" ".join(draw.choices("abcde", k=draw.randrange(4, 12))) for _ in range(4)]
        ours = bleu(texts[0].split(), words(*texts[1:]))
        if set(texts[0].split()) & set(" ".join(texts[1:]).split()):
            assert 100 * ours == pytest.approx(theirs.sentence_score(texts[0], texts[1:]).score, abs=1e-9)


def test_self_bleu_of_the_same_and_of_unlike_texts() -> None:
    assert self_bleu(words("a b c d e", "a b c d e", "a b c d e")) == 1
    assert self_bleu(words("a b c d e", "f g h i j")) < 0.1
    assert self_bleu(words("", "")) == 1


def test_scorer() -> None:
    prompts = [Prompt("p", ("hi",)), Prompt("short", ("hi",)), Prompt("lost", ("hi",))]
    done = [
        Completion("p", 0, ("a b c d",), (6,)),
        Completion("p", 1, ("a b c e",), (8,)),
        Completion("short", 0, ("a",), (1,)),
        Completion("short", 1, ("a",), (1,)),
    ]
    found = {(one.item, one.metric): (one.value, one.status) for one in score(recipe(), prompts, done)}
    assert found["p", "distinct_1"] == (100 * 5 / 8, "scored")
    assert found["p", "distinct_4"] == (100.0, "scored")
    assert found["p", "length"] == (7.0, "scored")
    assert found["p", "length_words"] == (4.0, "scored")
    assert found["short", "self_bleu"] == (100.0, "scored")
    assert found["short", "distinct_2"] == (None, "unparsable")
    assert found["lost", "distinct_1"] == (None, "infrastructure-failed")
    assert found["corpus", "corpus_distinct_1"] == (50.0, "scored")
    tokens = {(one.item, one.metric): one.value for one in score(recipe(denominator="tokens"), prompts, done)}
    assert tokens["p", "distinct_4_tokens"] == pytest.approx(100 * 2 / 8)


def test_unknown_denominator() -> None:
    with pytest.raises(UsageError, match="ngrams or tokens, given 'words'"):
        score(recipe(denominator="words"), [], [])
