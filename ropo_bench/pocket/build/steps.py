"""The steps of rebuilding the pocket world's files, each kept so that a stopped build goes on.

A step is made again when its texts, settings or predecessor change. The training core's own source is not part of
the key: its laws keep the numbers, and a rounding-level change shall not cost half an hour.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ropo_bench.pocket.build import make as builder
from ropo_bench.pocket.world import build_world, world_hash
from ropo_bench.recipes.load import load_method, load_suite, load_task
from ropo_bench.runs.items import read_scores
from ropo_bench.sources.prompts import read_prompts
from ropo_bench.stages import merged, policy, scores
from ropo_bench.stages.bench import Bench
from ropo_bench.store import Stage, Store, atomic_write_json, content_key, folder_hash, read_json
from ropo_bench.store.source import code_of
from ropo_bench.terminal.progress import Progress

VERSION = 1
WORLD = ("ropo_bench.pocket.grader", "ropo_bench.pocket.prompts", "ropo_bench.pocket.world")
"""Modules that the pairs are drawn and graded by."""


def build(target: Path, store: Store, progress: Progress) -> None:
    """Make the files in the store's cache, each step once, then copy them to `target`."""
    world = build_world(builder.SEED)
    tokenizer = make_tokenizer(store, world)
    pretrained = make_pretrained(store, world, tokenizer, progress)
    instructed = pretrained
    for number in range(len(builder.INSTRUCT)):
        instructed = make_instructed(store, world, instructed, number, progress)
    sft = make_sft(store, world, instructed, progress)
    pairs = make_pairs(store, world, sft, progress)
    builder.install(sft.folder("model"), pairs.file(builder.PAIRS), target)
    for task, file in builder.DIFFICULTIES.items():
        builder.install_file(make_difficulties(store, target, task, progress).file(file), target)
    record: dict[str, Any] = {
        "seed": builder.SEED,
        "world": world_hash(world),
        "tokenizer": content_hash([tokenizer.file("tokenizer.json").read_text()]),
        "pairs": pairs_hash(pairs.file(builder.PAIRS)),
        "sft": folder_hash(sft.folder("model")),
        "pretraining": pretrained.manifest,
        "instruction": instructed.manifest,
        "fine_tuning": sft.manifest,
        "preference": pairs.manifest,
    }
    compare_hashes(target / "build.json", record, progress)
    atomic_write_json(target / "build.json", record)
    progress.note(f"pocket assets written to {target}")


def compare_hashes(path: Path, record: dict[str, Any], progress: Progress) -> None:
    """Say which hashes came out as in the build that was there before."""
    if not path.is_file():
        return
    before = read_json(path)
    for name in ("world", "tokenizer", "pairs", "sft"):
        progress.note(f"{name}: {'the same as before' if before.get(name) == record[name] else 'changed'}")


def pairs_hash(path: Path) -> str:
    """Hash of the records in a gzipped file, whatever compressed it."""
    return content_hash([gzip.decompress(path.read_bytes()).decode()])


def make_tokenizer(store: Store, world: Any) -> Stage:
    texts = builder.tokenizer_texts(world)
    inputs: dict[str, Any] = {
        "texts": content_hash(texts),
        "vocabulary": builder.VOCABULARY,
        "template": builder.TEMPLATE,
    }
    stage = store.stage("pocket-tokenizer", content_key("pocket-tokenizer", inputs))
    with stage.begin() as todo:
        if todo:
            builder.build_tokenizer(texts, stage.path)
            stage.finish({})
    return stage


def make_pretrained(store: Store, world: Any, tokenizer: Stage, progress: Progress) -> Stage:
    texts = builder.pretraining(world)
    inputs: dict[str, Any] = {
        "texts": content_hash(texts),
        "tokenizer": tokenizer.key,
        "model": builder.MODEL,
        "train": builder.PRETRAIN.model_dump(),
    }
    stage = store.stage("pocket-pretrained", content_key("pocket-pretrained", inputs))
    with stage.begin() as todo:
        if todo:
            stage.finish(builder.pretrain(texts, tokenizer.folder(), stage.path, progress))
    return stage


