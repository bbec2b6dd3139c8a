"""Claims about methods: when a run supports a sentence, when it contradicts it, and how often that is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from scipy.special import stdtr, stdtrit

from ropo_bench.claims import decide_claims, exit_code, read_claims
from ropo_bench.claims.check import difference_evidence
from ropo_bench.claims.needs import needs
from ropo_bench.claims.rule import ALPHA, Evidence, Region, decide
from ropo_bench.commands.claims import claims_command
from ropo_bench.errors import UsageError
from ropo_bench.runs.reading import open_run
from ropo_bench.statistics.comparisons import subtract
from ropo_bench.statistics.crossed import sample_parts
from ropo_bench.statistics.sample import Sample
from ropo_bench.store import Store
from tests import stored_run

INF = math.inf


def written(folder: Path, text: str) -> Path:
    path = folder / "claims.yaml"
    path.write_text(text)
    return path


def known(estimate: float, standard_error: float, degrees: float) -> Evidence:
    """What a t test says."""
    half = float(stdtrit(degrees, 0.975)) * standard_error
    low, high = estimate - half, estimate + half
    return Evidence(
        estimate, standard_error, degrees, low, high,
        lambda border: float(2 * stdtr(degrees, -abs(estimate - border) / standard_error)),
    )  # fmt: skip


def certain(estimate: float) -> Evidence:
    return known(estimate, 1.0, 1e6)


@pytest.mark.parametrize(
    ("estimate", "region", "verdict"),
    [
        (5.0, Region(low=2), "SUPPORTED"),
        (3.0, Region(low=2), "UNDERPOWERED"),  # [1.04, 4.96]
        (1.0, Region(low=2), "UNDERPOWERED"),  # on the wrong side, but only by noise
        (-1.0, Region(low=2), "NOT SUPPORTED"),
        (-5.0, Region(high=-2), "SUPPORTED"),
        (-1.0, Region(low=-3.5), "SUPPORTED"),  # not worse by 3.5: [-2.96, 0.96]
        (-2.0, Region(low=-3.5), "UNDERPOWERED"),
        (0.5, Region(-3, 3), "SUPPORTED"),
        (0.5, Region(-2, 2), "UNDERPOWERED"),
        (6.0, Region(-3, 3), "NOT SUPPORTED"),
        (-6.0, Region(-3, 3), "NOT SUPPORTED"),
    ],
)
def test_the_truth_table(estimate: float, region: Region, verdict: str) -> None:
    (decision,) = decide([certain(estimate)], [region])
    assert decision is not None
    assert decision.verdict == verdict


def test_few_degrees_of_freedom_decide_less() -> None:
    (decision,) = decide([known(2.5, 1.0, 2.0)], [Region(low=0)])
    assert decision is not None
    assert decision.verdict == "UNDERPOWERED"
    assert decision.p_support == pytest.approx(0.0648, abs=5e-4)  # t table: P(T_2 > 2.5)


def test_every_claim_of_a_file_makes_the_others_harder() -> None:
    alone = decide([certain(2.1)], [Region(low=0)])[0]
    among = decide([certain(2.1), certain(0.0), None], [Region(low=0)] * 3)
    assert alone is not None
    assert alone.verdict == "SUPPORTED"
    assert among[0] is not None
    assert among[0].verdict == "UNDERPOWERED"
    assert among[0].p_support == pytest.approx(3 * alone.p_support)
    assert among[2] is None


def test_a_claim_that_becomes_known_takes_no_verdict_back() -> None:
    regions = [Region(low=0)] * 2
    before = decide([certain(2.3), None], regions)[0]
    for estimate in (-9.0, 0.0, 9.0):
        after = decide([certain(2.3), certain(estimate)], regions)[0]
        assert before is not None
        assert after is not None
        assert after.verdict == before.verdict == "SUPPORTED"


def test_the_test_and_the_interval_must_both_say_so() -> None:
    few_battles = Evidence(10.0, 4.0, None, 2.2, 17.8, lambda border: 0.0625)
    (decision,) = decide([few_battles], [Region(low=0)])
    assert decision is not None
    assert decision.verdict == "UNDERPOWERED"
    assert decision.p_support == 0.03125
    (decision,) = decide([Evidence(10.0, 4.0, None, -0.1, 20.1, lambda border: 0.01)], [Region(low=0)])
    assert decision is not None
    assert decision.verdict == "UNDERPOWERED"


def test_a_census_is_decided_by_its_value_and_no_variation_by_nothing() -> None:
    found = decide([Evidence(0.2, None), Evidence(0.2, None)], [Region(high=0.5), Region(low=0.5)])
    assert [one and one.verdict for one in found] == ["SUPPORTED", "NOT SUPPORTED"]
    (decision,) = decide([Evidence(100.0, 0.0, None, 100.0, 100.0)], [Region(low=90)])
    assert decision is not None
    assert decision.verdict == "UNDERPOWERED"


@pytest.mark.parametrize("side", [1, -1])
def test_a_file_holds_a_wrong_verdict_in_at_most_five_percent(side: int) -> None:
    """Claims at their margins, three seeds' worth of degrees: false ones (side 1) and true ones (side -1)."""
    draw = np.random.default_rng(0)
    num_files, degrees = 3000, 4.0
    regions = [Region(low=0), Region(low=2), Region(high=-1), Region(-3, 3), Region(low=7)]
    truth = np.array([0.0, 2, -1, 3, 7]) - side * 1e-9 * np.array([1, 1, -1, -1, 1])
    wrong = 0
    for _ in range(num_files):
        shared = draw.normal()  # claims of one file lean on the same runs
        errors = np.sqrt(draw.chisquare(degrees, 5) / degrees)
        estimates = truth + 0.7 * shared + np.sqrt(1 - 0.49) * draw.normal(size=5)
        evidence = [known(e, s, degrees) for e, s in zip(estimates, errors, strict=True)]
        verdicts = {one.verdict for one in decide(evidence, regions) if one is not None}
        wrong += ("SUPPORTED" if side == 1 else "NOT SUPPORTED") in verdicts
    share = wrong / num_files
    assert share < ALPHA + 3 * math.sqrt(ALPHA / num_files)
    assert share > 0.005  # the rule does not keep its promise by deciding nothing


