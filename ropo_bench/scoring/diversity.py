"""Diversity of completions: distinct-n (arXiv 1510.03055), self-BLEU (arXiv 1802.01886), length.

Two denominators of distinct-n are in use: all n-grams ("ngrams"), and all words ("tokens").
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import Literal, get_args

from ropo_bench.errors import UsageError
from ropo_bench.recipes.task import TaskRecipe
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

    `corpus_distinct_n` and `corpus_self_bleu` are one item over all answers. Words are separated by white space;
    n-grams never cross from one answer into the next. Options: denominator, ngrams (default) or tokens; with
    tokens the metrics are called distinct_n_tokens. Undefined values (no n-gram at all) are unscored; self_bleu
    needs two samples, else it is left out. Raises UsageError for another denominator.
    """
    denominator = task.options.get("denominator", "ngrams")
    if denominator not in get_args(Denominator):
        raise UsageError(f"task {task.name}: options.denominator must be ngrams or tokens, given {denominator!r}")
    suffix = "" if denominator == "ngrams" else "_tokens"
    by_prompt: dict[str, list[Completion]] = defaultdict(list)
    for completion in completions:
        by_prompt[completion.prompt_id].append(completion)
    scores: list[Score] = []
    for prompt in prompts:
        scores += _prompt_scores(prompt.id, by_prompt.get(prompt.id, []), denominator, suffix)
    corpus = [answer for samples in by_prompt.values() for answer in _answers(samples)]
    for n in NGRAMS:
        value = distinct_n(corpus, n, denominator)
        scores.append(_score("corpus", f"corpus_distinct_{n}{suffix}", value, missing=not corpus))
    if len(corpus) > 1:
        scores.append(_score("corpus", "corpus_self_bleu", self_bleu(corpus)))
    return scores


def measure_texts(texts: Sequence[Words], denominator: Denominator = "ngrams") -> dict[str, float | None]:
    """distinct_1 ... distinct_4 and self_bleu as shares, 0..1, over these texts, and their mean length_words.

    None where a value is undefined: no n-gram, or for self_bleu fewer than two texts.
    """
    measures = {f"distinct_{n}": distinct_n(texts, n, denominator) for n in NGRAMS}
    measures["self_bleu"] = self_bleu(texts) if len(texts) > 1 else None
    measures["length_words"] = fmean(map(len, texts)) if texts else None
    return measures


def distinct_n(texts: Iterable[Words], n: int, denominator: Denominator = "ngrams") -> float | None:
    """Share of different n-grams, 0..1, over all texts together; None where the denominator is 0.

    denominator: ngrams counts all n-grams (arXiv 1510.03055 as most code has it); tokens counts all words,
    which is the smaller number for n > 1 and short texts.
    """
    seen: set[tuple[str, ...]] = set()
    num_ngrams = num_tokens = 0
    for words in texts:
        grams = list(ngrams(words, n))
        seen.update(grams)
        num_ngrams += len(grams)
        num_tokens += len(words)
    total = num_ngrams if denominator == "ngrams" else num_tokens
    return len(seen) / total if total else None


def self_bleu(texts: Sequence[Words]) -> float:
    """Mean BLEU of each text against all others, 0..1; 1 where all are the same. Two texts at least.

    Time is linear in the number of words: what the others allow of an n-gram is the most that any text has of it,
    or the second most for the text that has the most.
    """
    counts = [[Counter(ngrams(text, n)) for n in NGRAMS] for text in texts]
    most: dict[tuple[str, ...], int] = {}
    second: dict[tuple[str, ...], int] = {}
    for gram, count in ((gram, count) for orders in counts for order in orders for gram, count in order.items()):
        if count > most.get(gram, 0):
            most[gram], second[gram] = count, most.get(gram, 0)
        elif count > second.get(gram, 0):
            second[gram] = count
    lengths = sorted(map(len, texts))
    scores = []
    for text, orders in zip(texts, counts, strict=True):
        # A count below the most is a text that does not hold the most; of several that do, the second is as high.
        matches = [
            sum(min(count, most[gram] if count < most[gram] else second[gram]) for gram, count in order.items())
            for order in orders
        ]
        scores.append(_bleu(len(text), matches, _closest(len(text), lengths)))
    return fmean(scores)


def bleu(text: Words, references: Sequence[Words]) -> float:
    """Sentence BLEU, 0..1: clipped n-gram precisions up to order 4, or up to the text's own length if shorter.

    Brevity against the reference of the closest length (the shorter of two equally close). An order without a
    match counts as BLEU_FLOOR matches. An empty text scores 1 against an empty reference, else 0.
    """
    matches = []
    for n in NGRAMS:
        allowed: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            allowed |= Counter(ngrams(reference, n))
        matches.append((Counter(ngrams(text, n)) & allowed).total())
    closest = min((abs(len(reference) - len(text)), len(reference)) for reference in references)[1]
    return _bleu(len(text), matches, closest)


def _bleu(length: int, matches: Sequence[int], closest: int) -> float:
    """BLEU of a text of `length` words: clipped matches of each order, and the closest reference's length."""
    if length == 0:
        return float(closest == 0)
    logs = [math.log((matches[n - 1] or BLEU_FLOOR) / (length - n + 1)) for n in range(1, min(4, length) + 1)]
    return math.exp(min(0.0, 1 - closest / length) + fmean(logs))


def _closest(length: int, lengths: Sequence[int]) -> int:
    """The closest of the other lengths, the shorter of two equally close; `lengths` is sorted and holds this one."""
    here = bisect_left(lengths, length)
    others = [lengths[i] for i in (here - 1, here + 1) if 0 <= i < len(lengths)]
    return min(others, key=lambda other: (abs(other - length), other))


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
    yield Score(prompt_id, prompt_id, "length", fmean(sum(sample.num_tokens) for sample in samples))
    yield Score(prompt_id, prompt_id, "length_words", fmean(_num_words(sample) for sample in samples))
    if len(samples) > 1:
        # Answers to the same turn are compared with each other.
        turns = zip(*([turn.split() for turn in sample.turns] for sample in samples), strict=True)
        yield _score(prompt_id, "self_bleu", fmean(self_bleu(texts) for texts in turns))


def _answers(samples: Iterable[Completion]) -> list[list[str]]:
    return [turn.split() for completion in samples for turn in completion.turns]


def _num_words(completion: Completion) -> int:
    return sum(len(turn.split()) for turn in completion.turns)


def _score(item: str, metric: str, share: float | None, missing: bool = False) -> Score:
    if share is None:
        return Score(item, item, metric, None, "infrastructure-failed" if missing else "unparsable")
    return Score(item, item, metric, 100 * share)
