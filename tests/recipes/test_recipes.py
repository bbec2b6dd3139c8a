"""Recipes: what is read, and in which order it is merged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ropo_bench.recipes.files import parse_yaml, shipped_folder
from ropo_bench.recipes.load import diff_recipes, list_recipes, load_method, load_methods, load_suite, load_task
from ropo_bench.recipes.losses import LOSSES as KNOWN_LOSSES
from ropo_bench.recipes.method import AdapterRecipe
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


# --- what ships


def test_the_methods_ship() -> None:
    mission, variants = (
        {"dpo", "lora-dpo", "oft", "ropo"},
        {"ropo-no-reverse", "ropo-no-magnitude", "ropo-mirror"},
    )
    methods = load_methods("all")
    assert mission | variants <= {method.name for method in methods}
    assert {method.loss.name for method in methods} == set(KNOWN_LOSSES)  # every loss has a row


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


def test_what_recipes_know_of_losses_is_what_the_code_says() -> None:
    from ropo_bench.losses import LOSSES

    uses_reference = {name: loss.uses_reference for name, loss in LOSSES.items()}
    assert uses_reference == {name: facts.uses_reference for name, facts in KNOWN_LOSSES.items()}


def test_reading_recipes_imports_nothing_heavy() -> None:
    code = (
        "import sys, ropo_bench.recipes.load as r, ropo_bench.commands.methods; r.load_methods('all');"
        "print([m for m in ('torch', 'transformers', 'peft', 'numpy', 'lm_eval') if m in sys.modules])"
    )
    root = str(Path(__file__).parents[2])
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