def test_the_exit_code_says_the_worst_news() -> None:
    assert exit_code(["SUPPORTED"]) == 0
    assert exit_code(["SUPPORTED", "UNDERPOWERED"]) == 3
    assert exit_code(["UNDERPOWERED", "PENDING"]) == 4
    assert exit_code(["INCOMPLETE", "SUPPORTED"]) == 4
    assert exit_code(["UNDERPOWERED", "INCOMPLETE", "NOT SUPPORTED"]) == 1


def noisy(truth: float, seed: int, num: int = 60) -> dict[str, Any]:
    """Grades of one seed: prompts differ, and rows share how hard they are."""
    hard = np.random.default_rng(7).normal(0, 3, num)
    own = np.random.default_rng(seed).normal(0, 1, num)
    return {"quiz": {"accuracy": [float(value) for value in truth + hard + own]}}


def verdicts(store: Store, folder: Path, *sentences: str) -> dict[str, str]:
    path = written(folder, "".join(f"- {sentence}\n" for sentence in sentences))
    return {one.claim.text: one.verdict for one in decide_claims(open_run(store, "one"), read_claims(path))}


def test_claims_of_a_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    rows = {
        "SFT": [noisy(50, 0)],
        "better": [noisy(58, seed) for seed in (1, 2, 3)],
        "same": [noisy(50, seed) for seed in (4, 5, 6)],
        "later": None,
        "holed": [{"quiz": {"accuracy": [None, *noisy(50, 9)["quiz"]["accuracy"][1:]]}}] * 3,
    }
    stored_run.write(store, "one", rows, [stored_run.QUIZ])
    expected = {
        "better > same on quiz.accuracy by >= 2": "SUPPORTED",
        "same > better on quiz.accuracy": "NOT SUPPORTED",
        "better > same on quiz.accuracy by >= 8": "UNDERPOWERED",
        "same = SFT on quiz.accuracy within 4": "SUPPORTED",
        "better on quiz.accuracy >= 48": "SUPPORTED",
        "later > same on quiz.accuracy": "PENDING",
        "holed < better on quiz.accuracy": "INCOMPLETE",
    }
    assert verdicts(store, tmp_path, *expected) == expected


