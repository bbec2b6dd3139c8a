"""What was asked, answered and paid: answers.jsonl, ledger.jsonl, the tally of one command and its budget.

Of every request the ledger says "sent", and how it ended: "answered", "retried" (no answer, sent again later) or
"failed" (no answer, given up). A request that only says "sent" was on its way when the process ended.
"""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ropo_bench.errors import UsageError
from ropo_bench.judging.checksummed_lines import BAD, read_lines, set_damaged_aside, with_checksum
from ropo_bench.judging.reply import Failure, Reply, read_logprobs
from ropo_bench.recipes.judge import Prices
from ropo_bench.store import JsonLines, storage_errors
from ropo_bench.types import JudgeAnswer, Message

ANSWERS, LEDGER, LOCK = "answers.jsonl", "ledger.jsonl", "lock"
OVERHEAD_TOKENS = 16  # a message, beside its text
UNKNOWN_OUTPUT_TOKENS = 4096  # where a call does not limit its answer
_BILL = ("input_tokens", "output_tokens", "cost_usd")
_ANSWER_KEYS = frozenset(("key", "item", "text", "finish_reason", "top_logprobs", "model", *_BILL))
_EVENT_KEYS = frozenset(
    ("event", "key", "item", "attempt", "unix_seconds", "seconds", "kind", "reason", "worst_usd", *_BILL)
)
_locked_by_this_process: set[Path] = set()


@dataclass(slots=True)
class Tally:
    """How far a list of calls is: asked = cached + answered + failed, when it has ended.

    asked: calls in the list. cached: answered without a request of their own, by the disk or by an equal call.
    sent: requests, each of which ends answered, retried or failed; where an endpoint falls silent, calls that were
    never sent have failed too. cost_usd: None where the judge's prices are unknown.
    seconds: since the list was begun. models: by the name that the endpoint gave, how many of the answers it gave;
    other_models: of these, names that cannot mean the judge's model.
    """

    asked: int = 0
    cached: int = 0
    sent: int = 0
    answered: int = 0
    retried: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0
    models: dict[str, int] = field(default_factory=dict)
    other_models: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Budget:
    """What all tasks of one command may still spend; None is no limit. Counts down as requests are sent and paid.

    calls: requests, retries among them. usd: by the usage that the endpoint reports.
    """

    calls: int | None = None
    usd: float | None = None
    spent_calls: int = 0
    spent_usd: float = 0.0
    _on_their_way: list[float] = field(default_factory=list)

    def take(self, worst_usd: float) -> bool:
        """Take one request that costs at most `worst_usd`, unless it and all on their way could pass the limit."""
        if self.calls is not None and self.calls < 1:
            return False
        if self.usd is not None and sum(self._on_their_way) + worst_usd > self.usd:
            return False
        if self.calls is not None:
            self.calls -= 1
        self.spent_calls += 1
        self._on_their_way.append(worst_usd)
        return True

    def pay(self, worst_usd: float, usd: float) -> None:
        """A request that was taken has come back and cost `usd`."""
        self._on_their_way.remove(worst_usd)
        self.spent_usd += usd
        if self.usd is not None:
            self.usd -= usd

    @property
    def may_recover(self) -> bool:
        """Whether requests on their way could come back cheaper than they were taken."""
        return bool(self._on_their_way) and self.calls != 0

    def __str__(self) -> str:
        words = [f"{self.spent_calls} requests sent"]
        words += [f"{self.calls} left"] if self.calls is not None else []
        words += [f"${self.spent_usd:.4f} spent, ${self.usd:.4f} left"] if self.usd is not None else []
        return ", ".join(words)


def cost(prices: Prices, input_tokens: int, output_tokens: int) -> float:
    """US dollars of so many tokens."""
    return (input_tokens * prices.input_per_million_usd + output_tokens * prices.output_per_million_usd) / 1e6


def worst_tokens(messages: Sequence[Message], params: Mapping[str, Any]) -> tuple[int, int]:
    """(input, output) tokens that a request cannot pass: a byte is at most one token of a byte-level vocabulary."""
    bytes_ = sum(len(message["content"].encode(errors="surrogatepass")) for message in messages)
    limit = params.get("max_completion_tokens") or params.get("max_tokens") or UNKNOWN_OUTPUT_TOKENS
    return bytes_ + OVERHEAD_TOKENS * (len(messages) + 1), int(limit)


