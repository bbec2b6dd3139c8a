"""What both sides work on: real pairs and a tokenizer trained on them, in a folder.

Nothing is downloaded. The folder holds pairs.jsonl (texts), the tokenizer, config.json (the model's sizes: every
child draws the weights from the same seed).
"""

from __future__ import annotations

import json
import os
import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks._models import num_parameters, write_config
from ropo_bench.errors import UsageError
from ropo_bench.models.load import load_tokenizer
from ropo_bench.preferences import read_pairs, tokenize_pairs
from ropo_bench.recipes.suite import ShapeRecipe
from ropo_bench.training.batches import step_indices
from ropo_bench.types import Message, Pair, TokenizedPair

BATCH_SIZE = 8
VOCABULARY = 32_000
MAX_LENGTH = 2048  # tokens; longer pairs are left out on both sides, so that nothing is ever cut
UNCUT = (1 << 20, 1 << 19)  # lengths that no pair reaches
HH = "hh_rlhf_harmless_base_test.part1.jsonl.gz"
# name: (file of the mirror, what it is called in tables)
DATA = {
    "hh": (HH, "HH-RLHF, harmless, test"),
    "hh-long": (HH, "HH texts at UltraFeedback's lengths"),
    "dpo-en-demo": ("llama_factory_dpo_en_demo.json.gz", "LLaMA-Factory's dpo_en_demo"),
}
# UltraFeedback's medians: tokens of a sequence, and those of its prompt over those of its completion.
LONG_TOKENS, LONG_RATIO = 409, 0.42
SPECIAL = ("<|pad|>", "<|bos|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def prepare(
    folder: Path, data: str, shape: ShapeRecipe, num_pairs: int, median_tokens: int | None = None
) -> dict[str, Any]:
    """Write the workload and return its description.

    data: a name of DATA or a file. num_pairs are drawn from it at random; num_too_long were drawn and left out.
    median_tokens: texts are joined until the median sequence is that long (hh-long has UltraFeedback's already).
    Raises UsageError for data that is not there or too little.
    """
    found = read_pairs(source(data))
    tokenizer = train_tokenizer(found.pairs, min(VOCABULARY, shape.vocab_size))
    tokenizer.save_pretrained(folder)
    write_config(folder, shape, tokenizer)
    pairs = random.Random(0).sample(found.pairs, len(found.pairs))
    if data == "hh-long":
        pairs = lengthened(pairs, tokenizer, LONG_TOKENS, LONG_RATIO)
    elif median_tokens is not None:
        pairs = lengthened(pairs, tokenizer, median_tokens)
    drawn: list[Pair] = []
    num_too_long = 0
    while pairs and len(drawn) < num_pairs:
        some, pairs = pairs[: num_pairs - len(drawn)], pairs[num_pairs - len(drawn) :]
        kept = _fitting(some, tokenizer)
        drawn += kept
        num_too_long += len(some) - len(kept)
    if len(drawn) < num_pairs:
        raise UsageError(f"--data {data}: holds {len(drawn)} pairs, {num_pairs} are asked for; give fewer --steps")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(asdict(pair)) + "\n" for pair in drawn))
    return {
        "data": DATA[data][1] if data in DATA else Path(data).name,
        "sha256": found.sha256,
        "num_parameters": num_parameters(folder),
        "num_pairs": num_pairs,
        "num_pairs_of_file": len(found.pairs),
        "num_too_long": num_too_long,
        **lengths(read_tokenized(folder)),
    }


def _fitting(pairs: Sequence[Pair], tokenizer: Any) -> list[Pair]:
    """Those of at most MAX_LENGTH tokens."""
    tokenized = tokenize_pairs(pairs, tokenizer, *UNCUT).pairs
    return [pair for pair, ids in zip(pairs, tokenized, strict=True) if longest(ids) <= MAX_LENGTH]


def source(data: str) -> str:
    """The file behind a name of DATA, from the mirror, or the path itself."""
    if data not in DATA:
        return data
    mirror = os.environ.get("ROPO_BENCH_ASSETS")
    if not mirror:
        raise UsageError(f"--data {data}: set ROPO_BENCH_ASSETS to the mirror of real files, or give --data FILE")
    return str(Path(mirror) / "preference" / DATA[data][0])


