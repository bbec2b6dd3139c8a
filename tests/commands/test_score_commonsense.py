"""`ropo-bench score commonsense`: a model folder's accuracies, without a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.commands.score.commonsense import checkpoint_dtype, score_commonsense_command
from ropo_bench.errors import UsageError


def printed(capsys: pytest.CaptureFixture[str], model: str, tasks: str) -> Any:
    score_commonsense_command(Path(model), tasks, "hf", 4, json=True, dtype="float32")
    return json.loads(capsys.readouterr().out)["rows"]


def test_accuracies_and_their_average(assets: Path, base_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [row] = printed(capsys, str(base_folder), "openbookqa, winogrande")
    metrics = row["metrics"]
    assert list(metrics) == ["accuracy/openbookqa", "accuracy_norm/openbookqa", "accuracy/winogrande", "average"]
    each = [metrics[f"accuracy/{task}"]["value"] for task in ("openbookqa", "winogrande")]
    assert metrics["average"]["value"] == pytest.approx(sum(each) / 2)
    assert (metrics["average"]["n"], metrics["accuracy/winogrande"]["n"]) == (8, 4)
    assert row["backend"] == "hf"
    assert "only the first 4 items of each task" in row["notes"]
    assert any("commonsense/openbookqa/test.jsonl" in note for note in row["notes"])


def test_an_unknown_task_is_named_before_a_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')  # no model that could be loaded
    with pytest.raises(UsageError, match=r"some of boolq, .* given \['obqa'\]"):
        score_commonsense_command(tmp_path, "obqa", "hf", None, json=True)


def test_an_adapter_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(UsageError, match="merge it first"):
        score_commonsense_command(tmp_path, "all", "hf", None, json=True)


@pytest.mark.parametrize(
    ("config", "dtype"),
    [({"dtype": "bfloat16"}, "bfloat16"), ({"torch_dtype": "float16"}, "float16"), ({}, "float32")],
)
def test_dtype_of_a_checkpoint(config: dict[str, str], dtype: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert checkpoint_dtype(tmp_path) == dtype
