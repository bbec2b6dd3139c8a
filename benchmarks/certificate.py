"""Does the merge certificate catch what is wrong and pass what is right? python -m benchmarks.certificate [--json]

Tiny models of four shapes, with the pocket's tokenizer; every fault of benchmarks/_faults.py in float32, float16 and
bfloat16, and honest merges of updates of 5e-6 to 3e-2 (root mean square over the weights that moved) by four
adapters, on bases that lie on bfloat16's grid, as published ones do, and on bases that do not.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from benchmarks._faults import CODE, FOLDER, OWN, Case, merging_wrongly
from ropo_bench.adapters import attach
from ropo_bench.errors import RopoBenchError
from ropo_bench.merging.certificate import measure
from ropo_bench.merging.merge import merge, merged_weights
from ropo_bench.models.load import load_model
from ropo_bench.recipes.method import AdapterRecipe
from ropo_bench.recipes.suite import MergeRecipe
from ropo_bench.sources.models import model_folder

SHAPES = {"llama": {"tie_word_embeddings": True}, "mistral": {"sliding_window": 64}, "qwen3": {"head_dim": 16}}
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.02,
}
DTYPES = ("float32", "float16", "bfloat16")
ADAPTERS = {
    "ropo": AdapterRecipe(name="ropo"),
    "lora": AdapterRecipe(name="lora", options={"r": 4, "lora_dropout": 0.0}),
    "full": AdapterRecipe(name="full"),
    "oft": AdapterRecipe(name="oft", options={"oft_block_size": 16}),
}
FAULT_SIZE = 3e-3  # the update beside which a fault is planted, root mean square
HONEST_SIZES = [5e-6 * 6000 ** (k / 24) for k in range(25)]  # to 3e-2
TEXTS = ("Which river is the longest?", "name three fruits", "Say it again, but shorter.", "ok")


def make_base(folder: Path, shape: str, grid: bool) -> Path:
    """A random model of a shape with the pocket's tokenizer; grid: on the numbers of bfloat16."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder("pocket:sft"))
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = AutoConfig.for_model(shape, vocab_size=len(tokenizer), **ids, **SIZES, **SHAPES.get(shape, {}))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for name, weight in model.named_parameters():
        if "norm" in name:
            continue
        weight.data.mul_(3.0 if weight.ndim == 1 or "self_attn" in name else 1.0)  # attention that looks somewhere
        if grid:
            weight.data = weight.data.bfloat16().float()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def moved(base: Path, adapter: str, size: float, seed: int = 1) -> Any:
    """A policy whose merged weights lie `size` away from the base's, root mean square over those that moved."""
    start = {name: weight.clone() for name, weight in merged_weights(load_model(base, "float32"))}
    policy = attach(load_model(base, "float32"), ADAPTERS[adapter]).eval()
    trained = [p for p in policy.parameters() if p.requires_grad]
    origin = [p.detach().clone() for p in trained]
    draw = torch.Generator().manual_seed(seed)
    noise = [torch.randn(p.shape, generator=draw) for p in trained]
    scale, rate = 0.01, 0.5 if adapter == "lora" else 1.0  # LoRA's update is a product of two
    for _ in range(12):
        for p, at, step in zip(trained, origin, noise, strict=True):
            p.data = at + scale * step
        updates = [weight.detach() - start[name] for name, weight in merged_weights(policy)]
        squares = torch.cat([update.double().square().flatten() for update in updates if update.any()])
        scale *= (size / squares.mean().sqrt().item()) ** rate
    return policy


