"""Tasks outside the eight, through lm-eval over our engine, against lm-eval's own command on the same model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.recipes.load import load_task
from ropo_bench.recipes.task import Column
from ropo_bench.scoring import ESTIMATORS
from ropo_bench.scoring.commonsense.average import macro_mean
from ropo_bench.statistics.cells import measure
from ropo_bench.types.engines import Engine
from tests.scoring.lm_eval.definitions import questions, rows, sums, write
from tests.scoring.lm_eval.oracle import (
    SYSTEM,
    Samples,
    column,
    engine_of,
    lm_eval,
    percent,
    recipe,
    responses,
    scores,
)

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("definitions"))


@pytest.fixture(scope="module")
def engine(base_folder: Path) -> Engine:
    return engine_of(base_folder, "hf")


@pytest.fixture(scope="module")
def theirs(tasks: Path, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Samples, Any]:
    return lm_eval("hf", base_folder, tasks, tmp_path_factory.mktemp("out"))


@pytest.mark.slow
def test_every_item_is_that_of_lm_evals_own_command(
    tasks: Path, base_folder: Path, engine: Engine, theirs: tuple[Samples, Any], tmp_path: Path
) -> None:
    samples, results = theirs
    choice = scores(engine, base_folder, recipe(tmp_path, "tiny_choice", tasks))
    assert column(choice, "acc") == percent(samples, "tiny_choice", "acc")
    assert column(choice, "acc_norm") == percent(samples, "tiny_choice", "acc_norm")
    assert set(column(choice, "acc").values()) == {0.0, 100.0}
    [whole] = [one for one in choice if one.metric == "brier_score"]
    assert whole.value == pytest.approx(results["tiny_choice"]["brier_score,none"], abs=1e-5)
    assert "no mean" in whole.detail["whole"]

    maths = scores(engine, base_folder, recipe(tmp_path, "tiny_maths", tasks))
    for filter_ in ("strict-match", "flexible-extract"):
        assert column(maths, f"exact_match/{filter_}") == percent(samples, "tiny_maths", "exact_match", filter_)
        own = [sample["filtered_resps"] for _, sample in sorted(samples["tiny_maths", filter_].items())]
        assert responses(maths, f"exact_match/{filter_}") == own
    assert any(sample["resps"][0][0] for sample in samples["tiny_maths", "strict-match"].values())

    orders = scores(engine, base_folder, recipe(tmp_path, "tiny_orders", tasks))
    assert column(orders, "prompt_level_strict_acc") == percent(samples, "tiny_orders", "prompt_level_strict_acc")
    parts = list(column(orders, "inst_level_strict_acc").values())
    own = samples["tiny_orders", "none"]
    assert parts == [100.0 * value for id in sorted(own) for value in own[id]["inst_level_strict_acc"]]
    total = results["tiny_orders"]["inst_level_strict_acc,none"]
    assert sum(value or 0 for value in parts) / len(parts) == pytest.approx(100 * total, abs=1e-9)
    assert len({one.cluster for one in orders}) == 4


def test_a_group_is_its_tasks_mean_each_counting_the_same(
    tasks: Path, base_folder: Path, engine: Engine, theirs: tuple[Samples, Any], tmp_path: Path
) -> None:
    samples, results = theirs
    task = recipe(tmp_path, "tiny_group", tasks)
    assert [one.metric for one in task.columns] == ["acc", "acc/tiny_east", "acc/tiny_west"]
    assert task.columns[0].estimator == "macro_mean"
    assert "macro_mean" in ESTIMATORS
    found = scores(engine, base_folder, task)
    for name in ("tiny_east", "tiny_west"):
        assert column(found, f"acc/{name}") == percent(samples, name, "acc")
    measured = measure(task.name, task.columns, [found], {"macro_mean": macro_mean})
    keys = ("tiny_group", "tiny_east", "tiny_west")
    assert [one.value for one in measured] == pytest.approx([100 * results[key]["acc,none"] for key in keys])
    assert measured[1].value != measured[2].value


def test_rolling_likelihoods_beyond_the_context(
    tasks: Path, base_folder: Path, engine: Engine, theirs: tuple[Samples, Any], tmp_path: Path
) -> None:
    _, results = theirs
    task = recipe(tmp_path, "tiny_texts", tasks)
    found = scores(engine, base_folder, task)
    assert [one.metric for one in task.columns] == ["word_perplexity", "byte_perplexity", "bits_per_byte"]
    assert {(one.better, one.estimator) for one in task.columns} == {("lower", "census")}
    for metric in ("word_perplexity", "byte_perplexity", "bits_per_byte"):
        [value] = column(found, metric).values()
        assert value == pytest.approx(results["tiny_texts"][f"{metric},none"], rel=1e-6)
    [cell, *_] = measure(task.name, task.columns, [found], {})
    assert (cell.n, cell.standard_error) == (1, None)


@pytest.mark.slow
def test_chat_template_few_shots_and_system_instruction(
    tasks: Path, base_folder: Path, engine: Engine, tmp_path: Path
) -> None:
    switches = ["--apply_chat_template", "--system_instruction", SYSTEM, "--num_fewshot", "3", "--limit", "4"]
    switches += ["--gen_kwargs", "max_gen_toks=9"]
    names = "tiny_choice,tiny_maths"
    samples, _ = lm_eval("hf", base_folder, tasks, tmp_path / "out", *switches, names=names)
    options: dict[str, Any] = {
        "apply_chat_template": True,
        "system_instruction": SYSTEM,
        "num_fewshot": 3,
        "limit": 4,
    }
    options["gen_kwargs"] = {"max_gen_toks": 9}
    choice = scores(engine, base_folder, recipe(tmp_path, "tiny_choice", tasks, **options))
    assert column(choice, "acc") == percent(samples, "tiny_choice", "acc")
    theirs = [
        float(logp) for _, one in sorted(samples["tiny_choice", "none"].items()) for logp, _ in one["filtered_resps"]
    ]
    ours = [logp for response in responses(choice, "acc") for logp, _ in response]
    assert ours == pytest.approx(theirs, abs=2e-4)
    maths = scores(engine, base_folder, recipe(tmp_path, "tiny_maths", tasks, **options))
    own = [one["filtered_resps"] for _, one in sorted(samples["tiny_maths", "strict-match"].items())]
    assert responses(maths, "exact_match/strict-match") == own
    assert len(own) == 4


def test_local_data_in_place_of_a_tasks_own(tasks: Path, base_folder: Path, engine: Engine, tmp_path: Path) -> None:
    rows(tmp_path / "other.jsonl", questions(80, 3))
    given = {"data_files": {"test": str(tmp_path / "other.jsonl")}, "cache_dir": str(tmp_path / "cache")}
    task = recipe(tmp_path, "tiny_choice", tasks, num_fewshot=0, dataset_path="json", dataset_kwargs=given)
    assert list(column(scores(engine, base_folder, task), "acc")) == [f"tiny_choice:{i}" for i in range(3)]
    broken = recipe(
        tmp_path, "tiny_choice", tasks, dataset_path="json", dataset_kwargs=given
    )  # two shots of no split
    with pytest.raises(UsageError, match=r"tiny_choice: its data cannot be had .* options\.dataset_kwargs") as caught:
        scores(engine, base_folder, broken)
    assert "\n" not in str(caught.value)


def test_a_shipped_definition_over_local_files_or_none(base_folder: Path, engine: Engine, tmp_path: Path) -> None:
    given = {"data_files": {"train": str(tmp_path / "train.jsonl"), "test": str(tmp_path / "test.jsonl")}}
    rows(tmp_path / "train.jsonl", sums(30, 4))
    rows(tmp_path / "test.jsonl", sums(0, 3))
    path = tmp_path / "gsm8k.yaml"
    options = {"task": "gsm8k", "num_fewshot": 2, "limit": 2, "gen_kwargs": {"max_gen_toks": 4}}
    options |= {"dataset_path": "json", "dataset_kwargs": {**given, "cache_dir": str(tmp_path / "cache")}}
    path.write_text(json.dumps({"scorer": "lm-eval", "options": options}))
    found = scores(engine, base_folder, load_task(path))
    for filter_ in ("strict-match", "flexible-extract"):
        assert list(column(found, f"exact_match/{filter_}")) == ["gsm8k:0", "gsm8k:1"]
    with pytest.raises(UsageError, match="lm-eval task gsm8k: its data cannot be had") as caught:
        scores(engine, base_folder, load_task("lm-eval:gsm8k"))
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_measured_is_told(
    tasks: Path, base_folder: Path, engine: Engine, tmp_path: Path
) -> None:
    task = recipe(tmp_path, "tiny_texts", tasks, limit=1)
    wrong = task.model_copy(update={"columns": [Column(metric="acc", header="acc")]})
    with pytest.raises(UsageError, match=r"gave no acc, .* it gave word_perplexity, byte_perplexity, bits_per_byte"):
        scores(engine, base_folder, wrong)


def test_a_tag_and_a_group_over_other_files(tasks: Path, base_folder: Path, engine: Engine, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for part in ("east", "west"):
        (own / f"{part}.yaml").write_text((tasks / f"{part}.yaml").read_text() + "tag: tiny_parts\n")
    for name in ("_part_yaml", "group.yaml"):
        (own / name).write_text((tasks / name).read_text())
    rows(tmp_path / "other.jsonl", questions(80, 3))
    kwargs = {"data_files": {"test": str(tmp_path / "other.jsonl")}, "cache_dir": str(tmp_path / "cache")}
    for name in ("tiny_parts", "tiny_group"):
        task = recipe(tmp_path, name, own, dataset_kwargs=kwargs)
        assert (task.columns[0].metric, task.columns[0].estimator) == ("acc", "macro_mean")
        found = scores(engine, base_folder, task)
        assert len(column(found, "acc")) == 6
        assert [len(column(found, f"acc/tiny_{part}")) for part in ("east", "west")] == [3, 3]
