"""A report worked by hand, for the tests of the page: four rows, hostile texts, and as many samples as wanted."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ropo_bench.leaderboard.board import Column, Leaderboard, Row
from ropo_bench.report.sections import SECTIONS, tradeoffs, win_rates
from ropo_bench.report.sections.categories import Category
from ropo_bench.report.sections.distinct_n import Diversity
from ropo_bench.report.sections.drift import Drift
from ropo_bench.report.sections.forgetting import Forgetting
from ropo_bench.report.sections.learning_rates import RateCurve, RatePoint
from ropo_bench.report.sections.samples import Answer, Battle, Samples, Verdict
from ropo_bench.report.sections.section import D, Part, ReportData, Section
from ropo_bench.report.sections.stored import StoredRun
from ropo_bench.report.sections.tradeoffs import Length
from ropo_bench.report.sections.trajectories import Trajectory
from ropo_bench.runs.reading import Run
from ropo_bench.store import Store
from ropo_bench.types import Comparison, Measurement
from tests.stored_run import record, request

HOSTILE = (
    '<img src=x onerror="document.title=1">',
    "</script><script>document.title = 2</script><!-- <script>",
    "[click](javascript:document.title=3) javascript:alert(1)",
    "\u202eabc\u202c \u05e9\u05dc\u05d5\u05dd \u0000 null, \u001b[31m, \u2028 and \ud83d half a pair",
    "{{ 7 * 7 }} {% raw %} &lt;b&gt; &amp; <b>bold</b>",
)
ROWS = ("SFT", "dpo", "ropo", "oft")
COLUMNS = (
    Column("pocket-chat", "score", "chat", 2, "higher", tested=True),
    Column("pocket-arena", "win_rate", "WR % †", 1, "higher", tested=True),
    Column("pocket-arena", "length", "tokens", 1, "none"),
    Column("energy", "energy_drift", "max HE drift", 6, "none"),
)


def _cell(task: str, metric: str, value: float | None, error: float | None, n: int = 240, **more: Any) -> Measurement:
    bounds = {} if value is None or error is None else {"low": value - 2 * error, "high": value + 2 * error}
    return Measurement(task, metric, value, error, n, **{"n_unscored": 0, "num_seeds": 3, **bounds, **more})


def _row(name: str, chat: float, win_rate: float, tokens: float, drift: float, **more: Any) -> Row:
    cells = [
        _cell("pocket-chat", "score", chat, 0.11, 159 if name == "ropo" else 160, n_unscored=int(name == "ropo")),
        _cell("pocket-arena", "win_rate", win_rate, 0.0 if name == "SFT" else 1.3),
        _cell("pocket-arena", "length", tokens, 0.8),
        _cell("energy", "energy_drift", drift, None, 28),
    ]
    return Row(name, seeds=(0, 1, 2), cells={(each.task, each.metric): each for each in cells}, **more)


def board() -> Leaderboard:
    rows = [
        _row("dpo", 6.9, 54.1, 33.0, 2.1e-4, trainable_params=3_279_104, percent=100.0, train_seconds=31.4),
        _row("ropo", 7.31, 60.2, 31.5, 3e-9, trainable_params=5616, percent=0.171, train_seconds=20.6),
        Row("oft", state="failed: certificate: mean KL 0.3 <script>alert(1)</script>"),
        _row("SFT", 6.2, 50.0, 30.9, 0.0, reference=True),
    ]
    differences = (
        ("pocket-arena", "win_rate", "ropo", "SFT", 10.2, 1.3, 0.0001),
        ("pocket-arena", "win_rate", "dpo", "SFT", 4.1, 1.3, 0.03),
        ("pocket-arena", "win_rate", "ropo", "dpo", 6.1, 1.5, 0.004),
        ("pocket-chat", "score", "ropo", "SFT", 1.11, 0.2, 0.0001),
        ("pocket-chat", "score", "dpo", "SFT", 0.7, 0.2, 0.01),
        ("pocket-chat", "score", "ropo", "dpo", 0.41, 0.2, 0.2),
    )
    comparisons = [
        Comparison(task, metric, a, b, d, e, 9.0, d - 2.3 * e, d + 2.3 * e, p / 3, 240, "crossed t", p)
        for task, metric, a, b, d, e, p in differences
    ]
    provenance = {
        "ropo_bench": "0.1.0",
        "code": {"commit": "1b87905b23760a55", "dirty": True},
        "packages": {"torch": "2.13.0", "peft": "0.21.2"},
        "hardware": {"cpu": "a <cpu>", "cores": 2, "memory_bytes": 16 << 30, "gpus": []},
        "time_utc": "2026-01-02T03:04:05Z",
    }
    footers = ["a cell without ± is a census", "judge: pocket grader <world> on pocket-chat", "seeds: 0, 1, 2"]
    return Leaderboard("Report on night <1> · base pocket:sft", rows, COLUMNS, footers, comparisons, provenance)


def _answer(row: str, seed: int, texts: Sequence[str], value: float | None) -> Answer:
    verdict: Verdict | None = None
    if value is not None and row != "SFT":
        verdict = "won" if value > 50 else "lost" if value < 50 else "tie"
    return Answer(row, seed, tuple(texts), 31, value, (), "scored" if value is not None else "unparsable", verdict)


def battles(count: int = 40, characters: int = 120, seeds: int = 1, rows: Sequence[str] = ROWS) -> list[Battle]:
    """Prompt i holds "prompt-i" and, cyclically, a hostile text; every seventh has an answer without a score."""
    draw = random.Random(0)
    words = ["quiet", "river", "because", "seven", "lantern", "walks", "under", "copper", "morning", "answer"]
    text = " ".join(draw.choice(words) for _ in range(characters))
    found = []
    for i in range(count):
        answers = []
        for seed in range(seeds):
            for j, row in enumerate(rows):
                start = draw.randrange(40)
                value = None if i % 7 == 3 and j == 1 else 50.0 if row == "SFT" else draw.choice((20.0, 50.0, 80.0))
                own = f"{row} {HOSTILE[(i + j) % len(HOSTILE)]} {text[start : start + characters]}"
                answers.append(_answer(row, seed, [own], value))
        category = ("writing", "maths", "advice")[i % 3]
        prompt = (f"prompt-{i} {HOSTILE[i % len(HOSTILE)]}",)
        found.append(Battle("pocket-arena", f"item-{i}", category, prompt, "win_rate", "SFT", (), tuple(answers)))
    return found


def stored(table: Leaderboard) -> StoredRun:
    """A run of which nothing is stored but its table."""
    return StoredRun(Run(Store(Path("nowhere")), "nowhere", record(request())), table)


def filled(table: Leaderboard, found: Mapping[str, Any]) -> ReportData:
    """A report on a table, with what was found for some of its sections, by name."""
    run = stored(table)
    of_table = {
        section.name: section.gather(run) for section in (win_rates.SECTION, tradeoffs.PARAMETERS, tradeoffs.SECONDS)
    }
    return ReportData(table, [Part(section, {**of_table, **found}.get(section.name)) for section in SECTIONS])


def replaced(data: ReportData, section: Section[D], found: D) -> ReportData:
    """The report with other data for one section."""
    parts = [Part(section, found) if part.section.name == section.name else part for part in data.parts]
    return replace(data, parts=parts)


def report_data(count: int = 40, characters: int = 120, seeds: int = 1) -> ReportData:
    rows = ("dpo", "ropo")
    steps = tuple(range(1, 41))
    trajectories = [
        Trajectory(
            row,
            seed,
            steps,
            {
                "logps/chosen": tuple(-60.0 - 0.2 * i - seed for i in steps),
                "logps/rejected": tuple(-70.0 - (0.3 if row == "dpo" else 0.2) * i for i in steps),
                "rewards/margins": tuple(0.002 * i for i in steps),
                "loss": tuple(0.6931 - 0.001 * i for i in steps),
            },
        )
        for row in rows
        for seed in range(3)
    ]
    rates = [1e-5 * 4**i for i in range(6)]
    rate_curves = [
        RateCurve(
            row,
            "pocket-validation win_rate",
            (
                *(RatePoint(lr, 50.0 + i, 46.0 + i, 54.0 + i) for i, lr in enumerate(rates[:-1])),
                RatePoint(rates[-1], None, None, None),
            ),
            rates[-2],
            53.0,
        )
        for row in rows
    ]
    modules = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
    drifts = [
        Drift(row, layer, module, 2e-4 * (row == "dpo"), 1e-3 * layer * (row == "dpo"), 0.01)
        for row in rows
        for layer in range(4)
        for module in modules
    ]
    kinds = ("writing", "maths", "advice")
    categories = [
        Category("pocket-chat", row, kind, _cell("pocket-chat", f"score/{kind}", 6.0 + i + 0.3 * j, 0.3, 20))
        for i, kind in enumerate(kinds)
        for j, row in enumerate(("SFT", *rows))
    ]
    diversity = [
        Diversity(
            "diversity",
            row,
            n,
            _cell("diversity", f"d{n}", 50.0 + 9 * n, 1.0, 48),
            _cell("d", "d", 47.0 + 9 * n, 1.0, 48),
            22.4,
            26.0,
        )
        for row in ("SFT", *rows)
        for n in (1, 2, 3, 4)
    ]
    forgetting = [
        Forgetting(
            "facts",
            kind,
            row,
            Comparison("facts", "accuracy", row, "SFT", -1.5, 1.0, 40.0, -3.5, 0.5, 0.1, 60, "exact McNemar"),
        )
        for kind in ("job", "animal")
        for row in rows
    ]
    found = {
        "learning-rates": rate_curves,
        "trajectories": trajectories,
        "energy-drift": drifts,
        "angle-drift": drifts,
        "categories": categories,
        "distinct-n": diversity,
        "forgetting": forgetting,
        "samples": Samples(battles(count, characters, seeds)),
    }
    return filled(board(), found)


def with_lengths(data: ReportData) -> ReportData:
    """The report with mean lengths of answers."""
    rows = {"SFT": 30.0, "dpo": 33.0, "ropo": 31.5}
    lengths = [Length("pocket-arena", row, Measurement("", "", value, 0.5, 9, 0)) for row, value in rows.items()]
    return replaced(data, tradeoffs.LENGTH, lengths)


def draw(section: Section[Any], data: ReportData) -> Any:
    """The figure of one section, as it is drawn for the report."""
    return Part(section, data.of(section)).figure(data.board)


def points(panel: Any) -> list[tuple[float, float]]:
    """Where markers stand in a panel: lines of a single point."""
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in panel.lines if len(line.get_xdata()) == 1]
