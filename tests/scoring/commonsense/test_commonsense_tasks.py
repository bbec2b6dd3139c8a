"""Eight commonsense tasks, item by item as lm-eval's own command has them."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.generation import start
from ropo_bench.recipes.suite import VllmRecipe
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.scoring.commonsense.data import TASKS, asset_name, data_of, load_tasks
from ropo_bench.scoring.commonsense.likelihood import score
from ropo_bench.scoring.lm_eval.lm import engine_lm, make_lm, run_tasks
from ropo_bench.sources.assets import read_jsonl
from ropo_bench.sources.shipped import POCKET_ASSETS
from ropo_bench.training.core.choices import choice_logps
from ropo_bench.types import Score
from ropo_bench.types.engines import ChoiceLogps, Engine, Subject
from tests.forked import python

POCKET = POCKET_ASSETS / "sft"
LM_EVAL = "import runpy; runpy.run_module('lm_eval', run_name='__main__')"
LIMIT = 8
NORMED = ("piqa", "hellaswag", "arc_easy", "arc_challenge", "openbookqa")


def recipe(**options: object) -> TaskRecipe:
    return TaskRecipe(
        name="commonsense",
        description="a test",
        scorer="commonsense",
        options=dict(options),
        columns=[Column(metric="accuracy", header="average", estimator="macro_mean")],
    )


def subject(folder: Path, shared: ChoiceLogps | None = choice_logps) -> Subject:
    found: list[Engine] = []

    def engine() -> Engine:
        found.extend([] if found else [start(folder, "hf", "float32", VllmRecipe())])
        return found[0]

    return Subject(folder, folder, engine, shared)


def likelihoods(samples: dict[str, list[dict[str, Any]]]) -> list[float]:
    return [logp for found in samples.values() for one in found for logp, _ in one["filtered_resps"]]


def choices(samples: dict[str, list[dict[str, Any]]]) -> list[tuple[float, list[bool]]]:
    """Of every item its accuracy, and whether each answer is the greedy one."""
    items = [item for task in samples.values() for item in task]
    return [(item["acc"], [greedy for _, greedy in item["filtered_resps"]]) for item in items]


def by_item(scores: list[Score], metric: str) -> dict[str, Score]:
    return {one.item: one for one in scores if one.metric == metric}


@pytest.fixture(scope="module")
def pocket_scores(assets: Path) -> list[Score]:
    """The pocket model's, of the first LIMIT items of every task."""
    return score(recipe(limit=LIMIT), subject(POCKET))


def test_every_item_with_what_was_chosen(pocket_scores: list[Score]) -> None:
    scores = pocket_scores
    average = by_item(scores, "accuracy")
    assert len(average) == LIMIT * 8
    for name in TASKS:
        items = by_item(scores, f"accuracy/{name}")
        assert list(items) == [f"{name}:{i}" for i in range(LIMIT)]
        for item, one in items.items():
            logps = one.detail["logps"]
            assert one.detail["prediction"] == logps.index(max(logps))
            assert one.value == 100 * (one.detail["prediction"] == one.detail["target"]) == average[item].value
            assert one.detail["data"] == asset_name(name)
            assert average[item].detail == {"task": name}
        assert len(by_item(scores, f"accuracy_norm/{name}")) == LIMIT * (name in NORMED)


