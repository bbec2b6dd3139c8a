"""What is wrong with a model folder, found before anything of it is loaded."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.models.load import load_tokenizer
from ropo_bench.weights.checks import check_causal, check_finite, check_vocabulary, filed_weights
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
    is_loadable = backend == "hf" or config["model_type"] in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if is_loadable and not config.get("quantization_config"):
        model = outline(folder, AutoModelForCausalLM, "a causal language model")
        check_keys(where, model, tensors)
        check_causal(where, model)
        check_vocabulary(where, load_tokenizer(folder), len(model.get_input_embeddings().weight))
    check_finite(where, filed_weights(tensors))
