"""distinct-n and self-BLEU against published figures and sacrebleu."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.errors import UsageError
from ropo_bench.recipes.load import load_task
from ropo_bench.recipes.task import Column, Decoding, TaskRecipe
from ropo_bench.scoring.diversity import NGRAMS, Denominator, bleu, distinct_n, measure_texts, score, self_bleu
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


TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=7), min_size=2, max_size=6)
DENOMINATORS = st.sampled_from(("ngrams", "tokens"))


@given(TEXTS, st.randoms(), DENOMINATORS)
def test_the_order_of_texts_does_not_matter(texts: list[list[str]], draw: random.Random, by: Denominator) -> None:
    mixed = draw.sample(texts, len(texts))
    assert measure_texts(mixed, by) == pytest.approx(measure_texts(texts, by))


@given(TEXTS, DENOMINATORS)
def test_shares_are_between_0_and_1_and_fewer_by_tokens(texts: list[list[str]], by: Denominator) -> None:
    for n in NGRAMS:
        value = distinct_n(texts, n, by)
        assert value is None or 0 <= value <= 1
        by_ngrams, by_tokens = distinct_n(texts, n, "ngrams"), distinct_n(texts, n, "tokens")
        assert by_ngrams is None or by_tokens is None or by_tokens <= by_ngrams
    assert 0 <= self_bleu(texts) <= 1 + 1e-12


@given(TEXTS, st.integers(1, 4), DENOMINATORS)
def test_a_corpus_twice_is_half_as_distinct(texts: list[list[str]], n: int, by: Denominator) -> None:
    once, twice = distinct_n(texts, n, by), distinct_n([*texts, *texts], n, by)
    assert twice is once is None or twice == pytest.approx((once or 0.0) / 2)


@given(TEXTS)
def test_self_bleu_is_the_mean_bleu_against_the_others(texts: list[list[str]]) -> None:
    slow = [bleu(text, [*texts[:i], *texts[i + 1 :]]) for i, text in enumerate(texts)]
    assert self_bleu(texts) == pytest.approx(sum(slow) / len(slow))


def test_measures_of_texts() -> None:
    found = measure_texts(words("a b a b", "a b c"))
    assert (found["distinct_1"], found["distinct_2"], found["length_words"]) == (3 / 7, 3 / 5, 3.5)
    alone = measure_texts(words("a b"))
    assert (alone["distinct_2"], alone["distinct_3"], alone["self_bleu"]) == (1.0, None, None)


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
    assert found["corpus", "corpus_self_bleu"][0] == pytest.approx(
        100 * self_bleu(words("a b c d", "a b c e", "a", "a"))
    )
    tokens = {(one.item, one.metric): one.value for one in score(recipe(denominator="tokens"), prompts, done)}
    assert tokens["p", "distinct_4_tokens"] == pytest.approx(100 * 2 / 8)


def test_unknown_denominator() -> None:
    with pytest.raises(UsageError, match="ngrams or tokens, given 'words'"):
        score(recipe(denominator="words"), [], [])


@pytest.mark.parametrize("name", ["mt-bench", "alpaca-eval-2"])
def test_answers_are_those_of_the_judged_task(name: str) -> None:
    """Same prompts and decoding: they are generated once for both."""
    judged, diverse = load_task(name), load_task(f"diversity-{name.removesuffix('-2')}")
    assert (judged.prompts, judged.decoding) == (diverse.prompts, diverse.decoding)