@pytest.mark.parametrize(
    ("sentence", "column", "words"),
    [
        ("bettr > same on quiz.accuracy", 3, "no row 'bettr'; did you mean 'better'?"),
        ("better > sane on quiz.accuracy", 12, "no row 'sane'; did you mean 'same'?"),
        ("better > same on quizz.accuracy", 20, "no task 'quizz'; did you mean 'quiz'?"),
        ("better on quiz.acuracy > 3", 18, "no column 'acuracy'; did you mean 'accuracy'?"),
    ],
)
def test_a_name_that_the_run_lacks_is_named_with_its_column(
    tmp_path: Path, sentence: str, column: int, words: str
) -> None:
    store = Store(tmp_path / "runs")
    stored_run.write(store, "one", {"better": [noisy(53, 1)], "same": [noisy(50, 2)]}, [stored_run.QUIZ])
    with pytest.raises(UsageError) as caught:
        verdicts(store, tmp_path, sentence)
    assert f"claims.yaml:1:{column}: " in str(caught.value)
    assert words in str(caught.value)


def test_the_command_prints_what_it_decided_and_exits_accordingly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "runs")
    stored_run.write(store, "one", {"better": [noisy(53, 1)], "same": [noisy(50, 2)]}, [stored_run.QUIZ])
    path = written(tmp_path, "- {claim: better > same on quiz.accuracy, id: main}\n")
    claims_command("one", path, store.root, False)
    text = capsys.readouterr().out
    assert "SUPPORTED     main: better > same on quiz.accuracy" in text
    assert "60 prompts, 1 seed: about this checkpoint" in text
    written(tmp_path, "- better > same on quiz.accuracy by >= 3\n")
    with pytest.raises(typer.Exit) as caught:
        claims_command("one", path, store.root, True)
    assert caught.value.exit_code == 3
    found = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == 3
    (claim,) = found["claims"]
    assert claim["region"] == [3.0, None]
    assert claim["low"] < claim["estimate"] < claim["high"]
    assert claim["prompts_needed"] > 60
    assert claim["seeds_needed"] is None


def graded(draw: np.random.Generator, truth: float, seed_noise: float, seeds: int, prompts: int) -> Sample:
    values_SC = truth + seed_noise * draw.normal(size=(seeds, 1)) + draw.normal(size=(seeds, prompts))
    return Sample.linear([f"p{i}" for i in range(prompts)], values_SC)


def test_what_is_needed_is_enough() -> None:
    """A difference of 0.3 under noise of one: with the prompts that are asked for, about 80 % find it."""
    draw = np.random.default_rng(1)
    asked = [needs(graded(draw, 0.3, 0, 1, 40), 0.3, 0.025).prompts for _ in range(40)]
    count = int(np.median([n for n in asked if n is not None]))
    found = 0
    for _ in range(400):
        sample = graded(draw, 0.3, 0, 1, count)
        parts = sample_parts(sample)
        assert parts is not None
        found += sample.value > float(parts.half_width())
    assert count == pytest.approx((1.96 + 0.84) ** 2 / 0.3**2, rel=0.25)
    assert 0.68 < found / 400 < 0.92


def test_seeds_are_needed_where_seeds_decide() -> None:
    draw = np.random.default_rng(2)
    a, b = (graded(draw, truth, 1.0, 3, 200) for truth in (1.0, 0.0))
    both = subtract(a, b)
    assert both is not None
    found = needs(both, 1.0, 0.025)
    assert found.prompts is None  # more prompts do not average seeds
    assert found.seeds is not None
    assert found.seeds > 3


def test_three_seeds_of_real_scores_keep_the_promise() -> None:
    """False claims, at their margins, through the comparison itself; seeds bring as much noise as prompts."""
    draw = np.random.default_rng(3)
    margins: Sequence[float] = (0.0, 2.0, -1.0)
    wrong, num_files = 0, 60
    for _ in range(num_files):
        evidence = [
            difference_evidence(
                {"a": graded(draw, margin, 0.2, 3, 30), "b": graded(draw, 0.0, 0.2, 3, 30)}, "a", "b"
            )[0]
            for margin in margins
        ]
        decided = decide(evidence, [Region(low=margin) for margin in margins])
        wrong += any(one is not None and one.verdict == "SUPPORTED" for one in decided)
    assert wrong / num_files < ALPHA + 3 * math.sqrt(ALPHA / num_files)
