"""The shipped assets are what the seeded build makes, and the shipped model leaves room to improve."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from ropo_bench.generation.hf import HFGenerator
from ropo_bench.models.load import load_model, load_tokenizer
from ropo_bench.pocket.build import make as builder
from ropo_bench.pocket.build.steps import content_hash, pairs_hash
from ropo_bench.pocket.judge import grade_turns
from ropo_bench.pocket.prompts import pocket_prompts
from ropo_bench.pocket.world import build_world, world_hash
from ropo_bench.recipes.task import Decoding
from ropo_bench.sources.shipped import POCKET_ASSETS
from ropo_bench.store import folder_hash


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    return json.loads((POCKET_ASSETS / "build.json").read_text())


@pytest.fixture(scope="module")
def pairs() -> list[dict[str, str]]:
    text = gzip.decompress((POCKET_ASSETS / builder.PAIRS).read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def sft() -> HFGenerator:
    folder = POCKET_ASSETS / "sft"
    return HFGenerator(load_model(folder, "float32"), load_tokenizer(folder))


@pytest.mark.slow
def test_world_and_tokenizer_rebuild_bit_for_bit(built: dict[str, Any], tmp_path: Path) -> None:
    world = build_world(builder.SEED)
    assert world_hash(world) == built["world"]
    builder.build_tokenizer(builder.tokenizer_texts(world), tmp_path)
    assert content_hash([(tmp_path / "tokenizer.json").read_text()]) == built["tokenizer"]
    shipped = (POCKET_ASSETS / "sft" / "tokenizer.json").read_text()
    assert content_hash([shipped]) == built["tokenizer"]


def test_weights_and_pairs_are_the_recorded_ones(built: dict[str, Any], pairs: list[dict[str, str]]) -> None:
    assert folder_hash(POCKET_ASSETS / "sft") == built["sft"]
    assert pairs_hash(POCKET_ASSETS / builder.PAIRS) == built["pairs"]
    assert len(pairs) == built["preference"]["num_pairs"]


def test_pairs_come_from_the_shipped_model(sft: HFGenerator, pairs: list[dict[str, str]]) -> None:
    prompts = {prompt.id: prompt for prompt in builder.pair_prompts()}
    answers: dict[str, list[str]] = {}
    for batch in islice(sft.generate(list(prompts.values()), builder.PAIR_DECODING), 2):
        for completion in batch:
            answers.setdefault(completion.prompt_id, []).append(completion.turns[0])
    shipped = {pair["id"]: pair for pair in pairs}
    complete = [name for name, found in answers.items() if len(found) == builder.CANDIDATES]
    again = [builder.label(build_world(builder.SEED), prompts[name], answers[name]) for name in complete]
    same = sum(record == shipped.get(name) for name, record in zip(complete, again, strict=True))
    assert len(complete) >= 50
    assert same >= len(complete) - 2  # another processor may round one sampled token differently


def test_the_sft_model_is_neither_bad_nor_done(sft: HFGenerator) -> None:
    prompts = pocket_prompts("chat")
    decoding = Decoding(max_new_tokens=96, batch_size=80)
    found = {c.prompt_id: c.turns for batch in sft.generate(prompts, decoding) for c in batch}
    mean = fmean(grade for prompt in prompts for grade in grade_turns(prompt, found[prompt.id]))
    assert 5 <= mean <= 9


def test_no_evaluation_prompt_is_in_the_training_data(pairs: list[dict[str, str]]) -> None:
    trained = {pair["prompt"] for pair in pairs}
    trained |= {dialogue[0]["content"] for dialogue in builder.dialogues(build_world(builder.SEED))}
    for name in ("chat", "arena", "diversity", "validation"):
        assert not trained & {prompt.turns[0] for prompt in pocket_prompts(name)}


def test_assets_fit_into_a_wheel() -> None:
    size = sum(path.stat().st_size for path in POCKET_ASSETS.rglob("*") if path.is_file())
    assert size < 10_000_000
