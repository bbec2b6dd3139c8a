"""What is wrong with a model folder, found before anything of it is loaded."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from ropo_bench.errors import UsageError, first_line
from ropo_bench.models.load import load_tokenizer
from ropo_bench.weights.adapters import check_adapter, read_adapter
from ropo_bench.weights.checks import check_causal, check_finite, check_vocabulary, filed_weights, quiet
from ropo_bench.weights.files import CONFIG, check_whole, read_config
from ropo_bench.weights.outline import check_keys, outline


def check_model(folder: Path, backend: str = "hf") -> None:
    """Raise UsageError for a folder that is not to be loaded, without loading it.

    Its weights are held against its config by their headers, read once for numbers that are not finite, and its
    tokenizer against its embeddings. backend "vllm": what transformers does not know is left to vLLM.
    """
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    where = f"model {folder}"
    tensors = check_whole(where, folder)
    config = read_config(folder, CONFIG, "model_type")
    # Quantised weights have names and shapes of their own, which their loader knows.
    known = backend == "hf" or config["model_type"] in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if known and not config.get("quantization_config"):
        model = outline(folder, AutoModelForCausalLM, "a causal language model")
        check_keys(where, model, tensors)
        check_causal(where, model)
        check_vocabulary(where, load_tokenizer(folder), len(model.get_input_embeddings().weight))
    check_finite(where, filed_weights(tensors))


def check_policy(base: Path, policy: Path) -> None:
    """Raise UsageError for an adapter folder that load_policy would refuse on this base, without loading the base.

    Kinds of adapters that compute on weights as they are attached are left to load_policy.
    """
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from ropo_bench.adapters import check_adapted

    where = f"adapter {policy}"
    config, tensors = read_adapter(policy)
    model = outline(base, AutoModelForCausalLM, "a causal language model")
    try:
        with quiet(), warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            model = get_peft_model(model, config)
    except RuntimeError:  # torch's, of a tensor without numbers
        return
    except Exception as error:
        raise UsageError(f"{where}: PEFT cannot put it on {base} ({first_line(error)})") from error
    check_adapter(where, model, tensors)
    check_adapted(where, model)
