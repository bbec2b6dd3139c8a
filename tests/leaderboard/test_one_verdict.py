"""One pair, one verdict: a table, a comparison, a claim and a report say the same of the same two rows."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ropo_bench.claims import decide_claims, read_claims
from ropo_bench.commands.compare import compare_command
from ropo_bench.leaderboard import leaderboard
from ropo_bench.publishing.scores import from_bytes
from ropo_bench.recipes.suite import PrimaryRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.report import gather
from ropo_bench.runs.items import write_scores
from ropo_bench.runs.reading import open_run
from ropo_bench.runs.record import RowRecord
from ropo_bench.store import Store, content_key
from ropo_bench.types import Comparison
from tests import stored_run

PUBLISHED = Path(__file__).parents[2] / "results" / "pocket"
Key = tuple[str, str, frozenset[str]]


def by_pair(comparisons: Any) -> dict[Key, Comparison]:
    return {(c.task, c.metric, frozenset((c.a, c.b))): c for c in comparisons}


def compared(
    store: Store, run: str, rows: list[str], capsys: pytest.CaptureFixture[str]
) -> dict[Key, dict[str, Any]]:
    """What `compare` prints of all pairs of these rows, tested columns alone."""
    capsys.readouterr()
    compare_command(run, None, ",".join(rows), 0, store.root, True)
    found = json.loads(capsys.readouterr().out)
    return {
        (column["task"], column["metric"], frozenset((pair["a"], pair["b"]))): column["comparison"]
        for pair in found["pairs"]
        for column in pair["columns"]
        if column["tested"] and column["comparison"] is not None
    }


def check(store: Store, run: str, folder: Path, capsys: pytest.CaptureFixture[str], num_claims: int) -> int:
    """Hold every way of asking against the table; returns how many comparisons it has."""
    opened = open_run(store, run)
    board = leaderboard(opened)
    table = by_pair(board.comparisons)
    rows = [row.name for row in board.rows]
    assert by_pair(gather(opened).board.comparisons) == table
    again = compared(store, run, rows, capsys)
    assert again.keys() == table.keys()
    for key, known in table.items():
        assert again[key]["p_value"] == pytest.approx(known.p_value, rel=1e-9)
        assert again[key]["adjusted"] == pytest.approx(known.adjusted, rel=1e-9)
    two = sorted(next(iter(table))[2])
    alone = compared(store, run, two, capsys)
    assert all(alone[key]["p_value"] == pytest.approx(table[key].p_value, rel=1e-9) for key in alone)
    chosen = [list(table.values())[place] for place in np.random.default_rng(0).permutation(len(table))[:num_claims]]
    path = folder / "claims.yaml"
    path.write_text("".join(f"- {c.a} > {c.b} on {c.task}.{c.metric}\n" for c in chosen))
    for comparison, decided in zip(chosen, decide_claims(opened, read_claims(path)), strict=True):
        assert decided.numbers is not None
        evidence = decided.numbers.evidence
        assert evidence.p_at is not None
        assert evidence.p_at(0.0) == pytest.approx(comparison.p_value, rel=1e-9)
        assert (evidence.low, evidence.high) == pytest.approx((comparison.low, comparison.high))
    return len(table)


@pytest.mark.slow
def test_of_the_published_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All comparisons of the committed reference run, from its scores."""
    store = Store(tmp_path / "runs")
    recipe = json.loads((PUBLISHED / "recipe.json").read_text())
    tasks = [TaskRecipe.model_validate(task) for task in recipe["tasks"]]
    tested = [
        task.model_copy(update={"columns": [column for column in task.columns if task.is_tested(column)]})
        for task in tasks
    ]
    tested = [task for task in tested if task.columns]
    scores = from_bytes((PUBLISHED / "scores.jsonl.gz").read_bytes(), "scores")
    rows = []
    for name in scores[tested[0].name]:
        for seed in range(len(scores[tested[0].name][name])):
            keys = {}
            for task in tested:
                stage = store.stage("scores", content_key("scores", {"row": name, "seed": seed, "task": task.name}))
                with stage.begin():
                    write_scores(stage, scores[task.name][name][seed])
                    stage.finish({"num_failed": 0, "num_scores": 1, "num_prompts": 1, "seconds": 0.0})
                keys[task.name] = stage.key
            rows.append(RowRecord(name=name, seed=seed, state="done", scores=keys))
    asked = stored_run.request([task.model_dump() for task in tested])
    store.write_run("published", stored_run.record(asked, rows).model_dump())
    num_rows = len(scores[tested[0].name])
    assert check(store, "published", tmp_path, capsys, 25) == len(tested) * len(
        list(combinations(range(num_rows), 2))
    )


@pytest.mark.parametrize("seed", range(4))
def test_of_random_records(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of one seed and of several, with and without primary comparisons."""
    draw = np.random.default_rng(seed)
    store = Store(tmp_path / "runs")
    rows: dict[str, Any] = {}
    for name in ("SFT", "a", "b", "c", "d"):
        num_seeds = 1 if name == "SFT" else int(draw.integers(1, 4)) if seed % 2 else 3
        rows[name] = [
            {
                "arena": {
                    "win_rate": (50.0 * draw.integers(0, 3, 24)).tolist(),
                    "length": draw.normal(50, 5, 24).tolist(),
                },
                "quiz": {"accuracy": (100.0 * (draw.random(30) < draw.random())).tolist()},
            }
            for _ in range(num_seeds)
        ]
    record = stored_run.write(store, "one", rows)
    if seed > 1:
        primary = PrimaryRecipe(against="SFT", columns=["arena.win_rate"])
        asked = record.request.model_copy(
            update={"suite": record.request.suite.model_copy(update={"primary": primary})}
        )
        store.write_run("one", stored_run.record(asked, record.rows).model_dump())
    assert check(store, "one", tmp_path, capsys, 8) == 20
