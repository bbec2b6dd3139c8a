"""Recipes: what is read, in which order it is merged, and the one line that every mistake gets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.methods import LOSS_OPTIONS, AdapterRecipe
from ropo_bench.recipe_files import parse_yaml, shipped_folder
from ropo_bench.recipes import (
    diff_recipes,
    list_recipes,
    load_method,
    load_methods,
    load_suite,
    load_task,
    resolve_object,
)

HEAD = "inherit: dpo\ndescription: a test\n"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name


# --- what ships


def test_the_thirteen_methods_ship() -> None:
    mission, variants = (
        {"dpo", "lora-dpo", "oft", "ropo"},
        {"ropo-no-reverse", "ropo-no-magnitude", "ropo-mirror"},
    )
    losses = {"ipo", "simpo", "orpo", "kto-pair", "r-dpo", "cpo"}
    assert set(list_recipes("methods")) == mission | variants | losses


@pytest.mark.parametrize("suite", list_recipes("suites"))
def test_every_method_and_task_loads_under_every_suite(suite: str) -> None:
    loaded = load_suite(suite)
    names = [method.name for method in load_methods("all", suite=loaded)]
    assert names == list(list_recipes("methods"))
    assert [load_task(task).name for task in loaded.tasks] == loaded.tasks


@pytest.mark.parametrize("path", shipped_folder("methods").glob("*.yaml"), ids=lambda path: path.stem)
def test_a_row_is_short_and_its_head_names_its_paper(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert 6 <= len(lines) <= 15
    assert re.match(r"# .*arXiv \d{4}\.\d{5}", lines[0])


def test_the_published_protocols() -> None:
    dpo, lora, simpo = load_methods("dpo,lora-dpo,simpo")
    assert (dpo.train.lr, dpo.loss.beta, dpo.train.batch_size, dpo.train.epochs) == (5e-7, 0.01, 128, 1)
    assert (dpo.train.warmup_ratio, dpo.train.schedule) == (0.1, "cosine")
    assert lora.train.lr == 5e-6
    assert lora.adapter.options == {"r": 128, "lora_alpha": 128, "lora_dropout": 0.05}
    assert len(lora.adapter.target_modules) == 7
    assert (simpo.loss.beta, simpo.loss.options, simpo.train.lr) == (2.0, {"gamma_beta_ratio": 0.5}, 6e-7)


def test_a_row_differs_from_dpo_by_the_lines_of_its_recipe() -> None:
    dpo, simpo, mirror, ropo = load_methods("dpo,simpo,ropo-mirror,ropo")
    assert diff_recipes(dpo, simpo) == [
        ("loss.name", "sigmoid", "simpo"),
        ("loss.beta", 0.01, 2.0),
        ("loss.options.gamma_beta_ratio", None, 0.5),
        ("train.lr", 5e-7, 6e-7),
    ]
    assert diff_recipes(ropo, mirror) == [("adapter.options.planes", "shared", "mirror")]
    assert diff_recipes(ropo, ropo) == []


def test_the_names_known_to_recipes_are_those_of_the_code() -> None:
    from ropo_bench.losses import LOSSES

    assert set(LOSSES) == set(LOSS_OPTIONS)


def test_reading_recipes_imports_nothing_heavy() -> None:
    code = (
        "import sys, ropo_bench.recipes as r, ropo_bench.commands.methods; r.load_methods('all');"
        "print([m for m in ('torch', 'transformers', 'peft', 'numpy', 'lm_eval') if m in sys.modules])"
    )
    root = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- precedence


def test_each_layer_wins_over_those_below() -> None:
    write("parent.yaml", HEAD + "train: {weight_decay: 0.1, lr: 1e-3}\n")
    suite_text = "inherit: pocket\ndescription: a test\noverrides:\n"
    seen = [load_method("dpo").train.weight_decay]
    seen.append(load_method("parent.yaml").train.weight_decay)
    write("mine/child.yaml", "inherit: ../parent.yaml\ndescription: a test\ntrain: {weight_decay: 0.2}\n")
    child = {"include": ["mine"], "name": "child"}
    seen.append(load_method(**child).train.weight_decay)
    write("s.yaml", suite_text + "  dpo: {train.lr: 1e-4}\ntrain: {weight_decay: 0.3}\n")
    seen.append(load_method(suite=load_suite("s.yaml"), **child).train.weight_decay)
    write("s.yaml", suite_text + "  child: {train.weight_decay: 0.4}\ntrain: {weight_decay: 0.3}\n")
    suite = load_suite("s.yaml", include=["mine"])
    seen.append(load_method(suite=suite, **child).train.weight_decay)
    everyone, one = "train.weight_decay=0.5", "child.train.weight_decay=0.6"
    seen.append(load_method(suite=suite, sets=[everyone], **child).train.weight_decay)
    seen.append(load_method(suite=suite, sets=[one, everyone], **child).train.weight_decay)
    assert seen == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert load_method(**child).train.lr == 1e-3  # the parent's, untouched by the merge of its section


def test_a_setting_for_one_method_leaves_the_others() -> None:
    ropo, dpo = load_methods("ropo,dpo", sets=["ropo.train.lr=1e-4", "loss.beta=0.05"])
    assert (ropo.train.lr, dpo.train.lr) == (1e-4, 5e-7)
    assert ropo.loss.beta == dpo.loss.beta == 0.05


def test_any_loss_on_any_adapter_and_lists_by_set() -> None:
    sets = ["loss.name=simpo", "adapter.target_modules=[q_proj, o_proj]", "train.max_steps=7"]
    ropo = load_method("ropo", sets=sets)
    assert (ropo.adapter.name, ropo.loss.name, ropo.train.max_steps) == ("ropo", "simpo", 7)
    assert ropo.adapter.target_modules == ["q_proj", "o_proj"]


# --- finding


def test_all_is_what_ships_and_what_is_included_in_one_order_each_once() -> None:
    write("mine/methods/zeta.yaml", HEAD)
    write("mine/tasks/quiz.yaml", "inherit: energy\ndescription: a test\n")
    names = [m.name for m in load_methods("dpo,all,zeta", include=["mine"])]
    assert names == ["dpo", *(n for n in list_recipes("methods") if n != "dpo"), "zeta"]
    assert load_task("quiz", include=["mine"]).scorer == "energy"
    assert "zeta" not in list_recipes("methods")


def test_a_flat_folder_holds_methods() -> None:
    write("flat/zeta.yaml", HEAD)
    assert "zeta" in list_recipes("methods", ["flat"])
    assert "zeta" not in list_recipes("tasks", ["flat"])


def test_module_object_reaches_code_and_table_entries_may_be_lazy() -> None:
    assert resolve_object("json:dumps", {}) is json.dumps
    assert resolve_object("fast", {"fast": "json:dumps"}) is json.dumps
    assert resolve_object("ready", {"ready": json.loads}) is json.loads
    assert AdapterRecipe(name="my_package.adapters:Config", options={"anything": 1}).options == {"anything": 1}


def test_yaml_is_1_2() -> None:
    data, lines = parse_yaml("a: 5e-7\nb: on\nc: [1, no]\n", str)
    assert data == {"a": 5e-7, "b": "on", "c": [1, "no"]}
    assert lines == {("a",): 1, ("b",): 2, ("c",): 3, ("c", 0): 3, ("c", 1): 3}


# --- mistakes: one line each, with place, key, what was given and the mend

BAD_METHODS = {
    "losss:\n  beta: 1": "bad.yaml:3: unknown key 'losss'; did you mean 'loss'?",
    "loss:\n  bta: 1": "bad.yaml:4: unknown key 'bta' in loss; did you mean 'beta'?",
    "loss:\n  beta: 1\n  beta: 2": "bad.yaml:5: duplicate key 'beta' (first on line 4)",
    "train:\n  lr: fast": 'bad.yaml:4: train.lr: must be a number, given "fast"',
    "train: {gradient_checkpointing: on}": 'must be true or false, given "on"',
    "train: {batch_size: 12.5}": "train.batch_size: must be a whole number, given 12.5",
    "train: {max_steps: true}": "train.max_steps: must be a whole number, given true",
    "train: {lr: 0}": "bad.yaml:3: train.lr: must be greater than 0, given 0",
    "train: {lr: .inf}": "train.lr: must be a finite number, given Infinity",
    "train: {dtype: bf16}": "train.dtype: must be 'float32' or 'bfloat16', given \"bf16\"",
    "train:": "bad.yaml:3: train: must be a mapping of keys, given null",
    "train: {batch_size: 30}": "batch_size: must be a multiple of micro_batch_size (8), given 30",
    "train: {max_prompt_length: 1024}": "max_prompt_length: must be less than max_length (1024), given 1024",
    "loss: {beta: 0}": "bad.yaml:3: loss.beta: must be greater than 0, given 0",
    "loss: {name: sigmod}": "loss.name: unknown name 'sigmod'; did you mean 'sigmoid'?",
    "loss: {name: simpo, options: {gama_beta_ratio: 1}}": "did you mean 'gamma_beta_ratio'?",
    "loss: {options: {alpha: 1}}": "unknown key 'alpha' in loss.options; it has no keys",
    "adapter: {name: rpo}": "adapter.name: unknown name 'rpo'; did you mean 'ropo'?",
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
