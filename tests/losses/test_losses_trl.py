"""Losses and metrics against TRL's own code: its trainers' loss methods, and a real DPO training step."""

from __future__ import annotations

import warnings
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ropo_bench.losses import LOSSES, PairLogps, StepStatistics
from ropo_bench.recipes.method import LossRecipe
from tests.conftest import logged, new_llama


def pair_logps(num_pairs: int = 6, seed: int = 0, dtype: torch.dtype = torch.float64) -> PairLogps:
    """Random pairs of realistic scale: 1 to 40 tokens a completion, about 2 nats a token."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 41, (2, num_pairs), generator=g).to(dtype)
    policy = -2 * lengths * torch.rand(2, num_pairs, generator=g, dtype=dtype)
    reference = policy + torch.randn(2, num_pairs, generator=g, dtype=dtype)
    return PairLogps(*policy, *reference, *lengths, lengths[0].mean(), kl=torch.tensor(0.3, dtype=dtype))


def step_loss(logps: PairLogps, recipe: LossRecipe) -> float:
    return float(LOSSES[recipe.name].function(logps, recipe).mean())


@pytest.fixture(scope="module")
def trl_cpo() -> type:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl.experimental.cpo import CPOTrainer
    return CPOTrainer


def bare_trainer(trainer_class: type, **settings: Any) -> Any:
    """A TRL trainer with only what its loss functions read; they are TRL's own code on our tensors."""
    trainer = object.__new__(trainer_class)
    accelerator = SimpleNamespace(device=torch.device("cpu"), gather_for_metrics=lambda tensor: tensor)
    vars(trainer).update({"accelerator": accelerator, "is_encoder_decoder": False} | settings)
    return trainer


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_label_smoothing_equals_trls(trl_cpo: type, label_smoothing: float) -> None:
    """TRL keeps the cDPO formula in its CPO trainer; on logratios it is DPO's."""
    logps = pair_logps()
    trainer = bare_trainer(trl_cpo, beta=0.3, alpha=0.0, loss_type="sigmoid", label_smoothing=label_smoothing)
    assert logps.reference_chosen is not None
    assert logps.reference_rejected is not None
    expected, _, _ = trainer.cpo_loss(
        logps.chosen - logps.reference_chosen, logps.rejected - logps.reference_rejected
    )
    recipe = LossRecipe(name="sigmoid", beta=0.3, label_smoothing=label_smoothing)
    torch.testing.assert_close(LOSSES["sigmoid"].function(logps, recipe), expected)


VOCAB, EOS = 31, 1


