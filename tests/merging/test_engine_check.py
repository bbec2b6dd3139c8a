"""The engine that generates is asked what the policy answered, before anything is judged."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import pytest
from transformers import AutoTokenizer

from ropo_bench.errors import CertificateFailed
from ropo_bench.generation import start
from ropo_bench.merging.certificate import certify
from ropo_bench.merging.engine import MAX_ENGINE_ERROR, TOKEN_PROBES, check_engine
from ropo_bench.merging.merge import merge
from ropo_bench.recipes.suite import MergeRecipe, VllmRecipe
from ropo_bench.sources.models import model_folder
from tests.merging.moved_policies import PROBES, load_base, trained

Dtype = Literal["float32", "float16", "bfloat16"]


def certified(base: Path, folder: Path, dtype: Dtype, size: float, probes: list[list[int]]) -> Path:
    """A merged folder with its certificate."""
    folder.mkdir()
    policy = trained(base, "ropo", size)
    merge(base, policy, folder, dtype)
    certify(policy, base, folder, probes, MergeRecipe(dtype=dtype))
    return folder


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_merged_model_passes_and_its_base_does_not(dtype: Dtype, base_folder: Path, tmp_path: Path) -> None:
    folder = certified(base_folder, tmp_path / "merged", dtype, 0.3, PROBES)
    engine = start(folder, "hf", dtype, VllmRecipe())
    error = check_engine(engine, folder, dtype)
    assert error is not None
    assert error < MAX_ENGINE_ERROR[dtype] / 3
    base = start(base_folder, "hf", dtype, VllmRecipe())
    with pytest.raises(CertificateFailed, match=r"engine_error \S+ > \S+ nats a token .*--backend vllm") as failure:
        check_engine(base, folder, dtype)
    assert failure.value.exit_code == 4


def test_contexts_without_room_and_models_without_probes_are_left_alone(base_folder: Path, tmp_path: Path) -> None:
    folder = certified(base_folder, tmp_path / "merged", "float32", 0.3, PROBES)
    probes = json.loads((folder / TOKEN_PROBES).read_text())
    assert {probe["token"] for probe in probes} <= {token for ids in PROBES for token in ids}
    assert all(any(ids[: len(p["context"])] == p["context"] for ids in PROBES) for p in probes)
    engine = start(base_folder, "hf", "float32", VllmRecipe())
    engine.model.config.max_position_embeddings = 4  # type: ignore[attr-defined]
    tight = type(engine).__new__(type(engine))
    tight.__dict__ |= {**vars(engine), "room_tokens": 2}
    assert check_engine(tight, folder, "float32") is None
    assert check_engine(engine, base_folder, "float32") is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_an_engine_that_serves_the_base_is_found_out_by_a_small_change_too(
    dtype: Dtype, base_folder: Path, tmp_path: Path
) -> None:
    folder = certified(base_folder, tmp_path / "merged", dtype, 0.02, PROBES)
    error = check_engine(start(folder, "hf", dtype, VllmRecipe()), folder, dtype)
    assert error is not None
    with pytest.raises(CertificateFailed, match=r"engine_share \S+ < 0\.5\S* of what training changed"):
        check_engine(start(base_folder, "hf", dtype, VllmRecipe()), folder, dtype)


@pytest.mark.vllm
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_vllm_answers_as_the_policy_did(tmp_path: Path) -> None:
    base = model_folder("pocket:sft")
    tokenizer = AutoTokenizer.from_pretrained(base)
    texts = ("Which river is the longest? I do not know.", "Name three fruits: apple, pear and plum.")
    probes = [tokenizer(text * 2)["input_ids"] for text in texts]
    folder = certified(base, tmp_path / "merged", "bfloat16", 0.05, probes)
    engine = start(folder, "vllm", "bfloat16", VllmRecipe())
    try:
        error = check_engine(engine, folder, "bfloat16")
        assert error is not None
        assert error < 0.05
        # Another model's answers beside the folder: what the engine says is not what its policy said.
        (tmp_path / "other").mkdir()
        policy = load_base(base)
        merge(base, policy, tmp_path / "other", "bfloat16")
        certify(policy, base, tmp_path / "other", probes, MergeRecipe(dtype="bfloat16"))
        with pytest.raises(CertificateFailed, match=r"engine_error .*vllm in bfloat16"):
            check_engine(engine, tmp_path / "other", "bfloat16")
    finally:
        engine.close()
