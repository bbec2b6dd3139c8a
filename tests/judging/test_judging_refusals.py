"""What an endpoint refuses, what a budget allows, and what each says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.errors import BudgetReached, UsageError
from ropo_bench.judging.ledger import Budget
from ropo_bench.judging.runtime import answer_calls
from ropo_bench.recipes.judge import Prices
from ropo_bench.store import JsonLines
from tests.judging.asking import calls, recipe
from tests.judging.judge_answers import Body, Response, error_body
from tests.judging.judge_server import Faults, JudgeServer


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "JUDGE_TEST_KEY"), (403, "what it may do"), (404, "model and base_url"), (400, "params"), (422, "params")],
)
def test_a_refusal_of_everything_is_one_line_after_a_handful_of_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    monkeypatch.setenv("JUDGE_TEST_KEY", "a-key-of-mine")
    with JudgeServer(respond=lambda body, headers: (status, {}, error_body("it says no"))) as server:
        with pytest.raises(UsageError) as caught:
            answer_calls(recipe(server.url, key_env="JUDGE_TEST_KEY"), calls(805), tmp_path, Budget())
        assert server.counts.sent.total() <= 40
    for word in (words, server.url, f"{status}: it says no", "judge-1"):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refusal_of_a_few_calls_fails_these_calls_alone(tmp_path: Path) -> None:
    def too_long(body: Body, headers: dict[str, str]) -> Response | None:
        number = int(body["messages"][1]["content"].split()[-1])
        return (400, {}, error_body("context length exceeded")) if number % 4 == 0 else None

    with JudgeServer(latency=0.01, respond=too_long) as server:
        for _ in range(2):  # the second time only the refused ones are asked, and that is no other result
            outcome = answer_calls(recipe(server.url), calls(60), tmp_path, Budget())
            assert sorted(outcome.failed) == sorted(f"item-{i}" for i in range(0, 60, 4))
            assert outcome.failed["item-0"] == "400: context length exceeded"
            assert len(outcome.answers) == 45
        assert server.counts.sent.total() == 75


def test_a_used_up_quota_is_not_retried(tmp_path: Path) -> None:
    body = error_body("You exceeded your current quota", "insufficient_quota")
    with JudgeServer(respond=lambda _, headers: (429, {}, body)) as server:
        with pytest.raises(BudgetReached, match=r"quota used up .* 100 of 100 calls remain"):
            answer_calls(recipe(server.url), calls(100), tmp_path, Budget())
        assert server.counts.sent.total() <= 40


def test_a_pause_of_a_day_is_a_used_up_quota(tmp_path: Path) -> None:
    response: Response = (429, {"Retry-After": "86400"}, error_body("daily limit"))
    with JudgeServer(respond=lambda body, headers: response) as server, pytest.raises(BudgetReached):
        answer_calls(recipe(server.url), calls(3), tmp_path, Budget())


def test_a_missing_key_is_named_and_not_needed_for_what_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_TEST_KEY", "a-key-of-mine")
    with JudgeServer() as server:
        judge = recipe(server.url, key_env="JUDGE_TEST_KEY")
        answer_calls(judge, calls(2), tmp_path, Budget())
        monkeypatch.delenv("JUDGE_TEST_KEY")
        assert len(answer_calls(judge, calls(2), tmp_path, Budget()).answers) == 2
        assert server.counts.sent.total() == 2
    elsewhere = recipe("https://judge.invalid/v1", key_env="JUDGE_TEST_KEY")
    with pytest.raises(UsageError, match="environment variable JUDGE_TEST_KEY is not set"):
        answer_calls(elsewhere, calls(3), tmp_path, Budget())


# -- budgets -----------------------------------------------------------------------------------------------------


def test_a_budget_in_calls_is_shared_never_passed_and_resumable(tmp_path: Path) -> None:
    with JudgeServer(latency=0.005, faults=Faults(errors=0.2)) as server:
        judge, budget = recipe(server.url), Budget(calls=50)
        assert answer_calls(judge, calls(10), tmp_path / "one", budget).tally.failed == 0
        with pytest.raises(
            BudgetReached, match=r"50 requests sent, 0 left\).* of 100 calls remain: the same command"
        ):
            answer_calls(judge, calls(110)[10:], tmp_path / "two", budget)
        assert server.counts.sent.total() == 50
        kept = len(list(JsonLines(tmp_path / "two" / "answers.jsonl")))
        assert kept == server.counts.answered.total() - 10
        rest = answer_calls(judge, calls(110)[10:], tmp_path / "two", Budget(calls=1000))
        assert rest.tally.cached == kept
        assert server.counts.answered_then_asked.total() == 0


def test_a_budget_of_exactly_the_calls_is_enough(tmp_path: Path) -> None:
    with JudgeServer() as server:
        assert len(answer_calls(recipe(server.url), calls(30), tmp_path, Budget(calls=30)).answers) == 30


PRICES = Prices(input_per_million_usd=100.0, output_per_million_usd=1000.0, source="a test")


def test_a_budget_in_money_is_never_passed(tmp_path: Path) -> None:
    with JudgeServer(latency=0.005) as server:
        judge = recipe(server.url, prices=PRICES)
        each = (5 * 100 + 1 * 1000) / 1e6  # "Compare." "Which is better? i"; one word back
        budget = Budget(usd=40 * each)
        with pytest.raises(BudgetReached, match=r"\$0\.0\d+ spent, \$0\.0\d+ left"):
            answer_calls(judge, calls(100), tmp_path, budget)
        answered = server.counts.answered.total()
        assert budget.spent_usd == pytest.approx(answered * each)
        assert 25 <= answered <= 40  # the worst that one more could cost is some four times what one costs
        whole = answer_calls(judge, calls(100), tmp_path, Budget(usd=1.0)).tally
    assert whole.cost_usd == pytest.approx((100 - answered) * each)
    assert whole.input_tokens == 5 * (100 - answered)


def test_a_budget_in_money_needs_prices(tmp_path: Path) -> None:
    with JudgeServer() as server, pytest.raises(UsageError, match="`prices`"):
        answer_calls(recipe(server.url), calls(1), tmp_path, Budget(usd=1.0))
    assert not (tmp_path / "ledger.jsonl").exists()
