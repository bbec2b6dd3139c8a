"""What lies beside the weights of a merged folder, against the base's: configs, tokenizer, files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer

from ropo_bench.merging.merge import write_tokenizer
from ropo_bench.models.load import DTYPES, generation_config
from ropo_bench.store.bounded import read_shards

# What a merge may change in a config: the dtype, and who wrote it. `use_cache` is set by whoever calls the model.
FREE = {"dtype", "torch_dtype", "_name_or_path", "transformers_version", "use_cache", "_attn_implementation"}
FREE_OF_GENERATION = {"transformers_version", "_from_model_config"}
# Beside the probes' texts: white space, case, digits, other scripts, what looks like markup.
TEXTS = ("", " ", "\n\n\tA  b", "Hello, world! 3.14 x 10^-5", "naïve café Ωμέγα 漢字 🙂", "<s></s>[INST]<|end|>")
SHOWN = 3
_NAMES = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "float16": "F16"}


def compare_folders(base_dir: Path, merged_dir: Path, dtype: str, texts: Sequence[str] = ()) -> list[str]:
    """One line for everything in which a merged folder differs from its base and must not; [] if nothing does.

    dtype: what the files shall hold. texts: what the tokenizers are tried on, beside TEXTS and every word they know.
    """
    return [
        *_configs(base_dir, merged_dir, dtype),
        *_generation_configs(base_dir, merged_dir),
        *_tokenizers(base_dir, merged_dir, [*TEXTS, *texts]),
        *_tokenizer_files(base_dir, merged_dir),
        *_files(merged_dir, dtype),
    ]


def differences(base: Any, merged: Any, free: set[str], path: str = "") -> Iterator[str]:
    """Keys in which two nested mappings differ, each with both values; a key that is absent is null."""
    if isinstance(base, Mapping) and isinstance(merged, Mapping):
        for key in sorted({*map(str, base), *map(str, merged)} - free):
            yield from differences(base.get(key), merged.get(key), free, f"{path}.{key}" if path else key)
    elif base != merged:
        yield f"{path}: {merged!r} (base: {base!r})"


def _configs(base_dir: Path, merged_dir: Path, dtype: str) -> Iterator[str]:
    base, merged = (AutoConfig.from_pretrained(folder, local_files_only=True) for folder in (base_dir, merged_dir))
    if base.model_type != merged.model_type:
        base = base.get_text_config()  # of a model that also sees or hears, the part that answers
    yield from (f"config.json: {line}" for line in differences(_plain(base), _plain(merged), FREE))
    if merged.dtype != DTYPES[dtype]:
        yield f"config.json: dtype: {merged.dtype} (asked: {dtype})"


def _plain(config: Any) -> Mapping[str, Any]:
    """A config as its file would hold it; label maps have numbers as keys."""
    content: Mapping[str, Any] = json.loads(json.dumps(config.to_dict(), default=str))
    return content


def _generation_configs(base_dir: Path, merged_dir: Path) -> Iterator[str]:
    base, merged = (generation_config(folder).to_dict() for folder in (base_dir, merged_dir))
    yield from (f"generation_config.json: {line}" for line in differences(base, merged, FREE_OF_GENERATION))


def _tokenizers(base_dir: Path, merged_dir: Path, texts: Sequence[str]) -> Iterator[str]:
    base, merged = (AutoTokenizer.from_pretrained(folder, local_files_only=True) for folder in (base_dir, merged_dir))
    words, own = base.get_vocab(), merged.get_vocab()
    changed = sorted(word for word in {*words, *own} if words.get(word) != own.get(word))
    if changed:
        examples = ", ".join(f"{word!r} is {own.get(word)} (base: {words.get(word)})" for word in changed[:SHOWN])
        yield f"tokenizer: {len(changed)} words have other ids: {examples}"
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"):
        if getattr(base, name) != getattr(merged, name):
            yield f"tokenizer: {name}: {getattr(merged, name)} (base: {getattr(base, name)})"
    if _added_tokens(base) != _added_tokens(merged):
        yield "tokenizer: its added tokens, or how they are split off, are not the base's"
    if base.chat_template != merged.chat_template:
        yield "tokenizer: its chat template is not the base's"
    vocabulary = [base.convert_tokens_to_string([word]) for word in sorted(words)]
    tried = [*texts, *vocabulary]
    before, after = (tokenizer(tried, verbose=False)["input_ids"] for tokenizer in (base, merged))
    wrong = [text for text, a, b in zip(tried, before, after, strict=True) if a != b]
    if wrong:
        yield f"tokenizer: {len(wrong)} of {len(tried)} texts have other token ids, the first is {wrong[0][:40]!r}"
    if any(base.decode(ids) != merged.decode(ids) for ids in before[: len(texts)]):
        yield "tokenizer: token ids become other texts"


def _tokenizer_files(base_dir: Path, merged_dir: Path) -> Iterator[str]:
    """What no text has shown: the files must be those that the base's tokenizer writes."""
    with tempfile.TemporaryDirectory() as name:
        write_tokenizer(base_dir, Path(name))
        for path in sorted(Path(name).iterdir()):
            written = merged_dir / path.name
            if not written.is_file() or written.read_bytes() != path.read_bytes():
                yield f"{path.name}: is not what the base's tokenizer writes"


def _added_tokens(tokenizer: Any) -> dict[int, str]:
    return {number: repr(token) for number, token in tokenizer.added_tokens_decoder.items()}


def _files(merged_dir: Path, dtype: str) -> Iterator[str]:
    index = merged_dir / "model.safetensors.index.json"
    named = {"model.safetensors"}
    if index.is_file():
        named = set(read_shards(index))
    for path in sorted(merged_dir.iterdir()):
        stray = path.suffix == ".safetensors" and path.name not in named
        if stray or path.suffix in (".bin", ".pt", ".pth") or path.name == "adapter_config.json":
            yield f"{path.name}: a file of weights that is not part of the model"
    for name in sorted(named):
        with safe_open(merged_dir / name, "pt") as file:
            held = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118
        floats = {kind for kind in held if kind in _NAMES.values() or kind.startswith("F8")}
        if floats - {_NAMES[dtype]}:
            yield f"{name}: holds {', '.join(sorted(floats))} (asked: {_NAMES[dtype]}, {dtype})"
    yield from _check_tied_weights(merged_dir, named)


def _check_tied_weights(merged_dir: Path, named: set[str]) -> Iterator[str]:
    """A head that shares the embedding, and lies in the files with other numbers: who reads it decides."""
    config = AutoConfig.from_pretrained(merged_dir, local_files_only=True)
    if not getattr(config, "tie_word_embeddings", False):
        return
    held: dict[str, torch.Tensor] = {}
    for name in named:
        with safe_open(merged_dir / name, "pt") as file:
            ends = ("lm_head.weight", "embed_tokens.weight")
            held |= {key: file.get_tensor(key) for key in file.keys() if key.endswith(ends)}  # noqa: SIM118
    heads = [key for key in held if key.endswith("lm_head.weight")]
    if heads and len(held) > 1 and not all(torch.equal(held[heads[0]], weight) for weight in held.values()):
        yield f"{heads[0]}: lies in the files and is not the embedding, to which config.json ties it"
