"""Tiny real models and tokenizers, built on the spot; no test needs the network."""

from __future__ import annotations

import gc
import os
import signal

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tests share their cores, also with processes that they start: threads of one would spin while those of another work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

# A busy machine makes an example slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIAL = ["<|pad|>", "<|bos|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]


# Files that take longest begin first, so that no worker is left alone with one at the end.
LONGEST = (
    "scoring/lm_eval/test_lm_eval_vllm.py",
    "adversary/test_interrupt.py",
    "generation/test_vllm.py",
    "judging/test_local_judge.py",
    "adapters/test_givens_triton.py",
    "test_pipeline.py",
    "test_judged_pipeline.py",
    "training/test_processes.py",
    "commands/test_tune.py",
    "cases/test_families.py",
    "gate/test_nightly_command.py",
    "stages/test_code_in_keys.py",
    "leaderboard/test_one_verdict.py",
    "adversary/test_flipped_bytes.py",
    "test_upgrade.py",
    "test_plugins.py",
    "test_api.py",
    "judging/test_judging_faults.py",
    "judging/test_interrupted_commands.py",
    "judging/test_interrupt.py",
    "judging/test_judging_runtime.py",
    "cases/test_judged_commands.py",
    "scoring/lm_eval/test_lm_eval_tasks.py",
    "scoring/commonsense/test_commonsense_tasks.py",
    "merging/test_engine_check.py",
    "benchmarks/test_certificate_faults.py",
    "commands/test_doctor.py",
    "recipes/test_rates.py",
    "pocket/test_larger_sets.py",
    "adversary/test_internal_errors.py",
    "test_pipeline_faults.py",
)


def pytest_configure(config: pytest.Config) -> None:
    # Ignored in a shell's background job or under nohup, and inherited by every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Otherwise pytest-xdist begins with the files that have most tests, which are the quick ones.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    _keep_what_is_here()


def _keep_what_is_here() -> None:
    """Imported modules stay: no later collection, of which every closed engine makes one, looks at their objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A byte-level tokenizer without merges: 256 bytes and six special tokens, with a chat template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|bos|>", eos_token="<|end|>", pad_token="<|pad|>"
    )
    fast.chat_template = TEMPLATE
    return fast


def new_llama(seed: int = 0, **changes: Any) -> Any:
    """A random Llama with odd sizes, so that no test passes by powers of two alone; changes: of its config."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    sizes = {"vocab_size": 262, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
    ids = {"bos_token_id": 1, "eos_token_id": 5, "pad_token_id": 0}
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **heads, **ids, "tie_word_embeddings": True, **changes})).eval()


def logged(logps: Any, recipe: Any) -> dict[str, float]:
    """A loss's metrics as numbers."""
    from ropo_bench.losses import metrics

    return {name: value.item() for name, value in metrics(logps, recipe).items()}


@pytest.fixture
def llama() -> Any:
    """A fresh tiny Llama."""
    return new_llama()


@pytest.fixture(scope="session")
def base_folder(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a tiny Llama and the byte tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    new_llama().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _keep_what_is_here()  # transformers is imported by now
    return folder


@pytest.fixture(scope="session")
def assets() -> Path:
    """The mirror of real benchmark files; tests that need it are skipped where it is not set."""
    folder = os.environ.get("ROPO_BENCH_ASSETS")
    if not folder:
        pytest.skip("ROPO_BENCH_ASSETS is not set")
    return Path(folder)
