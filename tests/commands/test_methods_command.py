"""`ropo-bench methods` and `methods show`, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ropo_bench.commands.methods import app
from ropo_bench.errors import UsageError
from ropo_bench.recipes.load import list_recipes, load_method, load_suite, settings
from ropo_bench.recipes.losses import LOSSES

LLAMA_3_8B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_without_a_sub_command_it_lists_every_method_by_loss_and_adapter() -> None:
    text = invoke()
    assert text == invoke("--list")
    lines = text.splitlines()
    rows = [line for line in lines if not line.startswith("# ")]
    assert sorted(line.split()[0] for line in rows) == sorted(list_recipes("methods"))
    ropo = next(line for line in rows if line.startswith("ropo "))
    assert ropo.split()[1:3] == ["ropo", "sigmoid"]
    heads = [line for line in lines if line.startswith("# ")]
    assert heads[0] == "# DPO and other margins"
    assert heads[-1] == "# adapters, with dpo's loss"
    assert lines.index("# the policy's own likelihood") < lines.index(next(x for x in rows if x.startswith("simpo ")))


def test_the_list_as_json() -> None:
    rows = json.loads(invoke("--json"))
    lora = next(row for row in rows if row["name"] == "lora-dpo")
    assert (lora["adapter"], lora["loss"], lora["group"]) == ("lora", "sigmoid", "adapters, with dpo's loss")
    assert set(lora) == {"name", "adapter", "loss", "description", "group"}


@pytest.mark.parametrize("name", [*list_recipes("methods"), "simpo+ropo"])
def test_show_explains_a_method_in_one_screen(name: str) -> None:
    lines = invoke("show", name).splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 160
    text = "\n".join(lines)
    assert "arXiv" in text
    method = load_method(name)
    assert LOSSES[method.loss.name].formula.split(",")[0] in text.replace("\n#          ", " ")


def test_show_says_the_rule_of_a_crossed_method() -> None:
    text = invoke("show", "simpo+ropo", "--suite", "pocket")
    assert text.startswith("# simpo+ropo, suite pocket\n#          loss, beta and loss options of simpo; adapter,")
    assert "loss.name" in text
    assert "train.lr" in text


def test_the_page_of_methods_is_up_to_date() -> None:
    """`ropo-bench methods page > docs/methods.md` makes it anew."""
    assert (Path(__file__).parents[2] / "docs/methods.md").read_text(encoding="utf-8") == invoke("page")


@pytest.mark.parametrize("name", list_recipes("methods"))
def test_what_show_prints_is_itself_a_recipe_of_the_same_method(name: str, tmp_path: Path) -> None:
    saved = tmp_path / "saved.yaml"
    saved.write_text(invoke("show", name, "--suite", "pocket", "--set", "loss.beta=0.05"), encoding="utf-8")
    shown = load_method(name, suite=load_suite("pocket"), sets=["loss.beta=0.05"])
    assert settings(load_method(saved)) == settings(shown)


def test_show_prints_the_difference_to_dpo_under_the_same_suite_and_settings() -> None:
    text = invoke("show", "ropo-mirror", "--suite", "pocket", "--set", "loss.beta=0.05")
    difference = text[text.index("# difference") : text.index("description:")]
    assert "shared" not in difference
    assert "adapter.options.planes" in difference
    assert "loss.beta" not in difference  # given to both
    assert "# no difference to dpo" in invoke("show", "dpo", "--set", "ropo.train.lr=1")


def test_show_as_json(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("inherit: ropo\ndescription: mine\ntrain: {lr: 1e-3}\n", encoding="utf-8")
    for arguments in (
        ["show", "mine", "--include", str(tmp_path)],
        ["--include", str(tmp_path), "show", "mine"],
    ):
        shown = json.loads(invoke(*arguments, "--json"))
        assert shown["recipe"]["name"] == "mine"
        assert shown["diff_to_dpo"]["train.lr"] == {"dpo": 5e-7, "value": 1e-3}
        assert "trainable_params" not in shown


def test_ropo_trains_688000_parameters_of_llama_3_8b(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA_3_8B), encoding="utf-8")
    shown = json.loads(invoke("show", "ropo", "--base", str(tmp_path), "--json"))
    assert (shown["trainable_params"], shown["total_params"]) == (688_000, 8_030_261_248)
    assert round(shown["percent"], 4) == 0.0086
    assert shown["recipe"]["adapter"]["name"] == "ropo"
    assert "688,000 of 8,030,261,248 = 0.0086 %" in invoke("show", "ropo", "--base", str(config))


@pytest.mark.parametrize("arguments", [["show", "rop"], ["show", "ropo", "--suite", "pokcet"]])
def test_a_mistake_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="did you mean"):
        invoke(*arguments)
