"""Ask a judge in words: every call answered once, whatever the endpoint, the network or the process does.

A call waits at the gate, is sent, and ends answered (on disk, then counted), or is sent again after a pause, or
is given up with a reason. An attempt counts against the call where the request itself failed (5xx, timeout,
broken connection, garbage); 429 and a closed port say something about the endpoint, and are counted there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from ropo_bench.errors import BudgetReached, RopoBenchError, UsageError
from ropo_bench.judging.client import JudgeClient, is_redirect
from ropo_bench.judging.concurrency import CALL_BACKOFF_SECONDS, SILENT_BACKOFF_SECONDS, Gate, backoff
from ropo_bench.judging.identity import final_params, is_other_model, refuse_other_model, request_key
from ropo_bench.judging.interrupt import run_until_interrupted
from ropo_bench.judging.ledger import Budget, Ledger, Tally, exclusive, read_answers, set_damage_aside
from ropo_bench.judging.reply import Failure, Reply
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.types import JudgeAnswer, JudgeCall

INTERRUPT_SECONDS = 1.0  # what requests on their way get after Ctrl-C
LONGEST_PAUSE_SECONDS = 900.0  # an endpoint that asks for more is done for today
REFUSALS = 8  # in a row, before the first answer: it is not the calls, it is the recipe


@dataclass(frozen=True)
class Outcome:
    """What became of a list of calls, by item; each item is either answered or failed with a reason."""

    answers: Mapping[str, JudgeAnswer]
    failed: Mapping[str, str]
    tally: Tally


def answer_calls(
    judge: JudgeRecipe,
    calls: Sequence[JudgeCall],
    folder: Path,
    budget: Budget,
    *,
    endpoint: str | None = None,
    report: Callable[[Tally], None] | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Outcome:
    """Answer all calls, from the folder of this judge where they were answered before.

    endpoint: the base URL in place of the recipe's. report: called with the tally whenever it changes. waiting:
    told when another process asks this judge, which is then waited for; None raises in its place.
    Raises UsageError (no key, a key or parameter that the endpoint rejects, a budget in money without prices,
    another process at work here), BudgetReached after the requests on their way have come back, StorageError.
    """
    assert judge.chats, f"{judge.kind} judges are not asked in words"
    assert len({call.item for call in calls}) == len(calls), "items of a list of calls are unique"
    keys = {call.item: request_key(judge, call) for call in calls}
    with exclusive(folder, waiting):
        for damage in set_damage_aside(folder):
            if waiting:
                waiting(damage)
        by_key = read_answers(folder, set(keys.values()))
        for answer in by_key.values():
            refuse_other_model(judge, answer)
        jobs = {keys[call.item]: _Job(keys[call.item], call, final_params(judge, call)) for call in reversed(calls)}
        missing = [job for key, job in reversed(jobs.items()) if key not in by_key]
        tally = Tally(asked=len(calls), cached=len(calls) - len(missing))
        tally.cost_usd = 0.0 if judge.prices else None
        failed: dict[str, str] = {}
        if missing:
            check_prices(judge, budget)
            with Ledger(folder, judge.prices, budget, tally) as ledger:
                session = _Session(judge, ledger, bool(by_key), report)
                run_until_interrupted(session.run(missing, endpoint))
            by_key |= session.answers
            failed = session.failed
    answers = {item: by_key[key] for item, key in keys.items() if key in by_key}
    tally.models = dict(Counter(answer.model for answer in answers.values() if answer.model is not None))
    tally.other_models = {name: n for name, n in tally.models.items() if is_other_model(judge, name)}
    return Outcome(
        answers,
        failed={item: failed[key] for item, key in keys.items() if key in failed},
        tally=tally,
    )


def check_prices(judge: JudgeRecipe, budget: Budget) -> None:
    """Raise UsageError for a budget in money without prices."""
    if budget.usd is not None and judge.prices is None:
        raise UsageError(
            f"judge {judge.name}: --budget-usd needs to know what a call costs; add `prices` to the judge's recipe "
            "(input_per_million_usd, output_per_million_usd, source), or use --budget-calls"
        )


class _Silence(RopoBenchError):
    """The endpoint answers nothing any more; never leaves this file."""


@dataclass
class _Job:
    """One request: how often it was sent, failed of itself, and waited for its next turn."""

    key: str
    call: JudgeCall
    params: dict[str, Any]
    requests: int = 0
    attempts: int = 0
    waits: int = 0


@dataclass
class _Session:
    """One list of missing calls, on one event loop."""

    judge: JudgeRecipe
    ledger: Ledger
    answered_before: bool
    report: Callable[[Tally], None] | None
    answers: dict[str, JudgeAnswer] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    stop: BaseException | None = None
    silent_rounds: int = 0
    refusals: int = 0
    began: float = field(default_factory=monotonic)

    async def run(self, jobs: Sequence[_Job], endpoint: str | None) -> None:
        """Settle all jobs; raises what stopped that, after the requests on their way have come back."""
        self.gate = Gate(self.judge.max_concurrency, self.judge.requests_per_minute)
        self.client = JudgeClient(self.judge, endpoint)
        self.came_back = asyncio.Event()
        self.on_their_way: set[asyncio.Task[None]] = set()
        self.tasks = {asyncio.create_task(self._settle(job)) for job in jobs}
        try:
            await asyncio.wait(self.tasks)
        except asyncio.CancelledError:  # Ctrl-C
            self._halt(None)
            if self.on_their_way:
                await asyncio.wait(self.on_their_way, timeout=INTERRUPT_SECONDS)
            raise
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await self.client.close()
        self._conclude([job.key for job in jobs if job.key not in self.answers and job.key not in self.failed])

    def _conclude(self, left: Sequence[str]) -> None:
        """Raise what stopped the session; jobs that are left because the endpoint fell silent have failed."""
        if isinstance(self.stop, _Silence):
            self.failed |= dict.fromkeys(left, str(self.stop))
        elif isinstance(self.stop, BudgetReached):
            if left:
                tally = self.ledger.tally
                raise BudgetReached(
                    f"{self.stop}; {tally.asked - tally.cached - tally.answered} of {tally.asked} calls remain: the "
                    "same command goes on with them, what was answered is kept"
                )
        elif self.stop is not None:
            raise self.stop
        elif self.refusals and not self._answers_here:
            raise self._refusal_error()
        self.ledger.tally.failed = len(self.failed)
        self._tell()

    def _halt(self, stop: BaseException | None) -> None:
        """Send nothing more; requests on their way may come back."""
        self.stop = self.stop or stop or asyncio.CancelledError()
        for task in self.tasks - self.on_their_way:
            task.cancel()

    async def _settle(self, job: _Job) -> None:
        try:
            while not await self._try(job):
                pass
        except Exception as error:  # a full disk, or an error of ours: no request more, and up with it
            self._halt(error)

    async def _try(self, job: _Job) -> bool:
        """Send a job once; returns whether it is settled, and waits where it is not."""
        started = await self.gate.enter()
        try:
            worst_usd = self.ledger.worst_usd(job.call.messages, job.params)
            if self.stop or not await self._afford(worst_usd):
                return True
            result = await self._send(job, worst_usd, started)
        finally:
            self.gate.leave()
            self.came_back.set()
        self._tell()
        if isinstance(result, Reply) or job.key in self.failed or self.stop:
            return True
        if result.retry_after is None and result.kind != "unreachable":  # else the gate is closed for a while
            job.waits += 1
            await asyncio.sleep(backoff(job.waits, job.key, CALL_BACKOFF_SECONDS))
        return False

    async def _afford(self, worst_usd: float) -> bool:
        """Take a request from the budget, waiting for cheaper ones to come back; False where it is used up."""
        while not self.ledger.budget.take(worst_usd):
            if not self.ledger.budget.may_recover:
                self._halt(BudgetReached(f"judge {self.judge.name}: budget reached ({self.ledger.budget})"))
                return False
            self.came_back.clear()
            await self.came_back.wait()
        return True

    async def _send(self, job: _Job, worst_usd: float, started: float) -> Reply | Failure:
        task = asyncio.current_task()
        assert task is not None
        job.requests += 1
        names = job.key, job.call.item, job.requests
        self.ledger.sent(*names, worst_usd)
        self.on_their_way.add(task)
        sent_at = monotonic()
        try:
            result = await self.client.ask(job.call.messages, job.params)
        finally:
            self.on_their_way.discard(task)
        seconds = monotonic() - sent_at
        if isinstance(result, Reply):
            self.ledger.answered(*names, result, seconds, worst_usd)
            self.answers[job.key] = result.answer
            refuse_other_model(self.judge, result.answer)
            self.silent_rounds = self.refusals = 0
            self.gate.came_back(started, answered=True, trouble=False)
            return result
        self._learn(result, started)
        job.attempts += result.kind in ("overloaded", "garbage")
        again = result.kind not in ("refused", "no-quota") and job.attempts < self.judge.max_attempts
        self.ledger.unanswered(*names, result, seconds, worst_usd, again=again and self.stop is None)
        if not again and result.kind != "no-quota":
            self.failed[job.key] = result.reason
        return result

    def _learn(self, failure: Failure, started: float) -> None:
        """What a failure says about the endpoint: slow down, pause, or stop."""
        pause = failure.retry_after or 0.0
        if failure.kind == "no-quota" or pause > LONGEST_PAUSE_SECONDS:
            self._halt(BudgetReached(f"{self._where}: quota used up ({failure.reason})"))
        elif failure.kind == "refused":
            self._refuse(failure)
        else:
            self._slow_down(failure, started, pause)

    def _slow_down(self, failure: Failure, started: float, pause: float) -> None:
        silent = self.gate.came_back(started, answered=False, trouble=failure.kind != "garbage")
        self.silent_rounds += silent
        if silent or failure.kind == "unreachable":
            pause = max(pause, backoff(max(1, self.silent_rounds), self.judge.name, SILENT_BACKOFF_SECONDS))
        if self.silent_rounds >= self.judge.max_attempts:
            self._halt(
                _Silence(f"{self._where}: no answer in {self.silent_rounds} rounds, the last: {failure.reason}")
            )
        self.gate.pause(pause)

    def _refuse(self, failure: Failure) -> None:
        """One call may be refused (too long); all calls being refused is the key's or the recipe's fault."""
        self.refusals += 1
        self.last_refusal = failure
        access = failure.status in (403, 404) or is_redirect(failure.status)
        first = access and not self._answers_here
        many = self.refusals >= REFUSALS and (access or not self._answers_here)
        if failure.status == 401 or first or many:
            self._halt(self._refusal_error())

    def _refusal_error(self) -> UsageError:
        env = self.judge.key_env
        key = f"the key in {env}" if env else "whether the endpoint wants a key (key_env)"
        checks = {401: key, 403: f"{key} and what it may do", 404: "model and base_url in the judge's recipe"}
        if is_redirect(self.last_refusal.status):
            checks[self.last_refusal.status or 0] = "base_url in the judge's recipe"
        check = checks.get(self.last_refusal.status or 0, "params in the judge's recipe (null drops one)")
        return UsageError(
            f"{self._where}: refused model {self.judge.model!r} ({self.last_refusal.reason}); check {check}, then "
            "repeat the command: what was answered is kept"
        )

    @property
    def _where(self) -> str:
        return f"judge {self.judge.name} at {self.client.endpoint}"

    @property
    def _answers_here(self) -> bool:
        return bool(self.answers) or self.answered_before

    def _tell(self) -> None:
        self.ledger.tally.seconds = monotonic() - self.began
        if self.report:
            self.report(replace(self.ledger.tally))