def test_targets_are_the_data_sets_own(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = score(recipe(limit=6, tasks=["winogrande", "arc_easy", "social_iqa"]), subject(POCKET))
    assert capsys.readouterr().err == ""  # neither progress bars nor log lines of lm-eval
    rows = {name: read_jsonl(asset_name(name))[:6] for name in ("winogrande", "arc_easy", "social_iqa")}
    right = {
        **{f"winogrande:{i}": int(row["answer"]) - 1 for i, row in enumerate(rows["winogrande"])},
        **{
            f"arc_easy:{i}": row["choices"]["label"].index(row["answerKey"]) for i, row in enumerate(rows["arc_easy"])
        },
        **{f"social_iqa:{i}": int(row["label"]) - 1 for i, row in enumerate(rows["social_iqa"])},
    }
    assert {one.item: one.detail["target"] for one in scores if "target" in one.detail} == right


@pytest.mark.parametrize("short", [False, True])
def test_any_engine_gives_what_lm_evals_own_model_gives(assets: Path, base_folder: Path, short: bool) -> None:
    """Also where the context is too short: 512 bytes, which few passages of BoolQ fit into."""
    model = subject(base_folder if short else POCKET)
    data = data_of(recipe(tasks=["boolq", "winogrande"] if short else list(TASKS)))
    theirs = run_tasks(make_lm(replace(model, choice_logps=None), 1), load_tasks(data), limit=3)
    packed = run_tasks(make_lm(model, 1), load_tasks(data), limit=3)
    assert likelihoods(packed) == pytest.approx(likelihoods(theirs), rel=1e-6, abs=1e-4)
    assert choices(packed) == choices(theirs)
    ours = run_tasks(engine_lm(model.engine()), load_tasks(data), limit=3)
    assert likelihoods(ours) == pytest.approx(likelihoods(theirs), abs=2e-3)
    assert [[one["acc"] for one in ours[name]] for name in data] == [
        [one["acc"] for one in theirs[name]] for name in data
    ]
    if short:
        assert any(len(one["arguments"][0][0].encode()) > 600 for one in ours["boolq"])


@pytest.mark.slow
def test_same_accuracies_as_lm_evals_own_command(assets: Path, tmp_path: Path, pocket_scores: list[Score]) -> None:
    members = []
    for name, source in TASKS.items():
        data = tmp_path / f"{name}.jsonl"
        data.write_bytes(gzip.decompress((assets / f"{asset_name(name)}.gz").read_bytes()))
        files = {"data_files": {source.split: str(data)}, "cache_dir": str(tmp_path / "cache")}
        splits = {f"{split}_split": None for split in ("training", "validation", "test")}
        splits[f"{source.split}_split"] = source.split
        members.append(
            {"task": name, "dataset_path": "json", "dataset_name": None, "dataset_kwargs": files, **splits}
        )
    (tmp_path / "local.yaml").write_text(json.dumps({"group": "local_eight", "task": members}))
    arguments = ["run", "--model", "hf", "--model_args", f"pretrained={POCKET},dtype=float32"]
    arguments += ["--tasks", "local_eight", "--limit", str(LIMIT), "--include_path", str(tmp_path)]
    arguments += ["--output_path", str(tmp_path / "out"), "--device", "cpu"]
    theirs_own = python(LM_EVAL, *arguments, HF_DATASETS_OFFLINE="1")
    _, errors = theirs_own.communicate(timeout=280)
    assert theirs_own.returncode == 0, errors
    [path] = (tmp_path / "out").rglob("results_*.json")
    theirs = json.loads(path.read_text())["results"]

    for name in TASKS:
        for metric, key in (("accuracy", "acc,none"), ("accuracy_norm", "acc_norm,none")):
            items = by_item(pocket_scores, f"{metric}/{name}").values()
            assert bool(items) == (key in theirs[name])
            if items:
                assert sum(one.value or 0.0 for one in items) / LIMIT == pytest.approx(
                    100 * theirs[name][key], abs=1e-9
                )


def test_without_local_files_it_is_the_hubs_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ROPO_BENCH_ASSETS", raising=False)
    monkeypatch.setenv("ROPO_BENCH_CACHE", str(tmp_path))
    assert data_of(recipe(tasks=["boolq", "arc_easy"])) == {
        "boolq": "hub:aps/super_glue",
        "arc_easy": "hub:allenai/ai2_arc",
    }
    with pytest.raises(UsageError, match=r"commonsense/boolq/validation\.jsonl"):
        data_of(recipe(data="local"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)  # whatever the user's own holds
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match=r"lighteval/siqa cannot be had .* --assets DIR") as caught:
        score(recipe(tasks="social_iqa"), subject(POCKET))
    assert "\n" not in str(caught.value)


def test_few_shot_examples_come_from_the_hub(assets: Path) -> None:
    assert data_of(recipe(tasks="piqa")) == {"piqa": "commonsense/piqa/validation.jsonl"}
    assert data_of(recipe(tasks="piqa", num_fewshot=5)) == {"piqa": "hub:baber/piqa"}
    with pytest.raises(UsageError, match="training split"):
        data_of(recipe(num_fewshot=5, data="local"))


@pytest.mark.parametrize("options", [{"tasks": ["boolq", "obqa"]}, {"tasks": []}, {"data": "mirror"}])
def test_wrong_options_say_what_there_is(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"options\.(tasks must name some of boolq|data must be auto)"):
        score(recipe(**options), subject(POCKET))
