"""Calibration by hand: agreement, kappa (oracle: scikit-learn), position and length bias, and the command itself."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ropo_bench.commands.judge import app
from ropo_bench.errors import BudgetReached, UsageError
from ropo_bench.judging.calibrate import (
    Battle,
    accuracy,
    agreement,
    battle_calls,
    both_orders,
    cohens_kappa,
    longer_share,
    matched,
    position_bias,
    read_battles,
    shown_battles,
)
from ropo_bench.types import JudgeAnswer, JudgeCall, Message, Prompt
from tests.judging.judge_server import Body, JudgeServer, Response, error_body

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
    found, missing = matched(reference, [mirrored, battle(1, "b")])
    assert [(theirs.side, ours.side) for theirs, ours in found] == [("a", "a"), ("a", "b")]
    assert missing == 1


def test_a_judges_repeated_verdicts_count_as_their_mean() -> None:
    reference = [battle(0, "a"), battle(0, "tie")]  # two people
    found, _ = matched(reference, [battle(0, "a"), battle(0, "b"), battle(0, None)])
    assert [(theirs.side, ours.preference) for theirs, ours in found] == [("a", 0.5), ("tie", 0.5)]
    found, _ = matched(reference[:1], [battle(0, None)])
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


def write_lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(i: int, winner: str | None) -> dict[str, Any]:
    return {"prompt": f"q{i}", "answer_a": f"first answer to {i}", "answer_b": f"second one {i}", "winner": winner}


def test_json_lines_are_read(tmp_path: Path) -> None:
    renamed = {**{k: v for k, v in row(1, "b").items() if k != "prompt"}, "instruction": "q1"}
    found = read_battles(write_lines(tmp_path / "v.jsonl", row(0, "tie"), renamed, row(2, None)))
    assert [(b.prompt, b.preference) for b in found] == [("q0", 0.5), ("q1", 0.0), ("q2", None)]
    assert found[0].answer_a == "first answer to 0"


def test_annotations_are_read_gzipped_with_the_order_in_which_they_were_shown(tmp_path: Path) -> None:
    rows = [
        {"instruction": "q", "output_1": "base", "output_2": "ours", "preference": p} for p in (1, 1.5, 1.75, None)
    ]
    path = tmp_path / "annotations.json.gz"
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    found = read_battles(path, lambda instruction: instruction == "q")
    assert [b.preference for b in found] == [1.0, 0.5, 0.25, None]
    assert [b.first for b in found] == ["b"] * 4
    assert read_battles(path)[0].first is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no verdict"),
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
    with pytest.raises(UsageError, match="cannot be read"):
        read_battles(tmp_path / "none")


def test_published_verdicts_agree_with_themselves_and_show_their_judges_order(assets: Path) -> None:
    """The official judge on gemma-7b-it: in the raw log-probabilities p(m), the first answer, is 0.469 on average."""
    from ropo_bench.scoring.alpaca_eval.prompt import is_switched

    published = read_battles(assets / "alpaca_eval/gemma-7b-it/annotations.json.gz", is_switched)
    pairs, missing = matched(published, published)
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


def invoke(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["calibrate", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    (found,) = json.loads(result.stdout.splitlines()[-1])["rows"]
    return dict(found)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """40 verdicts: every fifth is for the shorter answer."""
    return write_lines(tmp_path / "people.jsonl", *[row(i, "b" if i % 5 == 0 else "a") for i in range(40)])


def likes_length(body: Body) -> str:
    """A judge of alpaca_eval's question, in letters: the longer of the answers that it is shown."""
    text = "\n".join(str(message["content"]) for message in body["messages"])
    return "m" if text.index("first answer to") < text.index("second one") else "M"


def recipe(tmp_path: Path, url: str, **more: Any) -> str:
    path = tmp_path / "mine.yaml"
    values = {"description": "mine", "model": "m", "base_url": url, "key_env": None, "logprobs": False, **more}
    path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items()), encoding="utf-8")
    return str(path)


