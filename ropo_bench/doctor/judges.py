"""Judges: their keys by name, and one question to one of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from ropo_bench.doctor.line import Line
from ropo_bench.errors import RopoBenchError, first_line
from ropo_bench.judging.identity import base_url, is_loopback
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.types import JudgeCall, Message

PING = JudgeCall("doctor", (Message(role="user", content="Answer with one letter: m"),), {"max_tokens": 1})
PING_SECONDS = 20.0


def keys(judges: Mapping[str, JudgeRecipe]) -> Iterator[Line]:
    """Whether the environment has the keys that the suite's judges need; never what they are."""
    for judge in {judge.name: judge for judge in judges.values()}.values():
        tasks = ", ".join(task for task, other in judges.items() if other.name == judge.name)
        if judge.wanted_key is None or is_loopback(base_url(judge) or ""):
            yield Line("key", "ok", f"judge {judge.name} needs none ({tasks})")
        elif os.environ.get(judge.wanted_key, "").strip():
            yield Line("key", "ok", f"{judge.key_env} is set, for judge {judge.name} ({tasks})")
        else:
            mend = f"export {judge.key_env}=..., take another judge with --judge, or leave these out with --tasks"
            yield Line("key", "problem", f"{judge.key_env} is not set; judge {judge.name} needs it ({tasks})", mend)


def ping(judge: JudgeRecipe) -> Line:
    """Ask a judge one question, once, and not from the disk; a judge that is not asked in words is loaded."""
    if not judge.chats:
        return _silent(judge)
    from ropo_bench.judging.ledger import Budget
    from ropo_bench.judging.runtime import answer_calls

    once = judge.model_copy(update={"max_attempts": 1, "timeout_seconds": min(PING_SECONDS, judge.timeout_seconds)})
    mend = "check the key, base_url and model of judges/" + judge.name + ".yaml"
    with tempfile.TemporaryDirectory() as name, ExitStack() as alive:
        folder, endpoint = Path(name), None
        try:
            if judge.kind == "vllm-serve":
                from ropo_bench.judging.local import serve

                endpoint = alive.enter_context(serve(judge, folder))
            outcome = answer_calls(once, [PING], folder, Budget(1, None), endpoint=endpoint)
        except RopoBenchError as error:
            return Line("judge", "problem", f"{judge.name}: {first_line(error)}", mend)
    if PING.item not in outcome.answers:
        return Line("judge", "problem", f"{judge.name}: {outcome.failed.get(PING.item, 'no answer')}", mend)
    answer = outcome.answers[PING.item]
    text = f"{judge.name} ({judge.model}) answers in {outcome.tally.seconds:.1f} s"
    if outcome.tally.other_models:
        return Line("judge", "warning", f"{text}, but as {answer.model!r}", mend)
    return Line("judge", "ok", text + (", with log-probabilities" if answer.top_logprobs else ""))


def _silent(judge: JudgeRecipe) -> Line:
    """A function is imported; a reward model is looked for."""
    from ropo_bench.recipes.objects import resolve_object
    from ropo_bench.sources.models import local_model

    try:
        if judge.kind == "function":
            resolve_object(judge.model, {}, "judge")
            return Line("judge", "ok", f"{judge.name}: {judge.model} is there")
        here = local_model(judge.model) is not None
    except RopoBenchError as error:
        return Line("judge", "problem", f"{judge.name}: {first_line(error)}", f"mend judges/{judge.name}.yaml")
    if here:
        return Line("judge", "ok", f"{judge.name}: {judge.model} is on this machine")
    return Line("judge", "warning", f"{judge.name}: {judge.model} is not here yet", f"hf download {judge.model}")
