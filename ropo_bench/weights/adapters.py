"""A PEFT adapter's folder: safetensors alone, and every tensor of it for a module of this model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError, first_line
from ropo_bench.weights.checks import check_finite, filed_weights, quiet
from ropo_bench.weights.files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    FiledTensor,
    check_folder,
    list_names,
    read_config,
    read_tensors,
)

_OWN = "base_model.model."  # before the names of the model's own weights in an adapter's file


def read_adapter(folder: Path) -> tuple[Any, dict[str, FiledTensor]]:
    """(PEFT's config, tensors by name) of an adapter folder, every number finite; nothing is unpickled.

    Raises UsageError for a folder without safetensors, of a kind that cannot be merged, or that PEFT cannot read.
    """
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    where = f"adapter {folder}"
    check_folder(folder)
    plain = read_config(folder, ADAPTER_CONFIG, "peft_type")
    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        mend = "adapter_model.bin is a pickle and never loaded; save it again with safe_serialization"
        raise UsageError(
            f"{where}: no {ADAPTER_WEIGHTS} in that folder; {mend if pickled else 'give a whole folder'}"
        )
    kind = plain["peft_type"]
    if kind not in PEFT_TYPE_TO_CONFIG_MAPPING:
        raise UsageError(f"{where}: peft_type {kind!r} is none that PEFT knows; give an adapter that PEFT has saved")
    try:
        with quiet():
            config = PEFT_TYPE_TO_CONFIG_MAPPING[kind].from_pretrained(folder)
    except Exception as error:  # each kind checks its options in its own way
        raise UsageError(f"{where}: PEFT cannot read its {ADAPTER_CONFIG} ({first_line(error)})") from error
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise UsageError(
            f"{where}: {kind} learns prompts and changes no weights, so it cannot be merged; give another kind"
        )
    if getattr(config, "modules_to_save", None) or getattr(config, "trainable_token_indices", None):
        raise UsageError(
            f"{where}: holds whole modules beside its adapter (modules_to_save or trainable_token_indices); merge it"
            " with PEFT's merge_and_unload and give the model's folder"
        )
    tensors = read_tensors(where, [path])
    check_finite(where, filed_weights(tensors))
    config.inference_mode = True
    return config, tensors


def check_adapter(where: str, policy: Any, tensors: Mapping[str, FiledTensor]) -> None:
    """Hold the tensors of an adapter's file against a PeftModel made by its config; raises UsageError.

    What the file lacks would stay as it was initialised, what it has too much would be left out, and PEFT only
    warns of either. Weights of the model itself, which PEFT saves beside an adapter of the embeddings, may be there.
    """
    from peft import get_peft_model_state_dict

    wanted = get_peft_model_state_dict(policy, save_embedding_layers=False)
    own = {f"{_OWN}{name}": weight for name, weight in policy.get_base_model().state_dict().items()}
    tensors_by_name = {**own, **wanted}
    missing = sorted(wanted.keys() - tensors.keys())
    left_over = sorted(tensors.keys() - tensors_by_name.keys())
    reshaped = sorted(
        f"{name} ({list(tensor.shape)} in the file, {list(tensors_by_name[name].shape)} in the model)"
        for name, tensor in tensors.items()
        if name in tensors_by_name and tuple(tensors_by_name[name].shape) != tensor.shape
    )
    parts = {"are missing": missing, "are for modules that are not there": left_over, "have another shape": reshaped}
    problems = [f"{len(names)} {what}: {list_names(names)}" for what, names in parts.items() if names]
    if problems:
        raise UsageError(
            f"{where}: its tensors are not those of its config on this base ({'; '.join(problems)}); give the base"
            " that it was trained on, and the whole folder"
        )