def test_the_command_asks_a_real_server_once_and_reports(people: Path, tmp_path: Path) -> None:
    with JudgeServer(text=likes_length) as server:
        arguments = [str(people), "--judge", recipe(tmp_path, server.url), "--runs", str(tmp_path / "runs")]
        found = invoke(*arguments)
        again = invoke(*arguments)
        assert server.counts.sent.total() == 80  # 40 battles in both orders, and nothing the second time
    assert (found["n"], found["n_missing"], found["n_unparsable"], found["n_failed"]) == (40, 0, 0, 0)
    metrics = found["metrics"]
    assert again["metrics"] == metrics
    assert found["model"] == "mine"
    assert metrics["accuracy"]["value"] == 80  # a is the longer one, and people take b in every fifth
    assert metrics["position_bias"] == {"value": 0, "n": 80, "n_unscored": 0, "standard_error": 0}
    assert metrics["longer_share"]["value"] == 100
    assert metrics["reference_longer_share"]["value"] == 80


def test_the_command_finds_a_judge_that_says_m_whatever_it_is_shown(people: Path, tmp_path: Path) -> None:
    with JudgeServer(text=lambda body: "m") as server:
        judge = recipe(tmp_path, server.url)
        metrics = invoke(str(people), "--judge", judge, "--runs", str(tmp_path / "runs"))["metrics"]
    assert metrics["position_bias"]["value"] == 100
    assert metrics["accuracy"]["value"] == 0  # every battle is a tie
    assert (metrics["accuracy_non_ties"]["value"], metrics["accuracy_non_ties"]["n"]) == (None, 0)


def test_the_command_counts_words_without_a_verdict_and_calls_without_an_answer_apart(
    people: Path, tmp_path: Path
) -> None:
    def refuse(body: Body, headers: dict[str, str]) -> Response | None:
        text = str(body["messages"])
        return (400, {}, error_body("too long for me")) if "q7" in text else None

    with JudgeServer(text=lambda body: "neither" if "q3" in str(body["messages"]) else "m", respond=refuse) as server:
        found = invoke(str(people), "--judge", recipe(tmp_path, server.url), "--runs", str(tmp_path / "runs"))
    # q3 and q30 to q39, both orders, have no verdict; q7 no answer.
    assert (found["n_unparsable"], found["n_failed"]) == (22, 2)
    accuracy = found["metrics"]["accuracy"]
    assert (accuracy["n"], accuracy["n_unscored"]) == (28, 12)


def test_the_command_keeps_its_budget(people: Path, tmp_path: Path) -> None:
    with JudgeServer(text=likes_length) as server:
        arguments = [str(people), "--judge", recipe(tmp_path, server.url), "--runs", str(tmp_path / "runs")]
        with pytest.raises(BudgetReached):
            invoke(*arguments, "--budget-calls", "30")
        assert server.counts.sent.total() == 30
        assert invoke(*arguments, "--budget-calls", "50")["metrics"]["accuracy"]["n"] == 40
        assert server.counts.sent.total() == 80


def test_the_command_compares_two_files(people: Path, tmp_path: Path) -> None:
    other = write_lines(tmp_path / "other.jsonl", *[row(i, "a") for i in range(30)], row(99, "b"))
    found = invoke(str(people), "--against", str(other))
    assert (found["n"], found["n_missing"]) == (30, 10)
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(80)
    assert found["metrics"]["position_bias"]["value"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --judge NAME or --against FILE"),
        (["--judge", "pocket"], "an exact function grades its own prompts only"),
        (["--judge", "gpt-4.1", "--task", "mt-bench"], "does not ask which of two answers is better"),
        (["--against", "{other}"], "none of its 40 battles is in other.jsonl"),
    ],
)
def test_a_mistake_of_the_command_is_one_line(
    arguments: list[str], message: str, people: Path, tmp_path: Path
) -> None:
    other = write_lines(tmp_path / "other.jsonl", row(99, "b"))
    given = [argument.format(other=other) for argument in arguments]
    with pytest.raises(UsageError, match=message):
        invoke(str(people), *given)