def llama(seed: int, deviation: float = 0.5) -> Any:
    sizes = {"vocab_size": VOCAB, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": False}
    ids = {"bos_token_id": 0, "eos_token_id": EOS, "pad_token_id": 2}
    # A wide distribution, so that losses are far from their values for a uniform model.
    return new_llama(seed, **sizes, **heads, **ids, initializer_range=deviation)


Sequences = list[tuple[list[int], list[int]]]  # prompt and completion


def summed_logps(model: Any, sequences: Sequences) -> Tensor:
    """(B,) one sequence at a time, unpadded: the slow and plain way."""
    rows = []
    with torch.no_grad():
        for prompt, completion in sequences:
            logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
            rows.append(logits.log_softmax(-1)[range(len(completion)), completion].sum())
    return torch.stack(rows)


def model_logps(policy: Any, reference: Any, chosen: Sequences, rejected: Sequences) -> PairLogps:
    lengths = [torch.tensor([float(len(ids)) for _, ids in rows]) for rows in (chosen, rejected)]
    return PairLogps(
        summed_logps(policy, chosen),
        summed_logps(policy, rejected),
        summed_logps(reference, chosen),
        summed_logps(reference, rejected),
        *lengths,
        lengths[0].mean(),
    )


@pytest.fixture(scope="module")
def dpo_data() -> Any:
    """Text pairs and a tokenizer of whole words."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<bos>": 0, "<eos>": EOS, "<pad>": 2} | {f"w{i}": i for i in range(3, VOCAB)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>")
    rows = [("w3 w4 w5", " w6 w7 <eos>", " w8 w9 w10 w11 <eos>"), ("w12", " w13 w14 w15 <eos>", " w16 <eos>")]
    rows += [("w20 w21", " w22 <eos>", " w23 w24 <eos>")]
    columns = ("prompt", "chosen", "rejected")
    return tokenizer, Dataset.from_list([dict(zip(columns, row, strict=True)) for row in rows])


@pytest.mark.parametrize(("name", "beta"), [("sigmoid", 0.3), ("ipo", 0.2)])
def test_loss_and_metrics_of_a_real_trl_dpo_step(name: str, beta: float, dpo_data: Any, tmp_path: Any) -> None:
    from trl import DPOConfig, DPOTrainer

    tokenizer, dataset = dpo_data
    policy, reference = llama(0), llama(1)
    arguments = DPOConfig(
        output_dir=str(tmp_path),
        loss_type=[name],
        beta=beta,
        per_device_train_batch_size=3,
        max_steps=1,
        logging_steps=1,
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        dataset_num_proc=None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = DPOTrainer(
            policy, ref_model=reference, args=arguments, train_dataset=dataset, processing_class=tokenizer
        )
    chosen = [(row["prompt_ids"], row["chosen_ids"]) for row in trainer.train_dataset]
    rejected = [(row["prompt_ids"], row["rejected_ids"]) for row in trainer.train_dataset]
    logps = model_logps(policy, reference, chosen, rejected)
    trainer.train()
    log = trainer.state.log_history[0]
    recipe = LossRecipe(name=name, beta=beta)
    ours = {"loss": step_loss(logps, recipe)} | logged(logps, recipe)
    assert abs(ours["rewards/chosen"]) > 0.05  # the models differ, so the comparison means something
    assert {key: log[key] for key in ours} == pytest.approx(ours, rel=1e-5, abs=1e-6)


@pytest.fixture(scope="module")
def dpo_trainer(dpo_data: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """TRL's own trainer, its one batch, and the same pairs' log-probabilities."""
    from trl import DPOConfig, DPOTrainer

    tokenizer, dataset = dpo_data
    policy, reference = llama(0), llama(1)
    arguments = DPOConfig(
        output_dir=str(tmp_path_factory.mktemp("trl")),
        per_device_train_batch_size=3,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        dataset_num_proc=None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = DPOTrainer(
            policy, ref_model=reference, args=arguments, train_dataset=dataset, processing_class=tokenizer
        )
        batch = next(iter(trainer.get_train_dataloader()))
    chosen = [(row["prompt_ids"], row["chosen_ids"]) for row in trainer.train_dataset]
    rejected = [(row["prompt_ids"], row["rejected_ids"]) for row in trainer.train_dataset]
    logps = model_logps(policy, reference, chosen, rejected)
    zero = torch.zeros(())
    return trainer, batch, replace(logps, statistics=StepStatistics(zero, zero, zero))


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ({"name": "robust-dpo", "label_smoothing": 0.2}, {"loss_types": ["robust"], "label_smoothing": 0.2}),
        ({"name": "ln-dpo"}, {"loss_types": ["sigmoid_norm"]}),
        ({"name": "f-dpo-js"}, {"f_divergence_type": "js_divergence"}),
        # TRL's coefficient is 1 - alpha of the paper's.
        (
            {"name": "f-dpo-alpha", "options": {"alpha": 0.25}},
            {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.75},
        ),
        ({"name": "f-dpo-kl"}, {"f_divergence_type": "forward_kl"}),
        (
            {"name": "exo", "options": {"epsilon": 0.01}},
            {"loss_types": ["exo_pair"], "label_smoothing": 0.01},
        ),
        ({"name": "sppo"}, {"loss_types": ["sppo_hard"]}),
        ({"name": "bco"}, {"loss_types": ["bco_pair"]}),  # TRL's has no shift: that of a step whose mean is 0
        ({"name": "nca"}, {"loss_types": ["nca_pair"]}),
        ({"name": "apo-zero"}, {"loss_types": ["apo_zero"]}),
        ({"name": "apo-down"}, {"loss_types": ["apo_down"]}),
    ],
    ids=lambda value: value.get("name"),
)
def test_losses_equal_those_of_trls_dpo_trainer(
    dpo_trainer: Any, recipe: dict[str, Any], settings: dict[str, Any]
) -> None:
    trainer, batch, logps = dpo_trainer
    before = {"loss_types": ["sigmoid"], "f_divergence_type": "reverse_kl", "label_smoothing": 0.0}
    vars(trainer).update(before | {"beta": 0.3} | settings)
    with torch.no_grad():
        expected = trainer.compute_loss(trainer.model, batch).item()
    assert step_loss(logps, LossRecipe(beta=0.3, **recipe)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_slic_hf_equals_trls_hinge(trl_cpo: type, delta: float) -> None:
    """TRL's hinge has a margin of 1 and a beta: delta times it, at beta = 1 / delta, is the paper's."""
    logps = pair_logps()
    trainer = bare_trainer(trl_cpo, beta=1 / delta, alpha=0.0, loss_type="hinge", label_smoothing=0.0)
    expected, _, _ = trainer.cpo_loss(logps.chosen, logps.rejected)
    recipe = LossRecipe(name="slic-hf", options={"delta": delta, "lambda": 0.0})
    torch.testing.assert_close(LOSSES["slic-hf"].function(logps, recipe), delta * expected)


def preference_batch(prompts: list[list[int]], chosen: list[list[int]], rejected: list[list[int]]) -> Any:
    """A batch as TRL's experimental trainers collate it: right-padded, prompt labels -100."""
    batch: dict[str, Any] = {}
    for key, completions in (("chosen", chosen), ("rejected", rejected)):
        rows = [p + c for p, c in zip(prompts, completions, strict=True)]
        labels = [[-100] * len(p) + c for p, c in zip(prompts, completions, strict=True)]
        width = max(map(len, rows))
        batch[f"{key}_input_ids"] = torch.tensor([row + [2] * (width - len(row)) for row in rows])
        batch[f"{key}_labels"] = torch.tensor([row + [-100] * (width - len(row)) for row in labels])
        batch[f"{key}_attention_mask"] = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows])
    return batch


