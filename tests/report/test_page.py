"""The report's page as text: what is escaped, what stands in the tables, and what incomplete runs look like."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from ropo_bench.leaderboard.board import Leaderboard, Row
from ropo_bench.report.page import page
from ropo_bench.report.page.board import shown_board
from ropo_bench.report.page.embed import json_block
from ropo_bench.report.page.findings import comparison_table, findings
from ropo_bench.report.page.provenance import facts
from ropo_bench.report.sections import SECTIONS, samples
from ropo_bench.report.sections.samples import Samples
from ropo_bench.report.sections.section import Part, ReportData
from tests.report.page_example import HOSTILE, battles, board, replaced, report_data


def test_a_json_block_cannot_end_its_script_and_reads_back() -> None:
    block = json_block(list(HOSTILE))
    assert not re.search("[<>&\u2028\ud83d]", block)
    assert json.loads(block) == list(HOSTILE)
    block.encode()


def test_only_the_pages_own_script_may_run() -> None:
    html = page(report_data(), {})
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in html
    assert "default-src 'none'" in html
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", html)


def test_names_and_reasons_are_escaped() -> None:
    html = page(report_data(), {})
    assert "<title>Report on night &lt;1&gt; · base pocket:sft</title>" in html
    assert "<script>alert(1)" not in html
    assert "pocket grader &lt;world&gt;" in html


def test_the_same_data_give_the_same_bytes() -> None:
    assert page(report_data(), {}) == page(report_data(), {})


def test_the_board_has_values_letters_and_sentences() -> None:
    shown = shown_board(board())
    assert [row.name for row in shown.rows] == ["SFT", "dpo", "ropo", "oft"]
    ropo = shown.rows[2]
    chat, win_rate = ropo.cells[:2]
    assert (chat.text.value, chat.text.error, chat.text.coverage) == ("7.31", "0.11", "(159/160)")
    assert chat.says == (
        "ropo, pocket-chat chat: 7.31 ± 0.11; 95 % interval [7.09, 7.53]; 159 of 160 items scored; 3 seeds; "
        "not separated from dpo."
    )
    assert (chat.text.best, win_rate.text.best) == (False, True)
    assert [header.order for header in shown.headers[:4]] == ["descending", "descending", "descending", "descending"]
    assert {header.order for header in shown.headers[4:]} == {"ascending"}
    assert shown.rows[3].state.startswith("failed: certificate")
    assert shown.rows[3].cells[0].number is None


def test_findings_say_what_differs_and_stand_only_once() -> None:
    told = findings(board())
    assert len(told) == 2
    assert told[1].startswith("On pocket-arena WR % †, ropo is better than SFT by 10.2 ± 1.3 points (Holm p < 0.001)")
    notes = shown_board(board()).notes
    assert "a cell without ± is a census" in notes
    assert not {line.rstrip(".").lower() for line in told} & {note.lower() for note in notes}
    assert not any(note.startswith("judge:") for note in notes)  # among the provenance


def test_all_paired_differences_are_listed_the_clearest_first() -> None:
    table = comparison_table(board())
    assert table is not None
    assert [line.head for line in table.lines][:3] == ["ropo − SFT", "dpo − SFT", "ropo − dpo"]
    assert [line.strong for line in table.lines] == [True, True, False, True, True, True]
    assert table.lines[2].cells == ["pocket-chat chat", "+0.41", "−0.05 to 0.87", "0.200", "240", "crossed t"]


def test_an_empty_run_has_a_page() -> None:
    empty = Leaderboard("new", [Row("SFT", state="pending", reference=True), Row("dpo", state="pending")], [])
    assert findings(empty) == ["There is nothing to compare yet: 0 of 2 rows are measured."]
    parts = [Part(section) for section in SECTIONS if section is not samples.SECTION]
    html = page(ReportData(empty, [*parts, Part(samples.SECTION, None, "nothing is judged yet")]), {})
    assert "Not shown: nothing is judged yet" in html
    assert 'id="battles"' not in html


def test_tables_of_numbers() -> None:
    found = {part.section.name: tables for part in report_data().parts if (tables := part.tables())}
    assert set(found) == {"categories", "trajectories", "energy-drift", "angle-drift", "distinct-n", "forgetting"}
    dpo = found["trajectories"][0].lines[0]
    # First and last four of 40 steps, mean over seeds: -61 - 0.2 * 2.5 and -61 - 0.2 * 38.5.
    assert (dpo.head, *dpo.cells[:3]) == ("dpo", "−61.5", "−68.7", "−7.2")
    assert found["forgetting"][0].lines[0].cells[0] == "−1.5 (−3.5 to +0.5)"
    assert found["categories"][0].lines[0].cells == ["6.00 ± 0.30", "6.30 ± 0.30", "6.60 ± 0.30"]
    assert found["angle-drift"][0].lines[0].cells == ["0.003", "0"]


def test_provenance_is_readable() -> None:
    told = dict(facts(board()))
    assert told["judge"] == "pocket grader <world> on pocket-chat"
    assert told["code"] == "commit 1b87905b23760a55, dirty yes"
    assert told["hardware"] == "cpu a <cpu>, cores 2, memory 16.0 GiB, gpus none"


def test_the_data_block_holds_every_answer() -> None:
    shown = battles(3, seeds=2)
    data = replaced(report_data(), samples.SECTION, Samples(shown))
    block = re.search(r'id="battles">(.*?)</script>', page(data, {}), re.DOTALL)
    assert block is not None
    read = json.loads(block[1])
    assert [len(each["answers"]) for each in read] == [8, 8, 8]
    assert read[0]["answers"][1]["turns"] == list(shown[0].answers[1].turns)
