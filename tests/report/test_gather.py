"""From a stored run to a report's data, and what it says of what is missing."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from statistics import fmean

import pytest

from ropo_bench.commands.report import report_command
from ropo_bench.pipeline import run
from ropo_bench.report import gather
from ropo_bench.report.sections import distinct_n, drift, samples, tradeoffs, trajectories
from ropo_bench.report.sections.section import D, ReportData, Section
from ropo_bench.request import Asked, resolve
from ropo_bench.runs.reading import open_run
from ropo_bench.runs.record import RowRecord
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress
from tests import tiny_suite

DIVERSE = """description: two samples of two turns
prompts: {prompts}
decoding: {{max_new_tokens: 12, temperature: 1.0, num_samples: 2}}
scorer: diversity
columns: [{{metric: distinct_1, header: dist-1}}]
"""


@pytest.fixture(scope="module")
def store(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the run `tiny`: SFT and ropo with two seeds."""
    folder = tmp_path_factory.mktemp("report")
    tiny_suite.write(folder, base_folder)
    (folder / "tasks" / "tiny-diverse.yaml").write_text(DIVERSE.format(prompts=folder / "prompts.jsonl"))
    tasks = "tiny-arena,energy,tiny-diverse"
    asked = Asked("ropo", "tiny", 2, None, None, tasks, None, "hf", [], [], [folder], False)
    found = Store(folder / "runs")
    with Progress() as progress:
        run(resolve(asked), found, "tiny", progress)
    return found


@pytest.fixture(scope="module")
def data(store: Store) -> ReportData:
    return gather(open_run(store, "tiny"))


def of(data: ReportData, section: Section[D]) -> D:
    """What the report has for a section that cannot be empty."""
    found = data.of(section)
    assert found is not None
    return found


def test_gathering_again_gives_the_same(store: Store, data: ReportData) -> None:
    assert gather(open_run(store, "tiny")) == data


def test_trajectories_are_the_logs_of_training(data: ReportData) -> None:
    assert [(each.row, each.seed) for each in of(data, trajectories.SECTION)] == [("ropo", 0), ("ropo", 1)]
    for each in of(data, trajectories.SECTION):
        assert each.steps == tuple(range(1, 13))  # 12 pairs, 4 a batch, 4 epochs
        assert each.values["loss"][0] == pytest.approx(log(2), abs=1e-4)
        assert {"logps/chosen", "logps/rejected", "rewards/margins"} <= each.values.keys()
        assert all(len(values) == 12 for values in each.values.values())


def test_a_rotation_keeps_the_energy_of_every_module(data: ReportData) -> None:
    drifts = of(data, drift.ENERGY)
    assert drifts == of(data, drift.ANGLE)
    assert {each.row for each in drifts} == {"ropo"}
    assert len(drifts) == 2 * 7  # layers, linear modules
    assert all(0 <= (each.energy_drift or 0.0) < 1e-6 for each in drifts)
    assert {each.layer for each in drifts} == {0, 1}


def test_battles_agree_with_the_table(data: ReportData) -> None:
    battles = of(data, samples.SECTION).battles
    assert [battle.prompt_id for battle in battles] == ["p0", "p1", "p2", "p3"]
    worth = {"won": 100.0, "tie": 50.0, "lost": 0.0, None: 0.0}
    ours = [worth[a.verdict] for battle in battles for a in battle.answers if a.row == "ropo"]
    assert len(ours) == 4 * 2
    row = next(row for row in data.board.rows if row.name == "ropo")
    assert fmean(ours) == row.cells["tiny-arena", "win_rate"].value
    assert all(battle.opponent == "SFT" for battle in battles)
    assert {a.verdict for battle in battles for a in battle.answers if a.row == "SFT"} == {None}


def test_diversity_is_of_every_row_at_no_more_words_than_before(data: ReportData) -> None:
    diversity = of(data, distinct_n.SECTION)
    assert [(each.row, each.n) for each in diversity] == [(row, n) for row in ("SFT", "ropo") for n in (1, 2, 3, 4)]
    assert all(0 < each.num_words <= each.whole_words for each in diversity)
    assert len({each.num_words for each in diversity}) == 1  # matched


def test_lengths_are_those_of_the_table(data: ReportData) -> None:
    (length,) = [
        each.measurement for each in of(data, tradeoffs.LENGTH) if (each.task, each.row) == ("tiny-arena", "ropo")
    ]
    row = next(row for row in data.board.rows if row.name == "ropo")
    assert length.value == row.cells["tiny-arena", "length"].value


def test_of_a_finished_run_only_what_it_does_not_measure_is_left_out(data: ReportData) -> None:
    assert data.left_out == dict.fromkeys(("learning-rates", "categories", "forgetting"), "this run has none")


def test_of_an_unfinished_run_the_report_says_what_is_missing(store: Store) -> None:
    record = open_run(store, "tiny").record
    *done, last = record.rows
    pending = RowRecord(name=last.name, seed=last.seed)
    store.write_run("half", record.model_copy(update={"rows": [*done, pending]}).model_dump())
    half = gather(open_run(store, "half"))
    assert half.left_out["trajectories"] == "not there yet: ropo seed 1"
    assert half.left_out["win-rates"] == "nothing of it is there yet"  # a row waits for all its seeds
    assert half.left_out["distinct-n"] == "not there yet: ropo"
    assert half.left_out["samples"] == "not there yet: ropo seed 1"
    assert len(of(half, trajectories.SECTION)) == 1


def test_without_the_energy_task_the_certificates_tell_the_drift(store: Store, data: ReportData) -> None:
    record = open_run(store, "tiny").record
    record.request.tasks = [task for task in record.request.tasks if task.name != "energy"]
    store.write_run("certified", record.model_dump())
    measured = {(each.layer, each.module): each for each in of(data, drift.ENERGY)}
    certified = of(gather(open_run(store, "certified")), drift.ENERGY)
    assert {each.module for each in certified} == {"self_attn.q_proj", "self_attn.v_proj"}  # what ropo trains
    for each in certified:
        other = measured[each.layer, each.module]
        assert each.angle_drift == pytest.approx(other.angle_drift, rel=0.5, abs=1e-7)


def test_the_command_writes_one_page_and_its_figures(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report_command(["tiny"], tmp_path / "out", True, store.root)
    (written,) = json.loads(capsys.readouterr().out)["reports"]
    page = Path(written["page"])
    assert page.read_text().startswith("<!doctype html>")
    assert page.stat().st_size == written["bytes"] < 1_000_000
    files = sorted(path.name for path in (tmp_path / "out" / "figures").iterdir())
    assert sorted(Path(path).name for path in written["figures"]) == files
    assert {"win-rates.svg", "win-rates.pdf", "win-rates.png", "trajectories.svg"} <= set(files)
    assert written["left_out"]["forgetting"] == "this run has none"
