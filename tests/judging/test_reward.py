"""A reward model as grader: a tiny real LlamaForSequenceClassification whose rewards are known in closed form."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from ropo_bench.commands.judge import app
from ropo_bench.errors import UsageError
from ropo_bench.judging.reward import RewardGrader
from ropo_bench.sources.shipped import POCKET_ASSETS
from ropo_bench.types import Prompt
from tests.cases.model_folders import edit_weights

WIDTH = 32
EPS = 1e-6
ASK = Prompt("p", ("Say it.",))


def config(**changes: Any) -> Any:
    from transformers import LlamaConfig

    sizes = {"hidden_size": WIDTH, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 262}
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1, "max_position_embeddings": 256}
    ids = {"bos_token_id": 1, "eos_token_id": 5, "pad_token_id": 0}
    return LlamaConfig(**{**sizes, **heads, **ids, "num_labels": 1, "rms_norm_eps": EPS, **changes})


@pytest.fixture
def save(tokenizer: Any, tmp_path: Path) -> Any:
    """Writes a folder with a reward model that likes exclamation marks.

    Every token's embedding is e1 but that of "!", which is e0. Attention is uniform (no queries) and copies
    (values and output are the identity), the MLP is zero, the head reads e0.
    """
    from transformers import LlamaForSequenceClassification

    def write(name: str = "reward", **changes: Any) -> Path:
        model = LlamaForSequenceClassification(config(**changes))
        layer = model.model.layers[0]
        with torch.no_grad():
            for weight in (layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight, layer.mlp.down_proj.weight):
                weight.zero_()
            layer.self_attn.v_proj.weight.copy_(torch.eye(WIDTH))
            layer.self_attn.o_proj.weight.copy_(torch.eye(WIDTH))
            embeddings = model.model.embed_tokens.weight
            embeddings.zero_()
            embeddings[:, 1] = 1.0
            embeddings[tokenizer.convert_tokens_to_ids("!")] = torch.eye(WIDTH)[0]
            model.score.weight.zero_()
            model.score.weight[:, 0] = 1.0
        folder = tmp_path / name
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return write


def closed_form(tokenizer: Any, *turns: tuple[str, str]) -> float:
    """Reward of a chat: with p the share of "!" among its tokens, attention adds sqrt(D) (p e0 + (1 - p) e1)."""
    chat = [m for q, a in turns for m in ({"role": "user", "content": q}, {"role": "assistant", "content": a})]
    ids = tokenizer.encode(tokenizer.apply_chat_template(chat, tokenize=False), add_special_tokens=False)
    share = ids.count(tokenizer.convert_tokens_to_ids("!")) / len(ids)
    norm = math.sqrt(1 / (1 / WIDTH + EPS))
    loud, other = norm * share, 1 + norm * (1 - share)
    return loud / math.sqrt((loud**2 + other**2) / WIDTH + EPS)


def test_rewards_are_those_of_the_model_by_hand(save: Any, tokenizer: Any) -> None:
    grader = RewardGrader(save())
    answers = ["fine", "fine!", "fine!!", "!!!!!"]
    rewards = [grader(ASK, [answer])[0] for answer in answers]
    assert rewards == pytest.approx([closed_form(tokenizer, (ASK.turns[0], a)) for a in answers], abs=1e-5)
    assert rewards == sorted(rewards)
    assert rewards[0] == 0


def test_a_follow_up_is_graded_in_sight_of_the_turn_before(save: Any, tokenizer: Any) -> None:
    prompt = Prompt("two", ("First?", "And then?"))
    rewards = RewardGrader(save())(prompt, ["no!", "yes"])
    expected = [
        closed_form(tokenizer, ("First?", "no!")),
        closed_form(tokenizer, ("First?", "no!"), ("And then?", "yes")),
    ]
    assert rewards == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("pad", [0, 5, None], ids=["own pad", "pad is the end token", "no pad"])
def test_a_batch_changes_no_reward(pad: int | None, save: Any) -> None:
    folder = save(pad_token_id=pad)
    texts = ["!", "a longer answer, with one mark!", "", "!!!", "middling!", "x" * 60 + "!" * 20]
    conversations = [(ASK, [text]) for text in texts]
    alone = [RewardGrader(folder, batch_size=1)(*conversation) for conversation in conversations]
    together = RewardGrader(folder, batch_size=4).grade(conversations)
    assert [len(rewards) for rewards in together] == [1] * len(texts)
    assert [r for (r,) in together] == pytest.approx([r for (r,) in alone], abs=1e-6)
    assert len({round(reward, 4) for (reward,) in together}) > 3


def test_it_is_a_judge_that_can_be_calibrated(save: Any, tmp_path: Path) -> None:
    """The higher reward wins: of three battles the person agrees with two."""
    battles = [("no", "yes!", "b"), ("well!!", "well", "a"), ("oh!", "oh", "b")]
    rows = [{"prompt": "Say it.", "answer_a": a, "answer_b": b, "winner": winner} for a, b, winner in battles]
    people = tmp_path / "people.jsonl"
    people.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    judge = tmp_path / "marks.yaml"
    folder = json.dumps(str(save()))
    judge.write_text(f"description: d\nkind: reward-model\nmodel: {folder}\nkey_env: null\n", encoding="utf-8")
    result = CliRunner().invoke(
        app, ["calibrate", str(people), "--judge", str(judge), "--json"], catch_exceptions=False
    )
    (row,) = json.loads(result.stdout)["rows"]
    assert row["metrics"]["accuracy"]["value"] == pytest.approx(200 / 3)
    assert row["metrics"]["position_bias"]["value"] is None  # it is shown one answer at a time


def test_it_computes_in_float32(save: Any) -> None:
    half = save("half", dtype="bfloat16")
    assert next(RewardGrader(half).model.parameters()).dtype == torch.float32


def test_a_causal_model_is_no_reward_model() -> None:
    with pytest.raises(UsageError, match=r"has no score\.weight, so it was not trained as a reward model"):
        RewardGrader(POCKET_ASSETS / "sft")


def test_a_classifier_of_two_classes_is_no_reward_model(save: Any) -> None:
    with pytest.raises(UsageError, match="gives 2 numbers for an answer"):
        RewardGrader(save(num_labels=2))


def test_a_reward_model_with_a_missing_weight_is_refused(save: Any) -> None:
    folder = edit_weights(save(), lambda tensors: tensors.pop("model.layers.0.mlp.up_proj.weight"))
    with pytest.raises(UsageError, match=r"reward model .*1 are missing: model\.layers\.0\.mlp\.up_proj\.weight"):
        RewardGrader(folder)


def test_a_reward_model_with_a_weight_that_is_no_number_is_refused(save: Any) -> None:
    folder = edit_weights(save(), lambda tensors: tensors["score.weight"].fill_(float("nan")))
    with pytest.raises(UsageError, match=r"NaN or infinity \(score\.weight\)"):
        RewardGrader(folder)


def test_a_chat_beyond_the_context_is_named(save: Any) -> None:
    with pytest.raises(
        UsageError, match=r"prompt p, turn 1: a chat of \d+ tokens does not fit into its context of 256"
    ):
        RewardGrader(save())(ASK, ["!" * 300])


def test_a_folder_that_is_no_model_is_named(tmp_path: Path, tokenizer: Any) -> None:
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"config.json has no model_type"):
        RewardGrader(tmp_path)
