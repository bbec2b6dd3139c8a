"""Rebuilds the pocket suite's assets: world -> tokenizer -> pretraining -> SFT -> preference pairs -> difficulties.

All is seeded: world, tokenizer and pairs' prompts come out bit for bit; weights and samples to a machine's rounding.
"""

from __future__ import annotations

import gzip
import json
import math
import random
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ropo_bench.generation.hf import HFGenerator
from ropo_bench.models.load import load_model, load_tokenizer
from ropo_bench.pocket.build.language import LanguageObjective, TokenSequence, pack
from ropo_bench.pocket.corpus import pretraining_texts, sft_dialogues
from ropo_bench.pocket.grader import grade
from ropo_bench.pocket.larger import spends
from ropo_bench.pocket.prompts import pocket_prompts
from ropo_bench.pocket.world import World
from ropo_bench.recipes.method import CoreRecipe, TrainRecipe
from ropo_bench.recipes.task import Decoding
from ropo_bench.scoring.length_control.difficulties import fit_difficulties
from ropo_bench.store import atomic_file, atomic_folder
from ropo_bench.terminal.progress import Progress
from ropo_bench.training import checkpoint
from ropo_bench.training.loop import fit
from ropo_bench.types import Message, Prompt, Score

SEED = 0
VOCABULARY = 2048
NUM_TEXTS = 160_000
NUM_INSTRUCTIONS = 60_000
NUM_MIXED_TEXTS = (20_000, 6_000)
NUM_DIALOGUES = 8_000
GOOD_SHARE = 0.6  # of the SFT answers; the rest has realistic flaws, so that preferences have something to teach
CANDIDATES = 5  # completions sampled for each preference prompt
LABEL_NOISE = 0.5  # scale of the logistic noise on the labeller's utility, in grades
LENGTH_BIAS = 0.15  # grades that the labeller adds when an answer's number of words doubles
SPECIAL = ["<|pad|>", "<|bos|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# The fast core rounds otherwise: what is built again must be what is shipped, bit for bit.
PLAIN = CoreRecipe(packing=False, prefix_sharing=False, fused_head=False, kernels=False)
PRETRAIN = TrainRecipe(
    lr=3e-3,
    weight_decay=0.1,
    batch_size=32,
    micro_batch_size=32,
    warmup_ratio=0.02,
    dtype="bfloat16",
    checkpoint_every_steps=200,
    core=PLAIN,
)
# Copying from the prompt is what a small model learns last; it takes many small steps.
INSTRUCT = tuple(
    PRETRAIN.model_copy(update={"lr": 2e-3, "batch_size": size, "micro_batch_size": size, "weight_decay": decay})
    for size, decay in ((16, 0.1), (8, 0.0))
)
SFT = TrainRecipe(
    lr=5e-4,
    batch_size=32,
    micro_batch_size=32,
    warmup_ratio=0.05,
    dtype="bfloat16",
    checkpoint_every_steps=200,
    core=PLAIN,
)
BLOCK_TOKENS = 128
MODEL = {
    "hidden_size": 256,
    "intermediate_size": 640,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,  # head_dim 32: the smallest that vLLM serves
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
}
PAIRS = "preference.jsonl.gz"
DIFFICULTIES = {"pocket-arena": "difficulty.json", "pocket-arena-large": "difficulty-large.json"}
DIFFICULTY_LR = 1e-4  # dpo's, whatever rate a later tuning chooses: what is frozen stays what it was
DIFFICULTY_TEMPERATURES = (0.3, 0.5, 0.9, 1.2)  # of the SFT decodings that, beside dpo, fix how hard a prompt is


def tokenizer_texts(world: World) -> list[str]:
    """What the tokenizer is trained on: plain texts and chat messages."""
    messages = (m["content"] for d in sft_dialogues(world, SEED, 4_000, GOOD_SHARE) for m in d)
    return [*pretraining_texts(world, SEED, 20_000), *messages]


def pretraining(world: World) -> list[str]:
    """The texts of pretraining."""
    return list(pretraining_texts(world, SEED, NUM_TEXTS))


def dialogues(world: World) -> list[list[Message]]:
    """The dialogues of supervised fine-tuning."""
    return list(sft_dialogues(world, SEED, NUM_DIALOGUES, GOOD_SHARE))


def instructions(world: World, stage: int) -> list[list[Message]]:
    """Dialogues with good answers only, which teach the pretrained model to follow a prompt; new ones each stage."""
    return list(sft_dialogues(world, SEED + 1 + stage, NUM_INSTRUCTIONS, 1.0))


def build_tokenizer(texts: Sequence[str], folder: Path) -> None:
    """Train the byte-level BPE tokenizer on the world's texts and write it with its chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|bos|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        model_max_length=2048,
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)


def new_model(tokenizer: Any) -> Any:
    """A Llama of about three million parameters with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, tie_word_embeddings=True, **MODEL, **ids))