@contextmanager
def exclusive(folder: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a judge's folder for this process, after telling `waiting` where another one has it.

    Raises UsageError in place of waiting where nobody would be told, and where this process has it itself.

    POSIX record locks, as in store.locks: the kernel frees those of a killed process, and its forks have none.
    """
    path = (folder / LOCK).absolute()
    if path in _locked_by_this_process:
        raise _busy(folder, os.getpid())
    _locked_by_this_process.add(path)
    descriptor = None
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):  # POSIX allows either for "somebody has it"
                holder = os.pread(descriptor, 32, 0).decode().strip()
                if waiting is None:
                    raise _busy(folder, holder) from None
                waiting(f"{folder.name}: process {holder} is asking this judge; waiting")
                fcntl.lockf(descriptor, fcntl.LOCK_EX)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        _locked_by_this_process.discard(path)
        if descriptor is not None:
            os.close(descriptor)


def _busy(folder: Path, holder: object) -> UsageError:
    return UsageError(
        f"{folder}: process {holder} is asking this judge; wait until it has ended, then repeat the command, "
        "which goes on with what is answered"
    )


def set_damage_aside(folder: Path) -> list[str]:
    """Take damaged lines out of a judge's two files, which costs them alone; returns what to tell about it.

    The caller holds the folder.
    """
    messages = []
    for name, keys, cost in (
        (ANSWERS, _ANSWER_KEYS, "what they answered is asked again"),
        (LEDGER, _EVENT_KEYS, "the costs of older commands may be told too low"),
    ):
        count = set_damaged_aside(folder / name, keys)
        if count:
            messages.append(f"{folder / name}: damaged lines, moved into {name}{BAD}: {count}; {cost}")
    return messages


def read_answers(folder: Path, keys: Collection[str]) -> dict[str, JudgeAnswer]:
    """The answers on disk under some request keys, but for those whose lines are damaged."""
    answers = {}
    for _, record in read_lines(folder / ANSWERS, _ANSWER_KEYS):
        if record is not None and record["key"] in keys:
            answer = _answer(record)
            if answer is not None:
                answers[record["key"]] = answer
    return answers


def _answer(record: Mapping[str, Any]) -> JudgeAnswer | None:
    """A line as an answer; None where it is of other types, as one without a checksum may be."""
    text, finish_reason, model = record.get("text"), record.get("finish_reason"), record.get("model")
    if not isinstance(text, str) or not isinstance(finish_reason, str) or not isinstance(model, str | None):
        return None
    return JudgeAnswer(text, read_logprobs(record.get("top_logprobs")), finish_reason, model)


def spent_usd(folder: Path, keys: Collection[str]) -> float:
    """What the answers to some requests have cost, over all commands; 0 where prices are unknown.

    A request that was on its way when its command ended may have been paid for: it counts with what its answer cost,
    if that is on disk, else with the most that it can have cost.
    """
    costs = 0.0
    pending: dict[str, list[float]] = defaultdict(list)
    answered: set[str] = set()
    for _, record in read_lines(folder / LEDGER, _EVENT_KEYS):
        if record is None or record["key"] not in keys:
            continue
        key, event = record["key"], record.get("event")
        if event == "sent":
            pending[key].append(_usd(record.get("worst_usd")))
            continue
        pending[key] = pending[key][:-1]
        costs += _usd(record.get("cost_usd"))
        if event == "answered":
            answered.add(key)
    for _, record in read_lines(folder / ANSWERS, _ANSWER_KEYS):
        if record is not None and record["key"] in keys and record["key"] not in answered:
            pending[record["key"]] = pending[record["key"]][:-1]
            costs += _usd(record.get("cost_usd"))
            answered.add(record["key"])
    return costs + sum(map(sum, pending.values()))


def _usd(value: object) -> float:
    """A cost as it was written; 0 for anything that is none."""
    return float(value) if isinstance(value, int | float) and 0 <= value < math.inf else 0.0


class Ledger:
    """The two files of a judge's folder, the tally and the budget, kept in step; a context manager.

    An answer is on disk before it is counted.
    """

    def __init__(self, folder: Path, prices: Prices | None, budget: Budget, tally: Tally) -> None:
        self.prices, self.budget, self.tally = prices, budget, tally
        self._answers, self._events = JsonLines(folder / ANSWERS), JsonLines(folder / LEDGER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._answers.close()
        self._events.close()

    def worst_usd(self, messages: Sequence[Message], params: Mapping[str, Any]) -> float:
        """The most that a request can cost; 0 where prices are unknown, which a budget in money rules out."""
        return cost(self.prices, *worst_tokens(messages, params)) if self.prices else 0.0

    def sent(self, key: str, item: str, attempt: int, worst_usd: float) -> None:
        """A request, taken from the budget, is about to be sent."""
        self._event("sent", key, item, attempt, **({"worst_usd": worst_usd} if self.prices else {}))
        self.tally.sent += 1

    def answered(self, key: str, item: str, attempt: int, reply: Reply, seconds: float, worst_usd: float) -> None:
        """A complete answer has come: write it, then count it. Without usage fields it is taken to cost the worst."""
        answer = reply.answer
        inputs, outputs = reply.input_tokens or 0, reply.output_tokens or 0
        paid: float | None = None
        if self.prices:
            counted = reply.input_tokens is not None and reply.output_tokens is not None
            paid = cost(self.prices, inputs, outputs) if counted else worst_usd
        bill = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens, "cost_usd": paid}
        record = {"key": key, "item": item, "text": answer.text, "finish_reason": answer.finish_reason}
        # With its bill: the process may end before the event is written.
        self._answers.append(
            with_checksum({**record, "top_logprobs": answer.top_logprobs, "model": answer.model, **bill})
        )
        self._event("answered", key, item, attempt, seconds=round(seconds, 3), **bill)
        self.budget.pay(worst_usd, paid or 0.0)
        self.tally.answered += 1
        self.tally.input_tokens += inputs
        self.tally.output_tokens += outputs
        if paid is not None:
            self.tally.cost_usd = (self.tally.cost_usd or 0.0) + paid

    def unanswered(
        self, key: str, item: str, attempt: int, failure: Failure, seconds: float, worst_usd: float, *, again: bool
    ) -> None:
        """A request has failed; `again`: it will be sent again.

        The endpoint reported no usage: what it may have worked for is taken to cost the worst, anything else nothing.
        """
        paid = worst_usd if failure.billed and self.prices else 0.0
        reason: dict[str, Any] = {"kind": failure.kind, "reason": failure.reason}
        if paid:
            reason["cost_usd"] = paid
            self.tally.cost_usd = (self.tally.cost_usd or 0.0) + paid
        self._event("retried" if again else "failed", key, item, attempt, seconds=round(seconds, 3), **reason)
        self.budget.pay(worst_usd, paid)
        if again:
            self.tally.retried += 1
        else:
            self.tally.failed += 1

    def _event(self, event: str, key: str, item: str, attempt: int, **more: Any) -> None:
        names = {"event": event, "key": key, "item": item, "attempt": attempt}
        self._events.append(with_checksum({**names, "unix_seconds": round(time.time(), 3), **more}))