def make_instructed(store: Store, world: Any, base: Stage, number: int, progress: Progress) -> Stage:
    recipe = builder.INSTRUCT[number]
    texts = builder.pretraining(world)[: builder.NUM_MIXED_TEXTS[number]]
    dialogues = builder.instructions(world, number)
    inputs: dict[str, Any] = {
        "texts": content_hash([*texts, *map(str, dialogues)]),
        "base": base.key,
        "train": recipe.model_dump(),
    }
    stage = store.stage("pocket-instructed", content_key("pocket-instructed", inputs))
    with stage.begin() as todo:
        if todo:
            stage.finish(builder.instruct(texts, dialogues, recipe, base.folder("model"), stage.path, progress))
    return stage


def make_sft(store: Store, world: Any, instructed: Stage, progress: Progress) -> Stage:
    dialogues = builder.dialogues(world)
    inputs: dict[str, Any] = {
        "dialogues": content_hash(str(dialogue) for dialogue in dialogues),
        "base": instructed.key,
        "train": builder.SFT.model_dump(),
    }
    stage = store.stage("pocket-sft", content_key("pocket-sft", inputs))
    with stage.begin() as todo:
        if todo:
            stage.finish(builder.fine_tune(dialogues, instructed.folder("model"), stage.path, progress))
    return stage


def make_pairs(store: Store, world: Any, sft: Stage, progress: Progress) -> Stage:
    inputs: dict[str, Any] = {
        "sft": sft.key,
        "prompts": [prompt.id for prompt in builder.pair_prompts()],
        "label": ["best against worst", builder.CANDIDATES, builder.LABEL_NOISE, builder.LENGTH_BIAS],
        "decoding": builder.PAIR_DECODING.model_dump(),
        "code": code_of(VERSION, "ropo_bench.generation", *WORLD),
    }
    stage = store.stage("pocket-pairs", content_key("pocket-pairs", inputs))
    with stage.begin() as todo:
        if todo:
            records = builder.sample_pairs(world, sft.folder("model"), progress)
            builder.write_jsonl_gz(stage.path / builder.PAIRS, records)
            stage.finish({"num_pairs": len(records), **builder.pair_statistics(records)})
    return stage


def make_difficulties(store: Store, assets: Path, name: str, progress: Progress) -> Stage:
    """Frozen prompt difficulties of an arena, from decoding variants of the SFT model and from dpo."""
    suite = load_suite("pocket").model_copy(update={"base": str(assets / "sft"), "data": str(assets / builder.PAIRS)})
    task = load_task(name)
    task = task.model_copy(update={"options": {k: v for k, v in task.options.items() if k != "difficulties"}})
    dpo = load_method("dpo", suite=suite, sets=[f"train.lr={builder.DIFFICULTY_LR}"])
    with Bench(store, suite, progress) as bench:
        trained = merged.make(bench, policy.make(bench, dpo, 0), "dpo", 0)
        battles = [scores.make(bench, trained, task, "dpo")]
        for temperature in builder.DIFFICULTY_TEMPERATURES:
            battles.append(scores.make_variant(bench, task, temperature))
    key = content_key(
        "pocket-difficulty",
        {
            "battles": [stage.key for stage in battles],
            "code": code_of(VERSION, "ropo_bench.scoring.length_control.difficulties"),
        },
    )
    stage = store.stage("pocket-difficulty", key)
    with stage.begin() as todo:
        if todo:
            prompts = [prompt.id for prompt in read_prompts(task.prompts or "")]
            atomic_write_json(
                stage.path / builder.DIFFICULTIES[name],
                builder.difficulties(prompts, [read_scores(b) for b in battles]),
            )
            stage.finish({"num_references": len(battles)})
    return stage


def content_hash(texts: Iterable[str]) -> str:
    """sha256 over texts in their order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()
