"""MT-Bench battles in both orders: wins, losses and two kinds of tie."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.errors import UsageError
from ropo_bench.scoring.mt_bench.pairwise import PAIRWISE
from ropo_bench.types import Completion, Prompt, Score
from tests.scoring.mt_bench.mt_examples import JUDGE, OURS, THEIRS, material, said

ITEMS = ("81:1", "81:2", "111:1", "111:2")
VERDICT = st.sampled_from(["[[A]]", "[[B]]", "[[C]]", "no idea"])


def of(metric: str, scores: list[Score]) -> dict[str, float | None]:
    return {score.item: score.value for score in scores if score.metric == metric}


def verdicts(*pairs: tuple[str, str]) -> dict[str, str]:
    return {f"{item}:g{n}": text for item, pair in zip(ITEMS, pairs, strict=True) for n, text in enumerate(pair, 1)}


def test_win_loss_and_the_two_kinds_of_tie() -> None:
    texts = verdicts(("[[A]]", "[[B]]"), ("[[B]]", "[[A]]"), ("[[A]]", "[[A]]"), ("[[C]]", "[[C]]"))
    scores = PAIRWISE.score(material("mt-bench-pairwise"), JUDGE, said(texts))
    assert of("wwr", scores) == {"81:1": 100, "81:2": 0, "111:1": 50, "111:2": 50}
    assert of("win", scores) == {"81:1": 100, "81:2": 0, "111:1": 0, "111:2": 0}
    assert of("tie", scores) == {"81:1": 0, "81:2": 0, "111:1": 100, "111:2": 100}
    assert of("loss", scores) == {"81:1": 0, "81:2": 100, "111:1": 0, "111:2": 0}
    assert of("wwr_turn_2", scores) == {"81:2": 0, "111:2": 50}
    assert of("wwr/math", scores) == {"111:1": 50, "111:2": 50}


def test_without_a_verdict_in_both_orders_an_item_is_unscored() -> None:
    texts = verdicts(("[[A]]", "?"), ("?", "?"), ("[[A]]", "[[B]]"), ("[[C]]", "[[C]]"))
    del texts["111:2:g2"]
    scores = PAIRWISE.score(material("mt-bench-pairwise"), JUDGE, said(texts))
    assert of("wwr", scores) == {"81:1": None, "81:2": None, "111:1": 100, "111:2": None}
    states = {score.item: score.status for score in scores}
    assert states == {
        "81:1": "unparsable",
        "81:2": "unparsable",
        "111:1": "scored",
        "111:2": "infrastructure-failed",
    }


@given(st.lists(st.tuples(VERDICT, VERDICT), min_size=4, max_size=4))
def test_sides_swapped_wwr_adds_to_100_and_is_wins_and_half_the_ties(pairs: list[tuple[str, str]]) -> None:
    ours = PAIRWISE.score(material("mt-bench-pairwise"), JUDGE, said(verdicts(*pairs)))
    swapped = verdicts(*[(second, first) for first, second in pairs])
    theirs = PAIRWISE.score(material("mt-bench-pairwise", ours=THEIRS, theirs=OURS), JUDGE, said(swapped))
    won, lost = of("wwr", ours), of("wwr", theirs)
    assert all((won[item] is None) == (lost[item] is None) for item in ITEMS)
    assert all(won[item] + lost[item] == 100 for item in ITEMS if won[item] is not None)  # type: ignore[operator]
    scored = [item for item in ITEMS if won[item] is not None]
    if scored:
        win, tie = (fmean(of(name, ours)[item] or 0 for item in scored) for name in ("win", "tie"))
        assert fmean(won[item] or 0 for item in scored) == pytest.approx(win + tie / 2)


def test_identical_answers_tie_without_a_call() -> None:
    half = [THEIRS[0], OURS[1]]
    scores = PAIRWISE.score(material("mt-bench-pairwise", theirs=half), JUDGE, {})
    assert of("wwr", scores) == {"81:1": None, "81:2": None, "111:1": 50, "111:2": 50}
    assert of("wwr", PAIRWISE.score(material("mt-bench-pairwise", theirs=OURS), JUDGE, {})) == dict.fromkeys(
        ITEMS, 50
    )


def test_an_error_text_on_either_side_is_unscored() -> None:
    broken = [Completion("81", 0, ("hi", "ERROR"), (1, 1)), OURS[1]]
    texts = said(verdicts(*[("[[A]]", "[[B]]")] * 4))
    for ours, theirs in ((broken, THEIRS), (OURS, broken)):
        scores = PAIRWISE.score(material("mt-bench-pairwise", ours=ours, theirs=theirs), JUDGE, texts)
        assert of("wwr", scores)["81:2"] is None
        [detail] = [score.detail for score in scores if (score.metric, score.item) == ("wwr", "81:2")]
        assert "the answer is an error text" in (detail.get("problem"), detail.get("baseline_problem"))


def test_a_grader_decides_turn_by_turn() -> None:
    def length(prompt: Prompt, turns: Sequence[str]) -> list[float]:
        return [float(len(turn)) for turn in turns]

    assert PAIRWISE.compare is not None
    scores = PAIRWISE.compare(material("mt-bench-pairwise"), length)
    assert of("wwr", scores) == {"81:1": 0, "81:2": 0, "111:1": 50, "111:2": 50}
    missing = PAIRWISE.compare(material("mt-bench-pairwise", ours=OURS[:1]), length)
    assert of("wwr", missing) == {"81:1": 0, "81:2": 0, "111:1": None, "111:2": None}


def test_a_win_rate_needs_a_baseline() -> None:
    with pytest.raises(UsageError, match="needs a baseline"):
        PAIRWISE.score(material("mt-bench-pairwise", theirs=[]), JUDGE, {})


@pytest.mark.usefixtures("assets")
def test_calls_show_both_orders() -> None:
    calls = {call.item: call.messages for call in PAIRWISE.calls(material("mt-bench-pairwise"), JUDGE)}
    assert list(calls) == [f"{item}:g{n}" for item in ITEMS for n in (1, 2)]
    first, second = (calls[f"81:2:g{n}"][1]["content"] for n in (1, 2))
    assert first.index("hi again") < first.index("hello {again}")
    assert second.index("hello {again}") < second.index("hi again")
    assert "[[C]]" in calls["81:1:g1"][0]["content"]
    assert calls["81:1:g1"] != calls["111:1:g1"]


@pytest.mark.usefixtures("assets")
def test_no_call_for_what_cannot_be_judged_or_needs_no_judge() -> None:
    broken = [Completion("81", 0, ("hi",), (1,)), THEIRS[1]]
    calls = PAIRWISE.calls(material("mt-bench-pairwise", ours=broken), JUDGE)
    assert [call.item for call in calls] == ["81:1:g1", "81:1:g2"]
