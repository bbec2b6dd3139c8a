"""The gate's verdicts: unchanged nights go, losses are suspected, confirmed or withdrawn."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.gate.cell_numbers import CellVerdict
from ropo_bench.gate.decision import Rules, decide
from ropo_bench.gate.evidence import Baseline, evidence
from ropo_bench.gate.night import Column, Night, Row
from tests.gate.nights import cell, night

ROLLING = Baseline()


def nights(count: int, seed: int = 0, centre: float = 6.0, sd: float = 0.1) -> list[Night]:
    """Unchanged nights of three seeds."""
    draw = random.Random(seed)
    return [night(number, [draw.gauss(centre, sd) for _ in range(3)]) for number in range(1, count + 1)]


def rows(values: Sequence[float]) -> dict[str, Row]:
    return {"ropo": Row("done", {"chat.score": cell(values)})}


def one(
    tonight: Night,
    history: Sequence[Night],
    baseline: Baseline = ROLLING,
    rules: Rules | None = None,
    again: Mapping[str, Row] | None = None,
) -> CellVerdict:
    (found,) = decide(tonight, history, baseline, rules, again).cells
    return found


@pytest.mark.parametrize("baseline", [ROLLING, Baseline(night(1, [6.0, 6.1, 5.9]))])
def test_an_unchanged_night_is_go_and_a_loss_is_suspected(baseline: Baseline) -> None:
    history = nights(14)
    good = decide(night(20, [6.0, 6.05, 5.95]), history, baseline)
    assert (good.verdict, good.exit_code, good.suspects) == ("GO", 0, [])
    bad = decide(night(20, [5.0, 5.05, 4.95]), history, baseline)
    assert (bad.verdict, bad.exit_code) == ("SUSPECTED", 3)
    (found,) = bad.cells
    assert found.difference == pytest.approx(-1.0, abs=0.1)
    assert found.low is not None
    assert found.margin is not None
    assert found.low < -found.margin < 0


def test_a_re_run_confirms_or_withdraws_a_suspicion() -> None:
    history, bad = nights(14), night(20, [5.0, 5.05, 4.95])
    confirmed = decide(bad, history, ROLLING, again=rows([5.1, 5.0, 5.2]))
    assert (confirmed.verdict, confirmed.exit_code) == ("REGRESSION", 1)
    withdrawn = decide(bad, history, ROLLING, again=rows([6.0, 6.1, 5.9]))
    assert (withdrawn.verdict, withdrawn.exit_code) == ("INCONCLUSIVE", 3)
    failed = decide(bad, history, ROLLING, again={"ropo": Row("failed: no memory", {})})
    assert failed.verdict == "INCOMPLETE"


def test_where_lower_is_better_a_rise_is_the_loss() -> None:
    columns = {"chat.score": Column(2, "lower", True)}
    history = [replace(one, columns=columns) for one in nights(14)]
    assert decide(night(20, [5.0, 5.0, 5.1], columns=columns), history, ROLLING).verdict == "GO"
    assert decide(night(20, [7.0, 7.0, 7.1], columns=columns), history, ROLLING).verdict == "SUSPECTED"


def test_an_unchanged_rerun_is_go_however_often_and_without_any_noise_floor() -> None:
    history = [night(number, [6.0], "same") for number in range(1, 30)]
    for baseline in (ROLLING, Baseline(night(0 + 1, [6.0], "same"))):
        found = decide(night(30, [6.0], "same"), history, baseline)
        assert found.verdict == "GO"


def test_without_a_noise_floor_a_loss_is_open_and_says_how_to_learn_it() -> None:
    found = one(night(9, [3.0]), [night(1, [6.0])])
    assert found.verdict == "INCONCLUSIVE"
    assert "--repeat-seeds" in found.reason
    repeated = night(1, [6.0], repeats=[rows([value]) for value in (5.9, 6.1, 6.05, 5.95, 6.0)])
    assert one(night(9, [3.0]), [repeated]).verdict == "SUSPECTED"


def test_nights_of_the_same_seeds_alone_are_no_noise_floor() -> None:
    history = [night(number, [6 + 0.001 * number]) for number in range(1, 15)]
    assert one(night(20, [5.9]), history).verdict == "INCONCLUSIVE"


def test_a_spread_of_zero_makes_no_rounding_difference_a_regression() -> None:
    history = [night(number, [6.0, 6.0, 6.0]) for number in range(1, 15)]
    assert one(night(20, [6.0 - 1e-9] * 3), history).verdict == "GO"
    assert one(night(20, [5.996] * 3), history).verdict == "GO"
    assert one(night(20, [5.9] * 3), history).verdict == "SUSPECTED"


def test_one_item_of_many_is_no_regression() -> None:
    # 92 % of 300 facts; seeds change nothing, and tonight one fact is answered otherwise.
    columns = {"chat.score": Column(1, "higher", True)}

    def facts(number: int, value: float) -> Night:
        found = replace(cell([value] * 3, items=300), standard_error=1.57)
        return night(number, [], columns=columns, rows={"ropo": Row("done", {"chat.score": found})})

    history = [facts(number, 92.0) for number in range(1, 15)]
    assert one(facts(20, 92.0 - 100 / 300), history).verdict == "INCONCLUSIVE"
    assert one(facts(20, 92.0 - 1000 / 300), history).verdict == "SUSPECTED"


def test_the_margin_of_a_suite_decides_what_matters() -> None:
    history, tonight = nights(14), night(20, [5.5, 5.45, 5.55])
    assert one(tonight, history).verdict == "SUSPECTED"
    wide = one(tonight, history, rules=Rules(margins={"chat.score": 1.0}))
    assert (wide.verdict, wide.margin) == ("GO", 1.0)
    narrow = one(night(20, [5.98, 6.0, 6.0]), history, rules=Rules(margins={"chat.score": 0.01}))
    assert narrow.verdict == "INCONCLUSIVE"


def test_missing_and_failed_rows_are_incomplete() -> None:
    history = nights(14)
    failed = night(20, [6.0], rows={"ropo": Row("failed: NaN", {})})
    found = decide(failed, history, ROLLING)
    assert (found.verdict, found.exit_code, found.cells[0].reason) == ("INCOMPLETE", 4, "failed: NaN")
    gone = night(20, [6.0], rows={"dpo": Row("done", {"chat.score": cell([6.0, 6.0, 6.1])})})
    assert {cell.row: cell.verdict for cell in decide(gone, history, ROLLING).cells} == {
        "ropo": "INCOMPLETE",
        "dpo": "INCONCLUSIVE",
    }


def test_other_items_are_not_compared() -> None:
    tonight = night(20, [], rows={"ropo": Row("done", {"chat.score": cell([5.0, 5.1, 4.9], items=90)})})
    assert one(tonight, nights(14)).reason == "nothing to compare with yet"


def test_the_first_night_is_open() -> None:
    assert decide(night(1, [6.0, 6.1, 5.9]), [], ROLLING).exit_code == 3


def test_the_reference_row_and_other_columns_are_not_watched() -> None:
    both = {"SFT": Row("done", {"chat.score": cell([1.0])}, True), **rows([6.0, 6.1, 5.9])}
    columns = {"chat.score": Column(2, "higher", True), "chat.length": Column(1, "none", False)}
    tonight = night(20, [], rows=both, columns=columns)
    assert [(cell.row, cell.column) for cell in decide(tonight, nights(14), ROLLING).cells] == [
        ("ropo", "chat.score")
    ]
    with pytest.raises(UsageError, match=r"chat\.length: not in this run, or without a better direction"):
        decide(tonight, nights(14), ROLLING, Rules(columns=["chat.length"]))
    with pytest.raises(UsageError, match="nothing to watch"):
        decide(night(20, [], rows={}), [], ROLLING)


def test_a_regression_never_becomes_the_baseline() -> None:
    history = nights(14)
    for number in range(15, 28):
        bad = night(number, [5.0, 5.1, 4.9])
        found = decide(bad, history, ROLLING, again=rows([5.0, 5.1, 4.9]))
        assert found.verdict == "REGRESSION", number
        history.append(replace(bad, verdict=found.verdict, verdicts=found.by_row()))


def test_a_slow_drift_is_found_though_the_rolling_baseline_follows_it() -> None:
    draw = random.Random(4)
    history = nights(10, seed=4)
    for number in range(11, 80):
        loss = 0.003 * (number - 10)  # a twentieth of a night's standard deviation
        tonight = night(number, [draw.gauss(6.0 - loss, 0.1) for _ in range(3)])
        found = one(tonight, history)
        if "drifted" in found.reason:
            break
        history.append(tonight)
    assert found.reason == "drifted below the anchor; a re-run with fresh seeds decides"
    assert found.drift == 1.0
    withdrawn = one(tonight, history, again=rows([6.0, 6.1, 5.9]))
    assert withdrawn.verdict == "INCONCLUSIVE"
    assert withdrawn.reason == "drifted below the anchor, but not again with fresh seeds"
    back = night(80, [6.0, 6.05, 5.95])
    assert one(back, [*history, tonight]).verdict == "GO"


def test_a_new_anchor_forgets_what_was_before() -> None:
    old, new = nights(10), [replace(one, time=f"2026-02-{i + 1:02d}") for i, one in enumerate(nights(7, 1, 5.0))]
    new[0] = replace(new[0], anchor=True)
    tonight = night(1, [5.0, 5.1, 4.9])
    found = one(replace(tonight, time="2026-03-01"), [*old, *new])
    assert found.verdict == "GO"
    assert found.baseline == pytest.approx(5.0, abs=0.1)


def test_stored_results_that_are_shown_again_are_no_further_evidence() -> None:
    alone = evidence("ropo", "chat.score", night(9, [5.5, 5.6, 5.7]), [night(1, [6.0, 6.1, 6.2], "a")], ROLLING)
    often = evidence(
        "ropo",
        "chat.score",
        night(9, [5.5, 5.6, 5.7]),
        [night(number, [6.0, 6.1, 6.2], "a") for number in range(1, 9)],
        ROLLING,
    )
    assert alone.baseline == often.baseline
    assert (alone.seeds, alone.nights) == (often.seeds, often.nights)
    assert len(often.way) == 2  # what the later nights showed, and tonight


def test_tonights_own_seeds_do_not_hide_a_broken_one() -> None:
    calm = one(night(20, [6.0, 6.0, 3.0]), nights(14))
    assert calm.night_sd is not None
    assert calm.night_sd < 0.1
    assert calm.verdict == "SUSPECTED"


@pytest.mark.parametrize(("kind", "seeds"), [("fixed", 3), ("rolling:14", 1)])
def test_few_unchanged_nights_are_suspected(kind: str, seeds: int) -> None:
    from benchmarks.gate import alarms
    from benchmarks.gate_worlds import Setting

    found = alarms(Setting(kind, seeds, repeats=6, methods=2, columns=2), histories=100, nights=8)
    assert found["suspected"] <= 0.13  # more: under one in a thousand at a true 5 %
    assert found["confirmed"] <= found["suspected"]


def test_most_planted_losses_are_caught() -> None:
    from benchmarks.gate import caught
    from benchmarks.gate_worlds import Setting

    assert caught(Setting("rolling:14", 3, methods=2, columns=1), 12, "drift")["caught"] >= 0.7
