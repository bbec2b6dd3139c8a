"""Recipes: the one line that every mistake gets, with place, key, what was given and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.recipes.load import load_method, load_methods, load_suite, load_task
from ropo_bench.recipes.objects import resolve_object

HEAD = "inherit: dpo\ndescription: a test\n"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name


BAD_METHODS = {
    "losss:\n  beta: 1": "bad.yaml:3: unknown key 'losss'; did you mean 'loss'?",
    "loss:\n  bta: 1": "bad.yaml:4: unknown key 'bta' in loss; did you mean 'beta'?",
    "loss:\n  beta: 1\n  beta: 2": "bad.yaml:5: duplicate key 'beta' (first on line 4)",
    "train:\n  lr: fast": 'bad.yaml:4: train.lr: must be a number, given "fast"',
    "train: {gradient_checkpointing: on}": 'must be true or false, given "on"',
    "train: {batch_size: 12.5}": "train.batch_size: must be a whole number, given 12.5",
    "train: {max_steps: true}": "train.max_steps: must be a whole number, given true",
    "train: {lr: 0}": "bad.yaml:3: train.lr: must be greater than 0, given 0",
    "train: {lr: .inf}": '".inf" is not a number that can be used; give a finite one',
    "train: {dtype: bf16}": "train.dtype: must be 'float32' or 'bfloat16', given \"bf16\"",
    "train:": "bad.yaml:3: train: must be a mapping of keys, given null",
    "train: {batch_size: 30}": "batch_size: must be a multiple of micro_batch_size (8), given 30",
    "train: {max_prompt_length: 1024}": "max_prompt_length: must be less than max_length (1024), given 1024",
    "loss: {beta: 0}": "bad.yaml:3: loss.beta: must be greater than 0, given 0",
    "loss: {name: sigmod}": "loss.name: unknown name 'sigmod'; did you mean 'sigmoid'?",
    "loss: {name: simpo, options: {gama_beta_ratio: 1}}": "did you mean 'gamma_beta_ratio'?",
    "loss: {options: {alpha: 1}}": "unknown key 'alpha' in loss.options; it has no keys",
    "adapter: {name: rpo}": "adapter.name: unknown name 'rpo'; did you mean 'ropo'?",
    "loss: {name: exo, options: {epsilon: 0.5}}": "options.epsilon: must be above 0 and below 0.5, given 0.5",
    "loss: {name: repo, options: {gamma: -1}}": "options.gamma: must be at least 0, given -1",
    "adapter: {name: ropo, options: {revers: true}}": "did you mean 'reverse'?",
    "adapter: {name: ropo, options: {planes: x}}": 'options.planes: must be shared or mirror, given "x"',
    "adapter: {name: ropo, options: {reverse: 1}}": "adapter.options.reverse: must be true or false, given 1",
    "adapter: {name: lora, target_modules: 3}": "must be a list of module names, or one pattern as text",
    "name: other": "bad.yaml:3: name: a recipe is named by its file; remove this key",
    "1: x": "bad.yaml:3: a key must be text",
    "loss: &a {options: *a}": "bad.yaml:3: nested more than 8 deep",
    "loss: [1, 2": "bad.yaml:4: not YAML",
    "x: !!python/object/apply:os.system [ls]": "bad.yaml:3: not YAML: could not determine a constructor",
    "---\na: 1": "expected a single document",
    "loss: {bta: 1}\ntrain: {lr: x}": "unknown key 'bta' in loss; did you mean 'beta'? (and 1 more)",
}


def message_of(text: str) -> str:
    write("bad.yaml", text)
    with pytest.raises(UsageError) as caught:
        load_method("bad.yaml")
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("body", BAD_METHODS)
def test_a_bad_method_gets_one_line(body: str) -> None:
    assert BAD_METHODS[body] in message_of(HEAD + body + "\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "bad.yaml: the file is empty"),
        ("# only a comment\n", "bad.yaml: the file is empty"),
        ("- a\n", 'bad.yaml:1: a recipe is a mapping of keys, given ["a"]'),
        ("description: x\nloss:\n\tbeta: 1\n", "it holds a tab, and YAML indents with spaces"),
        ("inherit: dpo\n", "bad.yaml: missing key 'description'"),
        ("inherit: dpoo\n", "bad.yaml:1: inherit: unknown method 'dpoo'; did you mean 'dpo'?"),
        ("inherit: other.yaml\n", "bad.yaml:1: inherit: no such file: other.yaml"),
        ("inherit: [dpo, ropo]\n", "bad.yaml:1: inherit: must be the name of one recipe"),
        ("inherit: bad.yaml\n", "inherit: goes round in a circle: bad.yaml -> bad.yaml"),
        (
            "description: x\nadapter: {name: full}\nloss: {}\ntrain: {}\n",
            "bad.yaml:4: missing key 'lr' in train",
        ),
    ],
)
def test_a_bad_file_gets_one_line(text: str, expected: str) -> None:
    assert expected in message_of(text)


def test_a_circle_of_two_is_named_in_order() -> None:
    write("a.yaml", "inherit: bad.yaml\n")
    assert message_of("inherit: a.yaml\n").endswith("bad.yaml -> a.yaml -> bad.yaml")


def test_a_file_that_is_not_utf8() -> None:
    Path("latin.yaml").write_bytes(b"description: caf\xe9\n")
    with pytest.raises(UsageError, match=r"latin.yaml: not UTF-8 text \(byte 16\)"):
        load_method("latin.yaml")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("loss.beta", "must be KEY=VALUE"),
        ("loss.bta=1", "unknown key 'loss.bta'; did you mean 'loss.beta'?"),
        ("beta=1", "unknown key 'beta'; did you mean 'loss.beta'?"),
        ("rpo.train.lr=1", "unknown key 'rpo.train.lr'; did you mean 'ropo.train.lr'?"),
        ("loss.beta.x=1", "unknown key 'loss.beta.x'; did you mean 'loss.beta'?"),
        ("dpo.loss.beta=big", 'loss.beta: must be a number, given "big"'),
        ("loss.beta=", "loss.beta: must be a number, given null"),
        ("loss.beta=[1", "not YAML"),
        ("description=x", "unknown key 'description'"),
        ("ropo.train.lr=1e-4", "ropo is not among this run's methods (dpo)"),
    ],
)
def test_a_bad_setting_names_itself(setting: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_methods("dpo", sets=[setting])
    assert str(caught.value).startswith(f"--set {setting}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "tasks: [energy, pocket-chta]",
            "s.yaml:3: tasks: unknown task 'pocket-chta'; did you mean 'pocket-chat'?",
        ),
        ("train: {lrr: 1}", "s.yaml:3: unknown key 'lrr' in train; did you mean 'lr'?"),
        ("train: {lr: -1}", "s.yaml:3: train.lr: must be greater than 0, given -1"),
        (
            "overrides:\n  rpo: {train.lr: 1}",
            "s.yaml:4: overrides: unknown method 'rpo'; did you mean 'ropo'?",
        ),
        ("overrides:\n  ropo:\n    train.lr: fast", 's.yaml:5: train.lr: must be a number, given "fast"'),
        ("overrides:\n  ropo: {trian.lr: 1}", "s.yaml:4: unknown key 'trian'; did you mean 'train'?"),
        (
            "decoding:\n  pocket-chat: {temprature: 1}",
            "s.yaml:4: unknown key 'temprature' in decoding.pocket-chat; did you mean 'temperature'?",
        ),
        (
            "decoding: {pocket-chat: {x: 1}}",
            "unknown key 'x' in decoding.pocket-chat; known: temperature, max_new_tokens",
        ),
        ("merge: {dtype: fp8}", "s.yaml:3: merge.dtype: must be"),
        ("tasks: []", "s.yaml:3: tasks: must have at least 1 item"),
    ],
)
def test_a_bad_suite_gets_one_line(body: str, expected: str) -> None:
    write("s.yaml", "inherit: pocket\ndescription: a test\n" + body + "\n")
    with pytest.raises(UsageError) as caught:
        load_suite("s.yaml")
    assert expected in str(caught.value)


def test_a_task_needs_prompts_and_decoding_together() -> None:
    write("t.yaml", "inherit: energy\ndescription: a test\ndecoding: {max_new_tokens: 3}\n")
    with pytest.raises(UsageError, match=r"t\.yaml:3: decoding: needs prompts beside it"):
        load_task("t.yaml")


def test_what_cannot_be_found() -> None:
    write("mine/dpo.yaml", HEAD)
    write("train.yaml", HEAD)
    write("bad name.yaml", HEAD)
    Path("void").mkdir()
    calls = {
        "unknown method 'rpo'; did you mean 'ropo'?": lambda: load_method("rpo"),
        "unknown suite 'pokcet'; did you mean 'pocket'?": lambda: load_suite("pokcet"),
        "nix.yaml: no such file": lambda: load_method("nix.yaml"),
        "--include nix: no such folder": lambda: load_methods("all", include=["nix"]),
        "--include void: no recipe in it": lambda: load_methods("all", include=["void"]),
        "has the same name; rename one": lambda: load_methods("all", include=["mine"]),
        "have the same name; rename one": lambda: load_methods(["dpo", "mine/dpo.yaml"]),
        "cannot be called 'train'": lambda: load_method("train.yaml"),
        "a recipe's file name is its name": lambda: load_method("bad name.yaml"),
        "given 'dpo,'": lambda: load_methods("dpo,"),
        "unknown loss 'sigmod'; did you mean 'sigmoid'?": lambda: resolve_object("sigmod", {"sigmoid": 1}, "loss"),
        "cannot import nix_nix": lambda: resolve_object("nix_nix:a", {}, "loss"),
        "json has no 'dumsp'; did you mean 'dump'?": lambda: resolve_object("json:dumsp", {}, "loss"),
    }
    for expected, call in calls.items():
        with pytest.raises(UsageError) as caught:
            call()
        assert expected in str(caught.value)