def pretrain(texts: Sequence[str], tokenizer_folder: Path, folder: Path, progress: Progress) -> dict[str, Any]:
    """Teach a new model the world's plain texts; writes folder/model and returns what it took."""
    tokenizer = load_tokenizer(tokenizer_folder)
    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    rows = pack([[tokenizer.bos_token_id, *ids] for ids in encoded], BLOCK_TOKENS)
    return _train(new_model(tokenizer), tokenizer, rows, PRETRAIN, folder, torch.float32, "pretrain", progress)


def instruct(
    texts: Sequence[str],
    dialogues: Sequence[Sequence[Message]],
    recipe: TrainRecipe,
    base: Path,
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Go on with dialogues mixed into plain texts, so that answers come to be about what was asked."""
    tokenizer = load_tokenizer(base)
    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    documents = [[tokenizer.bos_token_id, *ids] for ids in encoded]
    documents += [list(chat_tokens(tokenizer, dialogue).ids) for dialogue in dialogues]
    random.Random(SEED).shuffle(documents)
    rows, model = pack(documents, BLOCK_TOKENS), load_model(base, "float32")
    return _train(model, tokenizer, rows, recipe, folder, torch.float32, "instruct", progress)


def fine_tune(dialogues: Sequence[Sequence[Message]], base: Path, folder: Path, progress: Progress) -> dict[str, Any]:
    """Teach the pretrained model to answer instructions, from good and flawed answers; writes fp16 weights."""
    tokenizer = load_tokenizer(base)
    rows = [chat_tokens(tokenizer, dialogue) for dialogue in dialogues]
    return _train(load_model(base, "float32"), tokenizer, rows, SFT, folder, torch.float16, "sft", progress)


def _train(
    model: Any,
    tokenizer: Any,
    rows: Sequence[TokenSequence],
    recipe: TrainRecipe,
    folder: Path,
    dtype: torch.dtype,
    name: str,
    progress: Progress,
) -> dict[str, Any]:
    objective = LanguageObjective(rows, recipe, SEED, tokenizer.pad_token_id)
    with progress.stage("train", f"pocket {name}", total=objective.num_steps) as bar:
        result = fit(model, objective, recipe, SEED, folder, lambda step, tokens: bar.update(step, tokens=tokens))
    with atomic_folder(folder / "model") as temporary:
        model.to(dtype).save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    checkpoint.remove(folder)
    return {
        "num_steps": result.num_steps,
        "num_tokens": result.num_tokens,
        "seconds": round(result.seconds, 1),
    }


def chat_tokens(tokenizer: Any, dialogue: Sequence[Any]) -> TokenSequence:
    """A dialogue through the chat template; the assistant's tokens and their end-of-turn are scored."""
    ids: list[int] = []
    scored: list[bool] = []
    for position, message in enumerate(dialogue):
        upto = list(dialogue[: position + 1])
        is_answer = message["role"] == "assistant"
        whole = tokenizer.apply_chat_template(
            upto, tokenize=True, return_dict=False, add_generation_prompt=not is_answer
        )
        scored += [is_answer] * (len(whole) - len(ids))
        ids = whole
    return TokenSequence(tuple(ids), tuple(scored))


PAIR_DECODING = Decoding(max_new_tokens=96, temperature=1.0, num_samples=CANDIDATES, batch_size=128, seed=SEED)


def pair_prompts() -> list[Prompt]:
    """Two in three of the preference prompts: as many as one epoch may take in the demo's three minutes."""
    return [prompt for number, prompt in enumerate(pocket_prompts("preference")) if spends(number)]


def sample_pairs(world: World, sft: Path, progress: Progress) -> list[dict[str, Any]]:
    """On-policy preference pairs: SFT answers to training prompts, labelled by the grader with noise and bias."""
    prompts = pair_prompts()
    answers: dict[str, list[str]] = {prompt.id: [] for prompt in prompts}
    generator = HFGenerator(load_model(sft, "float32"), load_tokenizer(sft))
    with progress.stage("generate", "pocket preference", total=len(prompts) * CANDIDATES) as bar:
        done = 0
        for batch in generator.generate(prompts, PAIR_DECODING):
            for completion in batch:
                answers[completion.prompt_id].append(completion.turns[0])
            done += len(batch)
            bar.update(done, tokens=sum(sum(c.num_tokens) for c in batch))
    labelled = (label(world, prompt, answers[prompt.id]) for prompt in prompts)
    return [record for record in labelled if record is not None]


def label(world: World, prompt: Prompt, answers: Sequence[str]) -> dict[str, Any] | None:
    """The answer that the labeller likes best against the one it likes least; None where all are the same."""
    rng = random.Random(f"{SEED} {prompt.id}")
    requirement = prompt.metadata["requirements"][0]
    liked = [(utility(grade(world, requirement, a).score, a, rng), a) for a in sorted(set(answers))]
    if len(liked) < 2:
        return None
    best, worst = max(liked), min(liked)
    return {"id": prompt.id, "prompt": prompt.turns[0], "chosen": best[1], "rejected": worst[1]}


def utility(score: float, answer: str, rng: random.Random) -> float:
    """What the labeller sees: the grade, a mild liking for length, and logistic noise (Bradley-Terry)."""
    uniform = min(max(rng.random(), 1e-9), 1 - 1e-9)
    noise = LABEL_NOISE * math.log(uniform / (1 - uniform))
    return score + LENGTH_BIAS * math.log2(max(1, len(answer.split()))) + noise


def pair_statistics(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean words of chosen and rejected answers: the length bias of the data, as it came out."""
    return {
        f"{side}_words": round(sum(len(r[side].split()) for r in records) / len(records), 2)
        for side in ("chosen", "rejected")
    }


def install(model: Path, pairs: Path, target: Path) -> None:
    """Put the base model and the preference pairs where the package looks for them."""
    with atomic_folder(target / "sft") as folder:
        shutil.copytree(model, folder, dirs_exist_ok=True)
    install_file(pairs, target)


def install_file(file: Path, target: Path) -> None:
    """Copy one file into the assets, whole or not at all."""
    with atomic_file(target / file.name) as temporary:
        shutil.copyfile(file, temporary)


def write_jsonl_gz(path: Path, records: Iterable[dict[str, Any]]) -> int:
    """Write records as gzipped JSON lines whose bytes depend on the records alone; returns their number."""
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    path.write_bytes(gzip.compress("".join(lines).encode(), 9, mtime=0))
    return len(lines)


def difficulties(prompt_ids: Sequence[str], battles: Sequence[Sequence[Score]]) -> dict[str, float]:
    """Difficulty of each prompt from several models' battles against the SFT model, one sequence a model."""
    shape = (len(battles), len(prompt_ids))
    preferences, deltas = np.full(shape, np.nan), np.full(shape, np.nan)
    column = {name: index for index, name in enumerate(prompt_ids)}
    for row, scores in enumerate(battles):
        for score in scores:
            if score.metric == "win_rate" and score.value is not None:
                preferences[row, column[score.item]] = score.value / 100
                deltas[row, column[score.item]] = score.detail["length_delta"]
    return fit_difficulties(prompt_ids, preferences, deltas)
