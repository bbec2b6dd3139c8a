"""Folders whose files are cut, absent, pointers, or no configs and no tokenizers: one line each, exit 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.models.checks import check_model
from ropo_bench.models.load import load_model, load_tokenizer
from ropo_bench.sources.models import model_folder
from tests import tiny_suite
from tests.cases.model_folders import WEIGHTS, copy_folder, edit_config
from tests.conftest import new_llama
from tests.test_pipeline import finish, ropo_bench

INDEX = "model.safetensors.index.json"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4242424242\n"
Break = Callable[[Path], object]


def write(name: str, text: str) -> Break:
    return lambda folder: (folder / name).write_text(text)


def cut(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def pickle_only(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def lose_a_shard(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    new_llama().save_pretrained(folder, max_shard_size="50KB")
    names = sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
    (folder / names[1]).unlink()


def shard_outside(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "../../elsewhere.safetensors"}}))


BROKEN: dict[str, tuple[Break, str]] = {
    "null": (write("config.json", "null"), "config.json is null, not an object"),
    "a list": (write("config.json", "[1]"), "config.json is a list, not an object"),
    "half a config": (write("config.json", '{"model_type": "llama"'), "config.json is not JSON"),
    "nested without end": (write("config.json", "[" * 100_000), "config.json is not JSON"),
    "no model type": (write("config.json", "{}"), "config.json has no model_type"),
    "a model type of numbers": (lambda f: edit_config(f, model_type=7), r"has no model_type \(given: 7\)"),
    "text_config null": (lambda f: edit_config(f, text_config=None), "text_config is not an object"),
    "an unknown model type": (lambda f: edit_config(f, model_type="llamma"), "transformers cannot"),
    "an unknown rope": (
        lambda f: edit_config(f, rope_parameters={"rope_type": "spiral", "rope_theta": 1e4}),
        "transformers cannot",
    ),
    "a rope that lacks its factor": (
        lambda f: edit_config(f, rope_parameters={"rope_type": "yarn", "rope_theta": 1e4}),
        "transformers cannot",
    ),
    "a width in words": (lambda f: edit_config(f, hidden_size="wide"), "transformers cannot"),
    "no heads": (lambda f: edit_config(f, num_attention_heads=0), "transformers cannot"),
    "cut weights": (cut, f"{WEIGHTS} is cut or no safetensors"),
    "empty weights": (write(WEIGHTS, ""), f"{WEIGHTS} is cut or no safetensors"),
    "a page of a web site": (write(WEIGHTS, "<html>" + "x" * 4000), f"{WEIGHTS} is cut or no safetensors"),
    "a pointer of git-lfs": (write(WEIGHTS, POINTER), f"{WEIGHTS} is a pointer of git-lfs"),
    "a tokenizer's pointer": (write("tokenizer.json", POINTER), "tokenizer.json is a pointer of git-lfs"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), f"no {WEIGHTS} in that folder"),
    "pickled weights": (pickle_only, "only pytorch_model.bin, and pickles are never loaded"),
    "a lost shard": (lose_a_shard, r"names 1 of \d+ files that are not there \(model-00002-of-"),
    "a shard elsewhere": (shard_outside, "names 1 of 1 files that are outside of the folder"),
    "an adapter inside": (write("adapter_config.json", '{"peft_type": "LORA"}'), "an adapter, not a model"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_files_that_are_no_model_are_one_line(kind: str, base_folder: Path, tmp_path: Path) -> None:
    change, told = BROKEN[kind]
    change(copy_folder(base_folder, tmp_path / "broken"))
    for refuse in (check_model, lambda folder: load_model(folder, "float32")):
        with pytest.raises(UsageError, match=told) as caught:
            refuse(tmp_path / "broken")
        assert "\n" not in str(caught.value)
        assert str(tmp_path / "broken") in str(caught.value)


TOKENIZERS: dict[str, Break] = {
    "broken": write("tokenizer.json", '{"version": "1.0", "model": {"type": "BPE"'),
    "null": write("tokenizer.json", "null"),
    "no vocabulary": lambda f: edit_config(f, "tokenizer.json", model={"type": "BPE", "merges": []}),
    "another model": lambda f: edit_config(f, "tokenizer.json", model={"type": "Oracle", "vocab": {}}),
    "none at all": lambda f: [path.unlink() for path in f.glob("tokenizer*")],
    "its config is a list": write("tokenizer_config.json", "[]"),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_tokenizers_that_are_none_are_one_line(kind: str, base_folder: Path, tmp_path: Path) -> None:
    TOKENIZERS[kind](copy_folder(base_folder, tmp_path / "broken"))
    for refuse in (load_tokenizer, check_model):
        with pytest.raises(UsageError, match=r"tokenizer .*broken: ") as caught:
            refuse(tmp_path / "broken")
        assert "\n" not in str(caught.value)


def test_a_vocabulary_larger_than_the_embeddings_is_refused(
    base_folder: Path, tokenizer: Any, tmp_path: Path
) -> None:
    import copy

    from ropo_bench.generation.hf_engine import HFEngine

    folder = copy_folder(base_folder, tmp_path / "large")
    larger = copy.deepcopy(tokenizer)
    larger.add_tokens(["<|extra|>", "<|more|>"])
    larger.save_pretrained(folder)
    told = r"2 tokens beyond the 262 embeddings of the model: '<\|extra\|>' \(262\), '<\|more\|>' \(263\)"
    for refuse in (check_model, lambda folder: HFEngine(folder, "float32")):
        with pytest.raises(UsageError, match=told):
            refuse(folder)


def test_a_model_in_shards_is_whole(base_folder: Path, tmp_path: Path) -> None:
    folder = copy_folder(base_folder, tmp_path / "shards")
    (folder / WEIGHTS).unlink()
    new_llama().save_pretrained(folder, max_shard_size="50KB")
    assert (folder / INDEX).is_file()
    check_model(folder)
    load_model(folder, "float32")


def test_where_a_folder_is_meant_names_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    with pytest.raises(UsageError, match=r"model models/mine: no such folder in .*models"):
        model_folder("models/mine")
    with pytest.raises(UsageError, match=r"an address; give the hub id org/name or a local folder"):
        model_folder("https://huggingface.co/org/name")
    with pytest.raises(UsageError, match=r"a hub id \(org/name\), and no such folder is here"):
        model_folder("org/name")


@pytest.mark.parametrize("kind", ["null", "a pointer of git-lfs", "a lost shard", "an unknown rope"])
def test_eval_of_such_a_folder_is_exit_2(kind: str, base_folder: Path, tmp_path: Path) -> None:
    change, _ = BROKEN[kind]
    change(copy_folder(base_folder, tmp_path / "broken"))
    options = tiny_suite.write(tmp_path / "suite", base_folder)
    code, out, err = finish(
        ropo_bench("eval", str(tmp_path / "broken"), "--name", "mine", *options, "--json", cwd=tmp_path)
    )
    assert (code, out) == (2, ""), err
    assert len(err.splitlines()) == 1, err
    shutil.rmtree(tmp_path / "broken")
    assert not list(tmp_path.rglob("scores.jsonl"))
