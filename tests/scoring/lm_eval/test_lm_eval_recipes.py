"""From names and options to recipes and keys, without lm-eval being imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.recipes.lm_eval.index import index, scan
from ropo_bench.recipes.load import load_suite, load_task
from ropo_bench.scoring import data_of
from ropo_bench.scoring.lm_eval.values import averages, values_of
from tests.scoring.lm_eval.definitions import questions, rows, write

SUITE = "description: a test\nbase: pocket:sft\ndata: pocket:preference\ntasks: [{tasks}]\n"


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> None:
    index()


def long_form(folder: Path, **options: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(json.dumps({"scorer": "lm-eval", "options": options}))
    return path


@pytest.mark.usefixtures("_kept")
def test_columns_of_a_name_are_its_metrics() -> None:
    gsm8k = load_task("lm-eval:gsm8k")
    assert (gsm8k.name, gsm8k.scorer, gsm8k.options) == ("lm-eval:gsm8k", "lm-eval", {"task": "gsm8k"})
    assert [one.metric for one in gsm8k.columns] == ["exact_match/strict-match", "exact_match/flexible-extract"]
    assert [one.bounds for one in gsm8k.columns] == [(0.0, 100.0)] * 2
    levels = [f"{level}_level_{how}_acc" for how in ("strict", "loose") for level in ("prompt", "inst")]
    assert [one.metric for one in load_task("lm-eval:ifeval").columns] == levels
    wikitext = load_task("lm-eval:wikitext").columns
    assert [(one.metric, one.better, one.bounds) for one in wikitext] == [
        ("word_perplexity", "lower", None),
        ("byte_perplexity", "lower", None),
        ("bits_per_byte", "lower", None),
    ]
    mmlu = load_task("lm-eval:mmlu").columns
    assert [one.metric for one in mmlu[:5]] == [
        "acc",
        "acc/mmlu_stem",
        "acc/mmlu_other",
        "acc/mmlu_social_sciences",
        "acc/mmlu_humanities",
    ]
    assert len(mmlu) == 5 + 57


def test_nothing_imports_lm_eval_before_it_scores() -> None:
    code = (
        "import sys\nfrom ropo_bench.recipes.load import load_task\nfrom ropo_bench.scoring import data_of\n"
        "data_of(load_task('lm-eval:gsm8k'))\nassert 'lm_eval' not in sys.modules\nassert 'torch' not in sys.modules"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr


def test_a_suite_names_lm_evals_tasks(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE.format(tasks="energy, lm-eval:gsm8k"))
    assert load_suite(path).tasks == ["energy", "lm-eval:gsm8k"]
    path.write_text(SUITE.format(tasks="energy, lm-eval:gsm8"))
    with pytest.raises(UsageError, match=r"mine\.yaml:4: tasks: lm-eval has no task 'gsm8'; did you mean 'gsm8k'\?"):
        load_suite(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "gsm8k", "num_fewshots": 5}, r"options: unknown key 'num_fewshots'; did you mean 'num_fewshot'\?"),
        ({"task": "gsm8k", "limit": "all"}, "options: limit"),
        ({"num_fewshot": 5}, "options: missing key 'task'"),
        ({"task": "gsm8k", "fewshot_as_multiturn": True}, "needs options.apply_chat_template"),
        ({"task": "gsm8k", "include_path": "/nowhere"}, "no such folder: /nowhere"),
    ],
)
def test_wrong_options_are_refused_with_a_hint(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_task(long_form(tmp_path, **options))


def test_other_data_and_another_definition_are_other_keys(tmp_path: Path) -> None:
    tasks = write(tmp_path / "made")
    recipe = load_task(long_form(tmp_path, task="tiny_group", include_path=str(tasks)))
    first = data_of(recipe)
    assert sorted(first["definition"]) == ["_part_yaml", "east.yaml", "group.yaml", "west.yaml"]
    assert len(first["data"]) == 2
    rows(tmp_path / "made" / "data" / "west.jsonl", questions(60, 8))
    second = data_of(recipe)
    assert second["definition"] == first["definition"]
    assert second["data"] != first["data"]
    (tasks / "_part_yaml").write_text((tasks / "_part_yaml").read_text() + "num_fewshot: 0\n")
    assert data_of(recipe)["definition"] != first["definition"]
    orders = load_task(long_form(tmp_path, task="tiny_orders", include_path=str(tasks)))
    assert sorted(data_of(orders)["definition"]) == ["orders.py", "orders.yaml"]
    other = {"data_files": {"test": str(tmp_path / "other.jsonl")}}
    mine = long_form(tmp_path, task="tiny_choice", include_path=str(tasks), dataset_path="json", dataset_kwargs=other)
    with pytest.raises(UsageError, match=r"tiny_choice: no such data file: .*other\.jsonl"):
        data_of(load_task(mine))
    rows(tmp_path / "other.jsonl", questions(0, 2))
    assert list(data_of(load_task(mine))["data"]) == [str(tmp_path / "other.jsonl")]


def test_names_are_found_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "_shared").write_text('tag:\n- "all of it"\n- sums\noutput_type: multiple_choice\n')
    (tmp_path / "a.yaml").write_text('"task": "quoted"\n"include": _shared\n')
    (tmp_path / "b.yaml").write_text("include: _shared\ntask: 'plain'  # not this\ntag: [sums]\n")
    (tmp_path / "c.yaml").write_text("group: both\ntask:\n  - quoted\n  - task: plain\n")
    (tmp_path / "d.yaml").write_text("task: plain\n")
    found = scan(tmp_path)
    assert {name: entry.kind for name, entry in found.items()} == {
        "quoted": "task",
        "plain": "task",
        "both": "group",
        "all of it": "tag",
        "sums": "tag",
    }
    assert found["sums"].members == ("plain", "quoted")
    assert found["plain"].path == str(tmp_path / "b.yaml")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_index_is_lm_evals_own() -> None:
    from lm_eval.tasks import TaskManager

    ours, theirs = index(), TaskManager().task_index
    kinds = {"TASK": "task", "PY_TASK": "task", "GROUP": "group", "TAG": "tag"}
    assert {name: entry.kind for name, entry in ours.items()} == {
        name: kinds[entry.kind.name] for name, entry in theirs.items()
    }
    for name, entry in theirs.items():
        if entry.yaml_path is None:
            assert set(ours[name].members) == entry.tags
        else:
            assert ours[name].path == str(entry.yaml_path.resolve())


def test_what_is_a_mean_is_seen_by_what_it_does() -> None:
    def mean(values: list[Any]) -> float:
        return sum(values) / len(values)

    def of_all(values: list[Any]) -> float:
        return mean([one for part in values for one in part])

    assert averages(mean, nested=False)
    assert averages(of_all, nested=True)
    assert not averages(max, nested=False)
    assert not averages(lambda values: sorted(values)[len(values) // 2], nested=False)
    assert not averages(lambda values: mean([mean(part) for part in values]), nested=True)
    samples = [{"metrics": ["m"], "m": value, "doc_id": i} for i, value in enumerate([0.0, 0.0])]
    assert values_of(samples, "m", 0.0, max).rows is None
    assert values_of(samples, "m", 0.0, mean).rows == [[0.0], [0.0]]
