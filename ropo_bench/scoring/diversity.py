"""Diversity of completions: distinct-n (arXiv 1510.03055), self-BLEU (arXiv 1802.01886), length."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import Literal, get_args

from ropo_bench.errors import UsageError
from ropo_bench.tasks import TaskRecipe
from ropo_bench.types import Completion, Prompt, Score

Words = Sequence[str]
Denominator = Literal["ngrams", "tokens"]
NGRAMS = (1, 2, 3, 4)
# For an n-gram order without any match: a tenth of one match (method 1 of Chen and Cherry, 2014).
BLEU_FLOOR = 0.1


def score(
    task: TaskRecipe,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    baseline: Sequence[Completion] | None = None,
) -> list[Score]:
    """Per prompt, over all its samples: `distinct_n`, `self_bleu` (0..100), `length` (tokens), `length_words`.

    `corpus_distinct_n` is one item over all completions. Words are separated by white space; n-grams never
    cross from one answer into the next. Options: denominator, ngrams (default) or tokens; with tokens the
    metrics are called distinct_n_tokens. Undefined values (no n-gram at all) are unscored; self_bleu needs two
    samples, else it is left out. Raises UsageError for another denominator.
    """
    denominator = task.options.get("denominator", "ngrams")
    if denominator not in get_args(Denominator):
        raise UsageError(f"task {task.name}: options.denominator must be ngrams or tokens, given {denominator!r}")
    suffix = "" if denominator == "ngrams" else "_tokens"
    found: dict[str, list[Completion]] = defaultdict(list)
    for completion in completions:
        found[completion.prompt_id].append(completion)
    scores = [
        one for prompt in prompts for one in _prompt_scores(prompt.id, found.get(prompt.id, []), denominator, suffix)
    ]
    corpus = [answer for samples in found.values() for answer in _answers(samples)]
    for n in NGRAMS:
        value = distinct_n(corpus, n, denominator)
        scores.append(_score("corpus", f"corpus_distinct_{n}{suffix}", value))
    return scores


def distinct_n(texts: Iterable[Words], n: int, denominator: Denominator = "ngrams") -> float | None:
    """Share of different n-grams, 0..1, over all texts together; None where the denominator is 0.

    denominator: ngrams counts all n-grams (arXiv 1510.03055 as most code has it); tokens counts all words,
    which is the smaller number for n > 1 and short texts.
    """
    seen: set[tuple[str, ...]] = set()
    num_ngrams = num_tokens = 0
    for words in texts:
        found = list(ngrams(words, n))
        seen.update(found)
        num_ngrams += len(found)
        num_tokens += len(words)
    total = num_ngrams if denominator == "ngrams" else num_tokens
    return len(seen) / total if total else None


def self_bleu(texts: Sequence[Words]) -> float:
    """Mean BLEU of each text against all others, 0..1; 1 where all are the same. Two texts at least."""
    others = [[*texts[:i], *texts[i + 1 :]] for i in range(len(texts))]
    return fmean(bleu(text, references) for text, references in zip(texts, others, strict=True))


def bleu(text: Words, references: Sequence[Words]) -> float:
    """Sentence BLEU, 0..1: clipped n-gram precisions up to order 4, or up to the text's own length if shorter.

    Brevity against the reference of the closest length (the shorter of two equally close). An order without a
    match counts as BLEU_FLOOR matches. An empty text scores 1 against an empty reference, else 0.
    """
    if not text:
        return float(any(not reference for reference in references))
    logs = []
    for n in range(1, min(4, len(text)) + 1):
        counts = Counter(ngrams(text, n))
        allowed: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            allowed |= Counter(ngrams(reference, n))
        matches = (counts & allowed).total()
        logs.append(math.log((matches or BLEU_FLOOR) / counts.total()))
    closest = min((abs(len(reference) - len(text)), len(reference)) for reference in references)[1]
    brevity = min(0.0, 1 - closest / len(text))
    return math.exp(brevity + fmean(logs))


def ngrams(words: Words, n: int) -> Iterator[tuple[str, ...]]:
    """All runs of n words, in order, repeated ones again."""
    return (tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _prompt_scores(
    prompt_id: str, samples: Sequence[Completion], denominator: Denominator, suffix: str
) -> Iterator[Score]:
    answers = _answers(samples)
    for n in NGRAMS:
        value = distinct_n(answers, n, denominator)
        yield _score(prompt_id, f"distinct_{n}{suffix}", value, missing=not samples)
    if not samples:
        return
    yield Score(prompt_id, prompt_id, "length", fmean(sum(one.num_tokens) for one in samples))
    yield Score(prompt_id, prompt_id, "length_words", fmean(_num_words(one) for one in samples))
    if len(samples) > 1:
        # Answers to the same turn are compared with each other.
        turns = zip(*([turn.split() for turn in one.turns] for one in samples), strict=True)
        yield _score(prompt_id, "self_bleu", fmean(self_bleu(texts) for texts in turns))


def _answers(samples: Iterable[Completion]) -> list[list[str]]:
    return [turn.split() for completion in samples for turn in completion.turns]


def _num_words(completion: Completion) -> int:
    return sum(len(turn.split()) for turn in completion.turns)


def _score(item: str, metric: str, share: float | None, missing: bool = False) -> Score:
    if share is None:
        return Score(item, item, metric, None, "infrastructure-failed" if missing else "unparsable")
    return Score(item, item, metric, 100 * share)