CHOSEN = [[6, 7, 8, EOS], [9, EOS], [10, 11, EOS]]
REJECTED = [[12, EOS], [13, 14, 15, 16, EOS], [10, 17, EOS]]


def reference_free_logps(policy: Any, prompts: list[list[int]]) -> PairLogps:
    return model_logps(
        policy,
        policy,
        list(zip(prompts, CHOSEN, strict=True)),
        list(zip(prompts, REJECTED, strict=True)),
    )


CPO_SETTINGS = {"cpo_alpha": 1.0, "alpha": 0.0, "simpo_gamma": 0.5, "label_smoothing": 0.0}


@pytest.mark.parametrize(
    ("name", "trl_settings", "recipe"),
    [
        ("cpo", {"loss_type": "sigmoid", "beta": 0.1}, {"beta": 0.1}),
        (
            "cpo",
            {"loss_type": "sigmoid", "beta": 0.3, "cpo_alpha": 0.4, "label_smoothing": 0.1},
            {"beta": 0.3, "label_smoothing": 0.1, "options": {"cpo_alpha": 0.4}},
        ),
        (
            "simpo",
            {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.6, "cpo_alpha": 0.0},
            {"beta": 2.0, "options": {"gamma_beta_ratio": 0.8}},
        ),
        (
            "simpo",
            {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.5, "alpha": 0.25},
            {"beta": 2.0, "options": {"gamma_beta_ratio": 0.5, "cpo_alpha": 0.5, "alpha": 0.25}},
        ),
    ],
)
def test_cpo_and_simpo_equal_trls_batch_loss(
    trl_cpo: type, name: str, trl_settings: dict[str, Any], recipe: dict[str, Any]
) -> None:
    policy = llama(3)
    prompts = [[0, 3], [0, 4, 5], [0]]
    trainer = bare_trainer(trl_cpo, pad_token_id=2, aux_loss_enabled=False, **(CPO_SETTINGS | trl_settings))
    expected, trl_log = trainer.get_batch_loss_metrics(policy, preference_batch(prompts, CHOSEN, REJECTED))
    # Options that methods.py may not list yet are read all the same.
    ours = LossRecipe.model_construct(**{"name": name, "label_smoothing": 0.0, "options": {}} | recipe)
    logps = reference_free_logps(policy, prompts)
    assert step_loss(logps, ours) == pytest.approx(expected.item(), rel=1e-5)
    rewards = {key: value for key, value in logged(logps, ours).items() if key.startswith("rewards/")}
    assert {key: trl_log[key] for key in rewards} == pytest.approx(rewards, rel=1e-4)


def test_orpo_equals_trls_batch_loss() -> None:
    """TRL's NLL takes in the prompt's tokens; with BOS alone as prompt there are none, and all must agree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl.experimental.orpo import ORPOTrainer

    policy = llama(4)
    prompts = [[0], [0], [0]]
    trainer = bare_trainer(ORPOTrainer, beta=0.1, padding_value=2, aux_loss_enabled=False)
    expected, trl_log = trainer.get_batch_loss_metrics(policy, preference_batch(prompts, CHOSEN, REJECTED))
    logps = reference_free_logps(policy, prompts)
    recipe = LossRecipe(name="orpo", beta=0.1)
    assert step_loss(logps, recipe) == pytest.approx(expected.item(), rel=1e-5)
    rewards = {key: value for key, value in logged(logps, recipe).items() if key.startswith("rewards/")}
    assert {key: trl_log[key] for key in rewards} == pytest.approx(rewards, rel=1e-4)
