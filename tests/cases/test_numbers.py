"""A NaN is never a score: logits, log-likelihoods and rewards that are no numbers fail, and say so."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ropo_bench.errors import MethodFailed
from ropo_bench.generation.base import check_logps
from ropo_bench.generation.hf import HFGenerator
from ropo_bench.generation.hf_engine import HFEngine
from ropo_bench.models.load import load_model
from ropo_bench.recipes.method import TrainRecipe
from ropo_bench.recipes.task import Decoding
from ropo_bench.training.reference import compute_reference
from ropo_bench.types import Prompt, TokenizedPair
from tests import tiny_suite
from tests.cases.model_folders import copy_folder, edit_weights
from tests.test_pipeline import finish, ropo_bench, rows

PROMPTS = [Prompt(f"p{i}", (f"question {i}?",)) for i in range(3)]


def overflow(tensors: dict[str, Any]) -> None:
    """Finite weights whose products are not: what no look at the weights can find."""
    tensors["model.norm.weight"].fill_(1e38)
    tensors["model.embed_tokens.weight"].mul_(1e3)


@pytest.fixture
def overflowing(base_folder: Path, tmp_path: Path) -> Path:
    return edit_weights(copy_folder(base_folder, tmp_path / "overflowing"), overflow)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_logits_that_are_no_numbers_give_no_text(temperature: float, top_p: float, overflowing: Path) -> None:
    decoding = Decoding(max_new_tokens=4, temperature=temperature, top_p=top_p)
    with pytest.raises(MethodFailed, match=r"gives NaN or infinity as the logits of token 1 of an answer"):
        list(HFEngine(overflowing, "float32").generate(PROMPTS, decoding))


def test_log_likelihoods_that_are_no_numbers_are_no_scores(
    overflowing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropo_bench.generation.hf_engine.check_decoding", lambda *_: None)  # would find it first
    with pytest.raises(MethodFailed, match="1 of 1 are not finite"):
        HFEngine(overflowing, "float32").loglikelihoods([([1, 20, 21], [22, 23])])


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_no_engine_hands_over_what_is_no_number(wrong: float) -> None:
    assert check_logps([(-1.0, True), (0.0, False)]) == [(-1.0, True), (0.0, False)]
    with pytest.raises(MethodFailed, match="1 of 2 are not finite"):
        check_logps([(-1.0, True), (wrong, False)])


def test_a_word_that_may_not_be_said_is_no_failure(llama: Any, tokenizer: Any) -> None:
    bias = torch.zeros(262)
    bias[30:200] = -math.inf
    llama.lm_head.register_forward_hook(lambda module, inputs, logits: logits + bias)
    [group] = HFGenerator(llama, tokenizer).generate(PROMPTS, Decoding(max_new_tokens=4, temperature=1.0, top_p=0.9))
    assert len(group) == 3


def test_a_reference_that_is_no_number_is_not_kept(overflowing: Path, tmp_path: Path) -> None:
    pair = TokenizedPair("p7", (1, 20), (21, 22), (23,))
    path = tmp_path / "logps.jsonl"
    with pytest.raises(MethodFailed, match="a log-probability of p7 or of a pair beside it is not finite"):
        compute_reference(
            load_model(overflowing, "float32"), [pair], 0, TrainRecipe(lr=1e-4), path, lambda done, tokens: None
        )
    assert not path.exists() or path.read_text() == ""


def test_rewards_that_are_no_numbers_are_no_grades(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    from ropo_bench.judging.reward import RewardGrader
    from tests.cases.model_folders import SIZES

    LlamaForSequenceClassification(LlamaConfig(**SIZES, num_labels=1)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    edit_weights(tmp_path, lambda t: t.update({"model.norm.weight": torch.full((48,), 3e38)}))
    edit_weights(tmp_path, lambda t: t.update({"score.weight": torch.full((1, 48), 3e38)}))
    with pytest.raises(MethodFailed, match="gives NaN or infinity for an answer"):
        RewardGrader(tmp_path)(PROMPTS[0], ["fine"])


def test_a_checkpoint_that_overflows_fails_and_is_not_scored(
    overflowing: Path, base_folder: Path, tmp_path: Path
) -> None:
    options = tiny_suite.write(tmp_path / "suite", base_folder)
    code, out, err = finish(ropo_bench("eval", str(overflowing), "--name", "mine", *options, "--json", cwd=tmp_path))
    assert code == 4, err
    assert "Traceback" not in err
    assert rows(out)["mine"]["state"].startswith("failed: generation: the model gives NaN or infinity")
    assert rows(out)["SFT"]["state"] == "done"
