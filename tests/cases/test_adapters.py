"""Adapter folders: safetensors alone, every tensor for a module of the base; and which modules one may take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from ropo_bench.adapters import attach, count_parameters
from ropo_bench.errors import UsageError
from ropo_bench.models.policy import check_policy, load_policy
from ropo_bench.recipes.method import AdapterRecipe
from ropo_bench.weights.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from tests import tiny_suite
from tests.cases.model_folders import SIZES, copy_folder, edit_config, edit_weights
from tests.conftest import new_llama
from tests.test_pipeline import finish, ropo_bench, rows

A = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"


def save_adapter(folder: Path, model: Any = None, **options: Any) -> Path:
    """A LoRA adapter, on q_proj and v_proj where nothing else is said, all of whose weights are drawn."""
    config = LoraConfig(**{"task_type": "CAUSAL_LM", "r": 4, "target_modules": ["q_proj", "v_proj"], **options})
    policy = get_peft_model(new_llama() if model is None else model, config)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in policy.parameters():
            if weight.requires_grad:
                weight.normal_()
    policy.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(tmp_path_factory.mktemp("adapter"))


def same_refusal(base: Path, folder: Path, told: str) -> None:
    """Both the look before a run and the loading refuse it, in one line that names the folder."""
    for refuse in (check_policy, load_policy):
        with pytest.raises(UsageError, match=told) as caught:
            refuse(base, folder)
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_sound_adapter_is_loaded_as_peft_does(adapter: Path, base_folder: Path) -> None:
    check_policy(base_folder, adapter)
    ids = torch.arange(10, 20)[None]
    ours = load_policy(base_folder, adapter)(ids).logits
    theirs = PeftModel.from_pretrained(new_llama(), adapter)(ids).logits
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, new_llama()(ids).logits)


@pytest.mark.parametrize("name", ["ropo", "oft"])
def test_our_own_adapters_are_read_back(name: str, base_folder: Path, tmp_path: Path) -> None:
    options = {"oft_block_size": 4} if name == "oft" else {}
    policy: Any = attach(new_llama(), AdapterRecipe(name=name, options=options))
    policy.save_pretrained(tmp_path)
    check_policy(base_folder, tmp_path)
    load_policy(base_folder, tmp_path)


def test_tensors_that_are_missing_left_over_misshapen_or_no_numbers(
    adapter: Path, base_folder: Path, tmp_path: Path
) -> None:
    elsewhere = A.replace("layers.1", "layers.7")
    changes: dict[str, Any] = {
        rf"1 are missing: {A}": lambda tensors: tensors.pop(A),
        rf"1 are for modules that are not there: {elsewhere}": lambda tensors: tensors.update(
            {elsewhere: tensors[A].clone()}
        ),
        r"\[5, 48\] in the file, \[4, 48\] in the model": lambda tensors: tensors.update({A: torch.ones(5, 48)}),
        rf"hold NaN or infinity \({A}\)": lambda tensors: tensors[A].fill_(float("nan")),
    }
    for number, (told, change) in enumerate(changes.items()):
        broken = edit_weights(copy_folder(adapter, tmp_path / str(number)), change, ADAPTER_WEIGHTS)
        if "in the file" in told:  # PEFT itself refuses the shape when it loads
            with pytest.raises(UsageError, match=told):
                check_policy(base_folder, broken)
            with pytest.raises(UsageError, match="PEFT cannot put it on"):
                load_policy(base_folder, broken)
        else:
            same_refusal(base_folder, broken, told)


def test_an_adapter_of_other_modules_or_of_another_base(adapter: Path, base_folder: Path, tmp_path: Path) -> None:
    renamed = edit_config(copy_folder(adapter, tmp_path / "k"), ADAPTER_CONFIG, target_modules=["k_proj", "v_proj"])
    same_refusal(base_folder, renamed, r"4 are missing: .*k_proj.*; 4 are for modules that are not there: .*q_proj")
    unknown = edit_config(copy_folder(adapter, tmp_path / "x"), ADAPTER_CONFIG, target_modules=["query_key_value"])
    same_refusal(base_folder, unknown, "PEFT cannot put it on")
    deeper = save_adapter(tmp_path / "deep", new_llama(num_hidden_layers=3))
    same_refusal(base_folder, deeper, r"4 are for modules that are not there: .*layers\.2\.")


def test_an_adapter_that_trains_whole_modules_is_refused(base_folder: Path, tmp_path: Path) -> None:
    same_refusal(base_folder, save_adapter(tmp_path, modules_to_save=["lm_head"]), "merge_and_unload")


def test_an_adapter_that_cannot_be_merged_is_refused(base_folder: Path, tmp_path: Path) -> None:
    from peft import PromptTuningConfig

    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    get_peft_model(new_llama(), config).save_pretrained(tmp_path)
    same_refusal(base_folder, tmp_path, "PROMPT_TUNING learns prompts")


def test_a_pickled_adapter_is_never_read(adapter: Path, base_folder: Path, tmp_path: Path) -> None:
    pickled = copy_folder(adapter, tmp_path / "pickled")
    (pickled / ADAPTER_WEIGHTS).unlink()
    (pickled / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'touch PWNED'\ntR.")
    same_refusal(base_folder, pickled, "adapter_model.bin is a pickle and never loaded")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("null", "adapter_config.json is null"),
        ("[]", "adapter_config.json is a list"),
        ("{", "adapter_config.json is not JSON"),
        ("{}", "has no peft_type"),
        ('{"peft_type": "LORRA"}', "peft_type 'LORRA' is none that PEFT knows"),
        ('{"peft_type": "LORA", "r": "many", "target_modules": 7}', "PEFT"),
    ],
)
def test_configs_of_adapters_that_are_none(
    content: str, told: str, adapter: Path, base_folder: Path, tmp_path: Path
) -> None:
    broken = copy_folder(adapter, tmp_path / "broken")
    (broken / ADAPTER_CONFIG).write_text(content)
    same_refusal(base_folder, broken, told)


def test_eval_of_an_adapter_that_lacks_a_tensor_is_exit_2(adapter: Path, base_folder: Path, tmp_path: Path) -> None:
    broken = edit_weights(copy_folder(adapter, tmp_path / "broken"), lambda t: t.pop(A), ADAPTER_WEIGHTS)
    options = tiny_suite.write(tmp_path / "suite", base_folder)
    code, out, err = finish(ropo_bench("eval", str(broken), "--name", "mine", *options, "--json", cwd=tmp_path))
    assert (code, out) == (2, ""), err
    assert len(err.splitlines()) == 1, err
    assert err.startswith(f"error: mine: adapter {broken}")
    assert A in err
    assert not list(tmp_path.rglob("scores.jsonl"))


# -- which modules an adapter may take ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lora", "ropo", "oft"])
def test_an_adapter_on_a_tied_head_is_refused(name: str, base_folder: Path) -> None:
    options = {"oft_block_size": 4} if name == "oft" else {}
    recipe = AdapterRecipe(name=name, target_modules=["q_proj", "lm_head"], options=options)
    for refuse in (lambda: count_parameters(base_folder, recipe), lambda: attach(new_llama(), recipe)):
        with pytest.raises(UsageError, match=r"adapts lm_head, but in this model the head is tied to the embeddings"):
            refuse()


def test_an_adapter_on_tied_embeddings_is_refused_and_on_untied_ones_not(base_folder: Path) -> None:
    recipe = AdapterRecipe(name="lora", target_modules=["embed_tokens"])
    with pytest.raises(UsageError, match=r"adapts model\.embed_tokens, but .* tied"):
        count_parameters(base_folder, recipe)
    attach(new_llama(tie_word_embeddings=False), recipe)
    attach(new_llama(tie_word_embeddings=False), AdapterRecipe(name="ropo", target_modules=["lm_head"]))


def test_a_trained_adapter_on_a_tied_head_is_refused(base_folder: Path, tmp_path: Path) -> None:
    same_refusal(base_folder, save_adapter(tmp_path, target_modules=["lm_head", "q_proj"]), "adapts lm_head, but")


def gpt2() -> Any:
    from transformers import AutoModelForCausalLM, GPT2Config

    config = GPT2Config(vocab_size=262, n_embd=48, n_layer=2, n_head=4, n_positions=512)
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("name", ["ropo", "oft"])
@pytest.mark.parametrize("target", ["q_proj", "c_proj"])
def test_what_works_on_gpt2_is_said(name: str, target: str) -> None:
    with pytest.raises(UsageError) as caught:
        attach(gpt2(), AdapterRecipe(name=name, target_modules=[target]))
    assert "did you mean" not in str(caught.value)
    assert str(caught.value).endswith(
        "all linear layers of this model are Conv1D: take lora with target_modules [c_attn, c_fc, c_proj], or full"
    )


def test_lora_works_on_gpt2_as_the_hint_says() -> None:
    with pytest.raises(UsageError, match="did you mean 'c_proj'"):
        attach(gpt2(), AdapterRecipe(name="lora", target_modules=["q_proj"]))
    attach(gpt2(), AdapterRecipe(name="lora", target_modules=["c_attn", "c_fc", "c_proj"]))


def test_an_adapter_that_computes_when_it_is_attached_is_counted(base_folder: Path) -> None:
    recipe = AdapterRecipe(name="peft:BOFTConfig", target_modules=["q_proj"], options={"boft_block_size": 4})
    counted = count_parameters(base_folder, recipe)
    adapted = attach(new_llama(), recipe)
    assert counted[0] == sum(p.numel() for p in adapted.parameters() if p.requires_grad) > 0
    assert counted[1] == sum(p.numel() for p in new_llama().parameters())


def test_a_method_whose_adapter_fails_does_so_alone(base_folder: Path, tmp_path: Path) -> None:
    options = tiny_suite.write(tmp_path / "suite", base_folder)
    methods = tmp_path / "suite" / "methods"
    (methods / "broken.yaml").write_text(
        "description: an adapter whose code fails\ninherit: dpo\n"
        'adapter: {name: "tests.cases.failing_adapter:FailingConfig", target_modules: [q_proj]}\n'
    )
    (methods / "head.yaml").write_text(
        "description: an adapter of a tied head\ninherit: dpo\nadapter: {name: lora, target_modules: [lm_head]}\n"
    )
    steps = ["--set", "train.max_steps=1"]
    code, out, err = finish(ropo_bench("run", "--methods", "broken,ropo", *options, *steps, "--json", cwd=tmp_path))
    assert code == 4, err
    assert "Traceback" not in err
    assert rows(out)["broken"]["state"] == "failed: adapter tests.cases.failing_adapter:FailingConfig: no luck"
    assert rows(out)["ropo"]["state"] == "done"
    code, _, err = finish(ropo_bench("run", "--methods", "head,ropo", *options, *steps, "--json", cwd=tmp_path))
    assert code == 2
    assert err.splitlines()[-1].startswith("error: head: adapter lora: adapts lm_head, but")


def test_the_sizes_of_these_cases_are_those_of_the_tiny_base() -> None:
    assert SIZES.items() <= new_llama().config.to_dict().items()