def judge(case: Case, policy: Any, tokenizer: Any) -> dict[str, Any]:
    """What the certificate says of a folder: failures, and the figures that they rest on."""
    probes = [list(tokenizer(text * 3)["input_ids"]) for text in TEXTS]
    try:
        found = measure(policy, case.base, case.folder, probes, MergeRecipe(dtype=case.dtype), TEXTS)
    except (RopoBenchError, ValueError, RuntimeError, KeyError) as error:
        return {"failures": [f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"]}
    keys = ("failures", "mean_kl", "change_size", "change_error", "merge_error", "folder_error", "kept_change")
    return {key: found[key] for key in (*keys, "kept_update", "surviving_share", "weight_error")}  # type: ignore[literal-required]


def planted(
    shapes: Sequence[str], dtypes: Sequence[str], faults: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Every fault in every shape and dtype, and what the certificate says of it."""
    with tempfile.TemporaryDirectory() as name:
        for shape in shapes:
            base = make_base(Path(name) / shape, shape, True)
            tokenizer = AutoTokenizer.from_pretrained(base)
            policy = moved(base, "ropo", FAULT_SIZE)
            own: dict[str, Callable[[Case], None]] = OWN.get(shape, {})
            known = {"none": None, **FOLDER, **own} if shape in SHAPES else {"none": None, **own}
            for dtype in dtypes:
                for kind, table in (("folder", known), ("code", CODE if shape in SHAPES else {})):
                    for fault, plant in table.items():
                        if faults is not None and fault not in faults:
                            continue
                        case = Case(shape, dtype, Path(name) / "merged", base, policy)
                        found = _planted(case, kind, plant, tokenizer)
                        yield {"shape": shape, "dtype": dtype, "where": kind, "fault": fault, **found}


def _planted(case: Case, kind: str, plant: Any, tokenizer: Any) -> dict[str, Any]:
    shutil.rmtree(case.folder, ignore_errors=True)
    case.folder.mkdir()
    policy = copy.deepcopy(case.policy)
    if kind == "code":
        with merging_wrongly(plant):
            merge(case.base, policy, case.folder, case.dtype)
            return judge(case, policy, tokenizer)
    merge(case.base, policy, case.folder, case.dtype)
    if plant is not None:
        plant(case)
    return judge(case, policy, tokenizer)


def honest(sizes: Sequence[float], dtypes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Right merges of every size and adapter, shapes and bases by turns."""
    with tempfile.TemporaryDirectory() as name:
        bases = {
            (shape, grid): make_base(Path(name) / f"{shape}-{grid}", shape, grid)
            for shape in SHAPES
            for grid in (True, False)
        }
        for turn, size in enumerate(sizes):
            for place, adapter in enumerate(ADAPTERS):
                shape, grid = list(bases)[(turn + place) % len(bases)]
                policy = moved(bases[shape, grid], adapter, size)
                tokenizer = AutoTokenizer.from_pretrained(bases[shape, grid])
                for dtype in dtypes:
                    case = Case(shape, dtype, Path(name) / "merged", bases[shape, grid], policy)
                    found = _planted(case, "folder", None, tokenizer)
                    yield {"size": size, "adapter": adapter, "shape": shape, "grid": grid, "dtype": dtype, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    began = time.monotonic()
    results: dict[str, list[dict[str, Any]]] = {"faults": [], "honest": []}
    for found in planted([*SHAPES, "qwen2"], DTYPES):
        results["faults"].append(found)
        if not asked.json:
            print(_line(found, ("shape", "dtype", "where", "fault")), flush=True)
    for found in honest(HONEST_SIZES, DTYPES):
        results["honest"].append(found)
        if not asked.json:
            print(_line(found, ("size", "adapter", "shape", "grid", "dtype")), flush=True)
    if asked.json:
        print(json.dumps({"schema": 1, "seconds": time.monotonic() - began, **results}, indent=1))
        return
    planted_ones = [found for found in results["faults"] if found["fault"] != "none"]
    caught = sum(bool(found["failures"]) for found in planted_ones)
    print(f"faults: {caught} of {len(planted_ones)} caught")
    for dtype in DTYPES:
        of = [found for found in results["honest"] if found["dtype"] == dtype]
        print(f"honest merges in {dtype}: {sum(bool(found['failures']) for found in of)} of {len(of)} refused")


def _line(found: dict[str, Any], names: Sequence[str]) -> str:
    text = " ".join(f"{found[name]:.1e}" if name == "size" else str(found[name]) for name in names)
    return f"{text}: {found['failures'][0] if found['failures'] else 'passes'}"


if __name__ == "__main__":
    main()
