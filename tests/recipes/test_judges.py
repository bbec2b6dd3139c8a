"""Every shipped judge loads, and a recipe that cannot work is refused where it is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ropo_bench.commands.judge import app
from ropo_bench.errors import UsageError
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.load import list_recipes, load_judge
from ropo_bench.recipes.objects import resolve_object

SHIPPED = list(list_recipes("judges"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_judge_loads(name: str) -> None:
    judge = load_judge(name)
    assert judge.name == name
    if judge.prices is not None:  # a price without a day is a guess
        assert "20" in judge.prices.source
    if judge.kind not in ("openai", "azure"):
        assert (judge.key_env, judge.prices) == (None, None)


def test_the_judges_of_the_official_protocols_are_there() -> None:
    assert {"gpt-4", "gpt-4-1106-preview", "gpt-4.1", "local", "pocket", "reward"} <= set(SHIPPED)
    assert load_judge("gpt-4-1106-preview").logprobs
    assert not load_judge("reward").chats
    assert callable(resolve_object(load_judge("pocket").model, {}, "judge"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: m", r"description"),
        ("description: d\nmodel: m\nkind: azure", r"kind: needs base_url and api_version for kind azure"),
        ("description: d\nmodel: m\nkind: function", r'model: must be "module:object" for kind function'),
        ("description: d\nmodel: m\nserve: {dtype: auto}", r"serve: is read for kind vllm-serve only"),
        ("description: d\nmodel: m\nkind: vllm-serve\nserve: {dtype: fp8}", r"serve.dtype"),
        ("description: d\nmodel: m\nmax_concurency: 3", r"did you mean 'max_concurrency'"),
        ("description: d\nmodel: m\nprices: {input_per_million_usd: 1, output_per_million_usd: 2}", r"source"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as caught:
        load_judge(path)
    assert str(caught.value).startswith(str(path))


def test_a_judge_of_ones_own_inherits(tmp_path: Path) -> None:
    path = tmp_path / "judges" / "azure-gpt-4.yaml"
    path.parent.mkdir()
    path.write_text(
        "inherit: gpt-4\ndescription: mine\nkind: azure\nbase_url: https://mine.example\napi_version: v1\n",
        encoding="utf-8",
    )
    judge = load_judge("azure-gpt-4", include=[tmp_path])
    assert (judge.model, judge.kind, judge.base_url) == ("gpt-4", "azure", "https://mine.example")


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_list_names_every_judge() -> None:
    lines = invoke("list").splitlines()
    assert [line.split()[0] for line in lines] == SHIPPED
    rows = json.loads(invoke("list", "--json"))
    assert rows[SHIPPED.index("pocket")]["kind"] == "function"


def test_show_says_whether_a_key_is_set_and_never_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-marked-fake-key")
    text = invoke("show", "gpt-4.1")
    assert "model: gpt-4.1-2025-04-14" in text
    assert "# its key is set in OPENAI_API_KEY" in text
    assert "sk-marked" not in text + invoke("show", "gpt-4.1", "--json")
    monkeypatch.delenv("OPENAI_API_KEY")
    assert json.loads(invoke("show", "gpt-4.1", "--json"))["key"] == {"variable": "OPENAI_API_KEY", "set": False}


def test_show_says_that_a_cost_cannot_be_estimated(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("description: d\nmodel: m\n", encoding="utf-8")
    assert "# no prices" in invoke("show", str(path))
    assert "# no prices" not in invoke("show", "pocket")


@pytest.mark.parametrize(
    "address", ["http://user:marked-pw@host/v1", "http://host/v1?api_key=marked-pw", "http://h/#marked-pw"]
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(address: str, tmp_path: Path) -> None:
    path = tmp_path / "leaky.yaml"
    path.write_text(f"description: a test\nmodel: m\nbase_url: {address}\n")
    with pytest.raises(UsageError, match="base_url") as error:
        load_judge(path)
    assert "marked-pw" not in str(error.value)


def test_only_endpoints_want_a_key() -> None:
    kinds = {"openai": "OPENAI_API_KEY", "vllm-serve": None, "reward-model": None}
    for kind, wanted in kinds.items():
        assert JudgeRecipe(name="j", description="d", model="m", kind=kind).wanted_key == wanted