def train_tokenizer(pairs: Sequence[Pair], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer of these texts, with a chat template; at most `vocabulary` tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        show_progress=False,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    texts = [[*(m["content"] for m in pair.prompt), pair.chosen, pair.rejected] for pair in pairs]
    inner.train_from_iterator((text for group in texts for text in group), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|bos|>", eos_token="<|end|>", pad_token="<|pad|>"
    )
    fast.chat_template = TEMPLATE
    return fast


def lengthened(pairs: Sequence[Pair], tokenizer: Any, median_tokens: int, ratio: float | None = None) -> list[Pair]:
    """Pairs of the same texts joined: median sequence `median_tokens`, median prompt `ratio` times the completion.

    Without a ratio it stays the data's own. Every prompt grows by one factor and every completion by another, so the
    spread of the lengths stays the data's own too. Prompts are never shortened.
    """
    prompt_factor = completion_factor = 1.0
    some = range(min(len(pairs), 256))  # enough to find two factors
    for _ in range(4):  # words are not tokens, and the median of a sum is no sum of medians: correct and repeat
        sample = [_grown(pairs, i, prompt_factor, completion_factor) for i in some]
        now = lengths(tokenize_pairs(_fitting(sample, tokenizer), tokenizer, *UNCUT).pairs)
        overall = median_tokens / now["median_sequence_tokens"]
        now_ratio = now["median_prompt_tokens"] / now["median_completion_tokens"]
        skew, share = (ratio / now_ratio, 1 / (1 + ratio)) if ratio is not None else (1.0, 0.0)
        prompt_factor *= overall * skew**share
        completion_factor *= overall * skew ** (share - 1)
    return [_grown(pairs, i, prompt_factor, completion_factor) for i in range(len(pairs))]


def _grown(pairs: Sequence[Pair], i: int, prompt_factor: float, completion_factor: float) -> Pair:
    """Pair i with the texts of those after it: more in its last question, more in its answers, or less."""
    own = pairs[i]
    *before, last = own.prompt
    others = [pairs[(i + k) % len(pairs)] for k in range(1, min(len(pairs), 200))]
    words = sum(len(message["content"].split(" ")) for message in own.prompt)
    missing = round((prompt_factor - 1) * words)
    extra = _joined("", (pair.prompt[-1]["content"] for pair in others), missing) + "\n\n" if missing > 0 else ""
    question = Message(role="user", content=extra + last["content"])

    def answer(text: str, more: Iterable[str]) -> str:
        return _joined(text, more, max(1, round(completion_factor * len(text.split(" ")))))

    return replace(
        own,
        prompt=(*before, question),
        chosen=answer(own.chosen, (pair.chosen for pair in others)),
        rejected=answer(own.rejected, (pair.rejected for pair in others)),
    )


def _joined(text: str, others: Iterable[str], num_words: int) -> str:
    """Texts one after the other, cut after num_words."""
    words = text.split(" ") if text else []
    for other in others:
        if len(words) >= num_words:
            break
        first, *rest = other.split(" ")
        words += [f"\n\n{first}" if words else first, *rest]
    return " ".join(words[:num_words])


def longest(pair: TokenizedPair) -> int:
    """Tokens of the longer sequence."""
    return len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids))


def num_tokens(pair: TokenizedPair) -> int:
    """Tokens of both sequences, without padding: what tokens/s counts on both sides."""
    return 2 * len(pair.prompt_ids) + len(pair.chosen_ids) + len(pair.rejected_ids)


def lengths(pairs: Sequence[TokenizedPair]) -> dict[str, float]:
    """Medians over sequences, and the longest."""
    rows = [(len(p.prompt_ids), len(c)) for p in pairs for c in (p.chosen_ids, p.rejected_ids)]
    return {
        "median_prompt_tokens": statistics.median(prompt for prompt, _ in rows),
        "median_completion_tokens": statistics.median(completion for _, completion in rows),
        "median_sequence_tokens": statistics.median(map(sum, rows)),
        "max_sequence_tokens": max(map(sum, rows)),
    }


def read_texts(folder: Path) -> list[Pair]:
    """The workload's pairs."""
    records = map(json.loads, (folder / "pairs.jsonl").read_text().splitlines())
    return [Pair(**{**record, "prompt": tuple(record["prompt"])}) for record in records]


def read_tokenized(folder: Path) -> list[TokenizedPair]:
    """The workload's pairs as the product tokenizes them."""
    return tokenize_pairs(read_texts(folder), load_tokenizer(folder), MAX_LENGTH + 1, MAX_LENGTH).pairs


def order(num_pairs: int, seed: int, steps: int) -> list[list[int]]:
    """Positions of the pairs of each step: the product's own order, which the other side is given too."""
    return [step_indices(num_pairs, BATCH_SIZE, 1.0, seed, step) for step in range(steps)]
