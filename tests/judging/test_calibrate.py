"""Calibration by hand: agreement, kappa (oracle: scikit-learn), position and length bias, and the command itself."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.judging.calibrate import (
    Battle,
    accuracy,
    agreement,
    battle_calls,
    both_orders,
    cohens_kappa,
    longer_share,
    match_battles,
    position_bias,
    read_battles,
    shown_battles,
)
from ropo_bench.types import JudgeAnswer, JudgeCall, Message, Prompt
from tests.judging.asking import row, write_lines

SIDES = {"a": 1.0, "b": 0.0, "tie": 0.5}


def battle(i: int, winner: str | None, **changes: Any) -> Battle:
    preference = None if winner is None else SIDES[winner]
    return Battle(**{"prompt": f"q{i}", "answer_a": "aa", "answer_b": "b", "preference": preference, **changes})


def pairs(*winners: tuple[str | None, str | None]) -> list[tuple[Battle, Battle]]:
    return [(battle(i, a), battle(i, b)) for i, (a, b) in enumerate(winners)]


# -- agreement -----------------------------------------------------------------------------------------------------


def test_accuracy_and_kappa_by_hand() -> None:
    """Of 10: 4 a-a, 3 b-b, 2 a-b, 1 b-a. p_o = 0.7, p_e = 0.6 x 0.5 + 0.4 x 0.5 = 0.5, kappa = 0.4."""
    given = pairs(*[("a", "a")] * 4, *[("b", "b")] * 3, *[("a", "b")] * 2, ("b", "a"))
    assert accuracy(given) == pytest.approx(70)
    assert cohens_kappa(given) == pytest.approx(0.4)


def test_ties_and_missing_verdicts_by_hand() -> None:
    given = pairs(("a", "a"), ("tie", "tie"), ("tie", "a"), ("b", "a"), ("a", None), (None, "b"))
    found = agreement(given)
    assert (found["accuracy"].value, found["accuracy"].n, found["accuracy"].n_unscored) == (50, 4, 2)
    assert (found["accuracy_non_ties"].value, found["accuracy_non_ties"].n) == (50, 2)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_scikit_learns(seed: int) -> None:
    from sklearn.metrics import cohen_kappa_score

    draw = random.Random(seed)
    given = pairs(*[(draw.choice(["a", "b", "tie"]), draw.choice(["a", "a", "b", "tie"])) for _ in range(60)])
    oracle = cohen_kappa_score([str(a.side) for a, _ in given], [str(b.side) for _, b in given])
    assert cohens_kappa(given) == pytest.approx(oracle, abs=1e-12)


def test_kappa_of_judges_that_always_say_a_is_undefined() -> None:
    assert agreement(pairs(("a", "a"), ("a", "a")))["kappa"].value is None


def test_the_standard_error_counts_prompts_not_verdicts() -> None:
    """100 prompts, half of them right, four people each who agree: as uncertain as 100 verdicts, 5 points."""
    once = [(battle(i, "a"), battle(i, "ab"[i % 2])) for i in range(100)]
    four_times = [pair for pair in once for _ in range(4)]
    for given in (once, four_times):
        found = agreement(given)["accuracy"]
        assert found.value == 50
        assert found.standard_error == pytest.approx(5, rel=0.2)


def test_battles_are_matched_by_their_texts_in_either_order() -> None:
    reference = [battle(0, "a"), battle(1, "a"), battle(2, "b")]
    mirrored = Battle("q0", "b", "aa", 0.0)  # its b is the reference's a, which wins
    found, missing = match_battles(reference, [mirrored, battle(1, "b")])
    assert [(theirs.side, ours.side) for theirs, ours in found] == [("a", "a"), ("a", "b")]
    assert missing == 1


def test_a_judges_repeated_verdicts_count_as_their_mean() -> None:
    reference = [battle(0, "a"), battle(0, "tie")]  # two people
    found, _ = match_battles(reference, [battle(0, "a"), battle(0, "b"), battle(0, None)])
    assert [(theirs.side, ours.preference) for theirs, ours in found] == [("a", 0.5), ("tie", 0.5)]
    found, _ = match_battles(reference[:1], [battle(0, None)])
    assert found[0][1].preference is None


# -- biases --------------------------------------------------------------------------------------------------------


def test_position_bias_by_hand() -> None:
    """a wins 3 of 4 where it is first and 1 of 4 where it is second: 75 - 25 = 50 points towards the first."""
    first = [battle(i, w, first="a") for i, w in enumerate(["a", "a", "a", "b"])]
    second = [battle(i, w, first="b") for i, w in enumerate(["a", "b", "b", "b"], 4)]
    found = position_bias([*first, *second, battle(9, None, first="a"), battle(10, "a")])
    assert (found.value, found.n, found.n_unscored) == (50, 8, 1)
    assert position_bias([battle(0, "a")]).value is None  # no order is known
    assert position_bias([battle(0, "a", first="a")]).value is None  # one order alone says nothing


def test_longer_share_by_hand() -> None:
    """The longer answer (a, 2 characters against 1) wins twice, ties once, loses once: 2.5 of 4."""
    found = longer_share([battle(i, w) for i, w in enumerate(["a", "a", "tie", "b", None])])
    assert (found.value, found.n, found.n_unscored) == (62.5, 4, 1)
    assert longer_share([battle(0, "a", answer_b="xx")]).value is None


# -- files ---------------------------------------------------------------------------------------------------------


def test_json_lines_are_read(tmp_path: Path) -> None:
    renamed = {**{k: v for k, v in row(1, "b").items() if k != "prompt"}, "instruction": "q1"}
    found = read_battles(write_lines(tmp_path / "v.jsonl", row(0, "tie"), renamed, row(2, None)))
    assert [(b.prompt, b.preference) for b in found] == [("q0", 0.5), ("q1", 0.0), ("q2", None)]
    assert found[0].answer_a == "first answer to 0"


def test_annotations_are_read_gzipped_with_the_order_in_which_they_were_shown(tmp_path: Path) -> None:
    rows = [
        {"instruction": "q", "output_1": "base", "output_2": "ours", "preference": p} for p in (1, 1.5, 1.75, None, 0)
    ]
    path = tmp_path / "annotations.json.gz"
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    found = read_battles(path, lambda instruction: instruction == "q")
    assert [b.preference for b in found] == [1.0, 0.5, 0.25, None, 0.5]  # old files write a tie as 0
    assert [b.first for b in found] == ["b"] * 5
    assert read_battles(path)[0].first is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "holds no verdict"),
        ("{oops\n", "line 1 is not JSON"),
        ("[1, 2", "the file is not JSON"),
        ('[{"instruction": "q"}]', "annotation 1: has no preference"),
        ('[{"instruction": "q", "output_1": "a", "output_2": "b", "preference": 3}]', "is from 1 to 2, given 3"),
        ('[{"instruction": "q", "output_1": "a", "preference": 1}]', "must be texts"),
        (json.dumps(row(0, "a")) + "\n" + json.dumps(row(0, "A")), "line 2: not a verdict"),
        ('{"prompt": "q", "winner": "a"}', "must be texts"),
        ('"text"', "not a verdict"),
    ],
)
def test_what_is_no_file_of_verdicts_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "verdicts"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as caught:
        read_battles(path)
    assert "\n" not in str(caught.value)


def test_published_verdicts_agree_with_themselves_and_show_their_judges_order(assets: Path) -> None:
    """The official judge on gemma-7b-it: in the raw log-probabilities p(m), the first answer, is 0.469 on average."""
    from ropo_bench.scoring.alpaca_eval.prompt import is_switched

    published = read_battles(assets / "alpaca_eval/gemma-7b-it/annotations.json.gz", is_switched)
    pairs, missing = match_battles(published, published)
    found = agreement(pairs)
    assert (found["accuracy"].value, missing) == (100, 0)
    assert found["kappa"].value == pytest.approx(1)
    rows = json.loads(gzip.decompress((assets / "alpaca_eval/gemma-7b-it/annotations.json.gz").read_bytes()))
    assert [1 - b.preference for b in published if b.preference is not None] == pytest.approx(
        [r["preference"] - 1 for r in rows], abs=1e-12
    )
    bias = position_bias(published)
    assert bias.value is not None
    assert bias.standard_error is not None
    assert -9 < bias.value < -2  # near 2 x (0.469 - 0.5) = -6.2 points, towards the second answer
    assert bias.value < -2 * bias.standard_error


# -- asking --------------------------------------------------------------------------------------------------------


def test_both_orders_are_asked_and_disagreement_is_a_tie() -> None:
    def make(prompt: Prompt, first: str, second: str) -> JudgeCall:
        return JudgeCall("", (Message(role="user", content=f"{prompt.turns[0]}|{first}|{second}"),))

    battles = [battle(i, "a") for i in range(3)]
    calls = battle_calls(battles, make)
    assert [call.messages[0]["content"] for call in calls[:2]] == ["q0|aa|b", "q0|b|aa"]
    assert len({call.item for call in calls}) == 6
    # Battle 0: a twice. Battle 1: the first shown twice. Battle 2: one order without a verdict.
    texts = ["first", "second", "first", "first", "first", "?"]
    answers = {call.item: JudgeAnswer(text) for call, text in zip(calls, texts, strict=True)}
    shown = shown_battles(battles, answers, lambda a: {"first": 1.0, "second": 0.0}.get(a.text))
    assert [(b.first, b.preference) for b in shown] == [
        ("a", 1.0),
        ("b", 1.0),
        ("a", 1.0),
        ("b", 0.0),
        ("a", 1.0),
        ("b", None),
    ]
    assert [b.preference for b in both_orders(shown)] == [1.0, 0.5, None]
