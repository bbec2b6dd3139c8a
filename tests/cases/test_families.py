"""Every causal family of transformers: log-probabilities and greedy text are the model's own, or one line refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from benchmarks.families import PAIRS, ROWS, compare, examine, whole_logps, without_cache
from benchmarks.tiny_families import FAMILIES, IDS, SIZES, VOCABULARY, tiny_model, tiny_tokenizer, write_family
from ropo_bench.adapters import attach
from ropo_bench.errors import MethodFailed, UsageError
from ropo_bench.generation import cached_decoding, hf
from ropo_bench.generation.cached_decoding import check_decoding
from ropo_bench.generation.hf import decode, pad_left
from ropo_bench.recipes.method import AdapterRecipe, CoreRecipe
from ropo_bench.recipes.task import Decoding
from ropo_bench.training.core.logit_change import LogitChange, logit_change
from ropo_bench.training.core.logprobs import collate, completion_logps
from ropo_bench.training.core.own_forward import check_logps
from ropo_bench.training.core.switches import switched
from ropo_bench.training.loop import _checkpoint_layers

WAYS = [CoreRecipe(), CoreRecipe(packing=False), CoreRecipe(fused_head=False), CoreRecipe(prefix_sharing=False)]


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_are_the_models_own(family: str, tmp_path: Path) -> None:
    write_family(family, tmp_path)
    core, scoring, greedy = compare(tmp_path)
    assert core < 1e-4
    assert scoring < 1e-4
    assert greedy == "equal"


@pytest.mark.parametrize(
    "family", ["Llama", "Gemma 2", "Gemma 4", "Cohere", "Falcon-H1", "LFM2", "Mamba", "Mixtral", "OPT", "Qwen3.5"]
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_the_models_own(family: str, checkpointing: bool) -> None:
    weights = (1.0, -2.0, 0.5, 3.0)
    sequences = [(p.prompt_ids, p.chosen_ids) for p in PAIRS] + [(p.prompt_ids, p.rejected_ids) for p in PAIRS]
    own = tiny_model(family, scale=3.0)
    for weight, (prompt, completion) in zip(weights, sequences, strict=True):
        ids_T = torch.tensor([*prompt, *completion])
        logps_TV = own(input_ids=ids_T[None], use_cache=False).logits[0].log_softmax(-1)
        (weight * logps_TV[:-1].gather(1, ids_T[1:, None])[len(prompt) - 1 :].sum()).backward()
    model = attach(tiny_model(family, scale=3.0), AdapterRecipe(name="full"))
    if checkpointing:
        _checkpoint_layers(model)
    core = CoreRecipe()
    with switched(model, core):
        logps_N = completion_logps(model, collate(model, PAIRS, core, 0), core.fused_head)
        (logps_N * torch.tensor(weights)).sum().backward()
    largest = max(p.grad.abs().max().item() for p in own.parameters() if p.grad is not None)
    for (name, given), wanted in zip(model.named_parameters(), own.parameters(), strict=True):
        assert (given.grad is None) == (wanted.grad is None), name
        if given.grad is not None:
            torch.testing.assert_close(given.grad, wanted.grad, rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.parametrize("family", ["GPT-2", "Gemma 3", "Mamba", "RecurrentGemma", "Qwen3-MoE"])
def test_the_whole_way(family: str, tmp_path: Path) -> None:
    assert examine(family, tmp_path).right


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("Gemma 2", LogitChange(cap=5.0)),
        ("Gemma 4", LogitChange(cap=5.0)),
        ("RecurrentGemma", LogitChange(cap=5.0)),
        ("Granite", LogitChange(0.25)),
        ("Cohere", LogitChange(0.25)),
        ("Falcon-H1", LogitChange(0.5)),
        ("Llama", LogitChange()),
    ],
)
def test_what_becomes_of_the_heads_output_is_measured(family: str, change: LogitChange) -> None:
    assert logit_change(tiny_model(family)) == pytest.approx(change)


@pytest.mark.parametrize("core", WAYS)
def test_a_head_that_does_what_no_form_says_is_asked_itself(core: CoreRecipe) -> None:
    model = tiny_model("Llama")
    forward = model.forward

    def bent(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        output.logits = output.logits + torch.sin(3 * output.logits)
        return output

    model.forward = bent
    assert logit_change(model) is None
    own = [whole_logps(model, p.prompt_ids, p.chosen_ids) for p in PAIRS]
    own += [whole_logps(model, p.prompt_ids, p.rejected_ids) for p in PAIRS]
    given = completion_logps(model, collate(model, PAIRS, core, 0), core.fused_head).tolist()
    assert given == pytest.approx(own, abs=1e-4)


def test_a_core_that_is_not_the_model_is_refused() -> None:
    model = tiny_model("Mistral")
    check_logps(model, PAIRS, CoreRecipe(), 0)
    layer = model.model.layers[0].self_attn
    own = layer.forward

    def only_packed(*args: Any, **kwargs: Any) -> Any:
        output, *rest = own(*args, **kwargs)
        return (output * 1.2 if kwargs.get("segments") else output, *rest)

    layer.forward = only_packed
    with pytest.raises(UsageError, match=r"'mistral'.*nats.*train\.core\.packing=false"):
        check_logps(model, PAIRS, CoreRecipe(), 0)


def test_nan_is_no_agreement() -> None:
    model = tiny_model("Llama")
    with torch.no_grad():
        model.lm_head.weight[3] = math.nan
    with pytest.raises(UsageError, match="own forward"):
        check_logps(model, PAIRS, CoreRecipe(), 0)


def test_the_check_of_the_cache_says_nothing_where_nothing_is_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    for family in ("Llama", "Mamba"):
        check_decoding(tiny_model(family), tiny_tokenizer(), "float32")
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("family", ["Mamba", "Falcon-H1", "LFM2", "Qwen3.5"])
def test_a_cache_that_forgets_is_refused(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_model(family), tiny_tokenizer()
    check_decoding(model, tokenizer, "float32")
    monkeypatch.setattr(hf, "num_attention_layers", lambda _model: 2)  # keys and values for all
    with pytest.raises(UsageError, match=r"cache|does not decode"):
        check_decoding(model, tokenizer, "float32")


def test_the_check_of_the_cache_sees_its_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_model("Llama"), tiny_tokenizer()
    worse = [[10, 11, 12, 13, 14, 15], [10, 11, 12, 13, 14, 15]]
    monkeypatch.setattr(cached_decoding, "decode", lambda *_args, **_settings: worse)
    with pytest.raises(UsageError, match="below the best"):
        check_decoding(model, tokenizer, "float32")


@pytest.mark.parametrize("family", ["Mamba", "RecurrentGemma", "Gemma 3", "Llama"])
def test_limits_stops_and_temperatures_hold_in_every_way_of_decoding(family: str) -> None:
    model = tiny_model(family)
    wanted = [without_cache(model, row) for row in ROWS]
    stop = wanted[0][3]
    greedy = Decoding(max_new_tokens=12, temperature=0)
    rows = pad_left(ROWS, torch.device("cpu"))
    answers = decode(
        model, *rows, greedy, stop_ids=frozenset([5, stop]), random=torch.Generator(), limits=[12, 2, 5],
        temperatures=[0.0, 0.0, 0.0],
    )  # fmt: skip

    def cut(ids: list[int], limit: int) -> list[int]:
        end = next((i + 1 for i, id in enumerate(ids) if id in (5, stop)), len(ids))
        return ids[: min(end, limit)]

    assert answers == [cut(ids, limit) for ids, limit in zip(wanted, [12, 2, 5], strict=True)]
    warm = Decoding(max_new_tokens=6, temperature=1.0)
    drawn = [
        decode(model, *rows, warm, stop_ids=frozenset([5]), random=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("family", ["Llama", "Mamba", "LFM2"])
def test_logits_that_are_no_numbers_give_no_text_in_any_way_of_decoding(family: str) -> None:
    model = tiny_model(family)
    with torch.no_grad():
        model.get_output_embeddings().weight[7] = math.nan
    rows = pad_left(ROWS, torch.device("cpu"))
    with pytest.raises(MethodFailed, match="NaN or infinity as the logits"):
        decode(
            model, *rows, Decoding(max_new_tokens=4, temperature=1.0), stop_ids=frozenset([5]),
            random=torch.Generator(),
        )  # fmt: skip


def test_a_trunk_that_does_not_bear_its_name_is_read_by_the_model_itself() -> None:
    model = tiny_model("Llama 4")
    assert model.base_model is model
    assert logit_change(model) is None
    check_logps(model, PAIRS, CoreRecipe(), 0)
    check_decoding(model, tiny_tokenizer(), "float32")


def test_an_architecture_whose_code_crashes_is_refused_in_one_line() -> None:
    # It takes a cache and never looks into it, so that its mask has more columns than it has keys.
    config = transformers.OpenAIGPTConfig(vocab_size=VOCABULARY, n_embd=48, n_layer=2, n_head=4, n_positions=256)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(UsageError, match=r"'openai-gpt'.*does not decode here \(RuntimeError: .*--backend vllm"):
        check_decoding(model, tiny_tokenizer(), "float32")
    odd = transformers.StableLmConfig(**SIZES)  # a quarter of its heads of 12 is rotated: 3, which is no pair
    model = transformers.AutoModelForCausalLM.from_config(odd).eval()
    with pytest.raises(UsageError, match=r"'stablelm'.*does not read two pairs here \(RuntimeError: [^\n]*$"):
        check_logps(model, PAIRS, CoreRecipe(), 0)


def test_an_adapter_where_it_cannot_be_is_refused_by_what_to_change() -> None:
    recipe = AdapterRecipe(name="lora", target_modules=["router"], options={"r": 2})
    model = attach(tiny_model("Llama 4"), recipe)  # its router is a linear layer that gives two tensors
    with pytest.raises(UsageError, match=r"'llama4_text'.*read two pairs.*name other target_modules"):
        check_logps(model, PAIRS, CoreRecipe(), 0)


def test_too_little_memory_is_not_the_architectures_fault() -> None:
    model = tiny_model("Llama")

    def full(*_args: Any, **_kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    model.forward = full
    for check in (
        lambda: check_logps(model, PAIRS, CoreRecipe(), 0),
        lambda: check_decoding(model, tiny_tokenizer(), "float32"),
    ):
        with pytest.raises(torch.OutOfMemoryError):
            check()


def with_dropout(kind: str) -> Any:
    """A tiny model whose own config asks for dropout, in every place that it has."""
    sizes = {k: v for k, v in SIZES.items() if k != "num_key_value_heads"}
    configs = {
        "gpt2": lambda: transformers.GPT2Config(
            vocab_size=VOCABULARY, n_embd=48, n_layer=2, n_head=4, n_positions=256, **IDS
        ),
        "opt": lambda: transformers.OPTConfig(
            vocab_size=VOCABULARY, hidden_size=48, ffn_dim=80, num_hidden_layers=2, num_attention_heads=4,
            word_embed_proj_dim=48, dropout=0.3, attention_dropout=0.2, layerdrop=0.5, **IDS,
        ),
        "falcon": lambda: transformers.FalconConfig(
            vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, hidden_dropout=0.3,
            attention_dropout=0.2, **IDS,
        ),
        "gpt_neox": lambda: transformers.GPTNeoXConfig(**sizes, hidden_dropout=0.3, attention_dropout=0.2),
        "mixtral": lambda: transformers.MixtralConfig(
            **SIZES, num_local_experts=4, router_jitter_noise=0.3, attention_dropout=0.2
        ),
    }  # fmt: skip
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(configs[kind]())


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", ["gpt2", "opt", "falcon", "gpt_neox", "mixtral"])
def test_the_bases_own_dropout_is_off(kind: str, checkpointing: bool) -> None:
    model = attach(with_dropout(kind).train(), AdapterRecipe(name="full"))
    if checkpointing:
        _checkpoint_layers(model)
    batch = collate(model, PAIRS, CoreRecipe(), 0)
    first, second = (completion_logps(model, batch, True) for _ in range(2))
    assert torch.equal(first, second)
    first.sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_an_adapters_dropout_stays() -> None:
    options = {"r": 2, "lora_dropout": 0.5}
    recipe = AdapterRecipe(name="lora", target_modules=["c_attn"], options=options)
    model = attach(with_dropout("gpt2"), recipe)
    trained = {name for name, module in model.named_modules() if isinstance(module, nn.Dropout) and module.training}
    assert trained
    assert all("lora_dropout" in name for name in trained)


def test_fused_experts_are_refused_in_one_line() -> None:
    recipe = AdapterRecipe(name="lora", target_modules="all-linear", options={"r": 2, "lora_dropout": 0.0})
    with pytest.raises(UsageError, match=r"fused experts of model\.layers.*q_proj"):
        attach(tiny_model("Qwen3-MoE"), recipe)


def test_gradient_checkpointing_still_frees_activations() -> None:
    model: Any = attach(tiny_model("GPT-2"), AdapterRecipe(name="full"))
    _checkpoint_layers(model)
    logit_change(model)
    calls: list[int] = []
    layer = model.transformer.h[0]
    own = layer.mlp.forward
    layer.mlp.forward = lambda x: (calls.append(1), own(x))[1]
    completion_logps(model, collate(model, PAIRS, CoreRecipe(), 0), True).sum().backward()
    assert len(calls) == 2  # once forward, once more in the backward
