"""Every form of a preference record, written out and read back; and what is no pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropo_bench.preferences.formats import MalformedError, pair_of
from ropo_bench.preferences.marks import holds_mark
from ropo_bench.types import Message, Pair

Record = dict[str, Any]


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", content=text)


# --- forms: one pair written in each --------------------------------------------------------------------


def explicit(pair: Pair) -> Record:
    return {
        "prompt": list(pair.prompt),
        "chosen": [assistant(pair.chosen)],
        "rejected": [assistant(pair.rejected)],
    }


def explicit_text_answers(pair: Pair) -> Record:
    return {"prompt": list(pair.prompt), "chosen": pair.chosen, "rejected": pair.rejected}


def implicit(pair: Pair) -> Record:
    return {key: [*pair.prompt, assistant(getattr(pair, key))] for key in ("chosen", "rejected")}


def ultrafeedback(pair: Pair) -> Record:
    return {"prompt": pair.prompt[0]["content"], "score_chosen": 8.0, **implicit(pair)}


def sharegpt(pair: Pair) -> Record:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    record: Record = {
        "conversations": [{"from": names[m["role"]], "value": m["content"]} for m in pair.prompt],
        "chosen": {"from": "gpt", "value": pair.chosen},
        "rejected": {"from": "gpt", "value": pair.rejected},
    }
    if pair.prompt[0]["role"] == "system":
        record["system"] = record["conversations"].pop(0)["value"]
    return record


def dialogue(pair: Pair) -> Record:
    names = {"user": "Human", "assistant": "Assistant"}
    start = "".join(f"\n\n{names[m['role']]}: {m['content']}" for m in pair.prompt) + "\n\nAssistant: "
    return {"chosen": start + pair.chosen, "rejected": start + pair.rejected}


def dialogue_with_prompt(pair: Pair) -> Record:
    record = dialogue(Pair(pair.id, pair.prompt, "", ""))
    return {"prompt": record["chosen"], "chosen": pair.chosen, "rejected": pair.rejected}


MESSAGE_FORMS = [explicit, explicit_text_answers, implicit, ultrafeedback, sharegpt]
DIALOGUE_FORMS = [dialogue, dialogue_with_prompt]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
said = text.filter(lambda t: t.strip() and not holds_mark(t) and "</s>" not in t)


@st.composite
def pairs(draw: st.DrawFn, words: st.SearchStrategy[str], system: bool) -> Pair:
    prompt = [Message(role="system", content=draw(words))] if system and draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 2))):
        prompt += [user(draw(words)), assistant(draw(words))]
    return Pair("1", (*prompt, user(draw(words))), draw(words), draw(words))


@pytest.mark.parametrize("form", MESSAGE_FORMS)
@settings(max_examples=40, deadline=None)
@given(pair=pairs(said, system=True))
def test_every_message_form_gives_the_pair_back(form: Callable[[Pair], Record], pair: Pair) -> None:
    assert pair_of(form(pair), "1") == pair


@pytest.mark.parametrize("form", DIALOGUE_FORMS)
@settings(max_examples=40, deadline=None)
@given(pair=pairs(said.map(lambda t: " ".join(t.split())).filter(bool), system=False))
def test_every_dialogue_form_gives_the_pair_back(form: Callable[[Pair], Record], pair: Pair) -> None:
    assert pair_of(form(pair), "1") == pair


def test_a_plain_prompt_becomes_one_user_message() -> None:
    record = {"prompt": "Sky?", "chosen": "It is blue.", "rejected": ""}
    assert pair_of(record, "a") == Pair("a", (user("Sky?"),), "It is blue.", "")


def test_a_speakers_turns_in_a_row_become_one() -> None:
    start = "\n\nHuman: hi\n\nAssistant: one\n\nAssistant: two\n\nHuman: go\n\nAssistant:"
    pair = pair_of({"chosen": start + " yes", "rejected": start}, "1")
    assert pair.prompt == (user("hi"), assistant("one\n\ntwo"), user("go"))
    assert (pair.chosen, pair.rejected) == ("yes", "")


TWO = {"chosen": [user("a"), assistant("b")], "rejected": [user("A"), assistant("c")]}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (TWO, "do not share their prompt"),
        (
            {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"},
            "do not share",
        ),
        ({"prompt": "a", "chosen": "b"}, "has no 'rejected'; its keys: prompt, chosen"),
        ({"prompt": "a", "chosen": None, "rejected": "c"}, "has no 'chosen'"),
        ({"chosen": "The sky is blue.", "rejected": "The sky is green."}, "has no 'prompt'"),
        ({"prompt": "a", "chosen": 3, "rejected": "c"}, "'chosen' is a int"),
        ({"prompt": 3, "chosen": "b", "rejected": "c"}, "'prompt' is a int"),
        ({"prompt": " \n", "chosen": "b", "rejected": "c"}, "'prompt' has an empty user message"),
        ({"prompt": [], "chosen": "b", "rejected": "c"}, "has no 'prompt'"),
        ({"prompt": [assistant("a")], "chosen": "b", "rejected": "c"}, "does not end in a user message"),
        ({"prompt": [{"role": "tool", "content": "a"}], "chosen": "b", "rejected": "c"}, "the role 'tool'"),
        ({"prompt": [{"role": "user"}], "chosen": "b", "rejected": "c"}, "NoneType where text should be"),
        ({"prompt": ["a"], "chosen": "b", "rejected": "c"}, "holds a str where a message should be"),
        ({"prompt": "a", "chosen": [user("b")], "rejected": "c"}, "'chosen' does not end in an assistant"),
        ({"prompt": "a", "chosen": [], "rejected": "c"}, "'chosen' does not end in an assistant"),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c", "rejected": "d"}, "assistant turn"),
        ({"prompt": "a", "chosen": "\ud800", "rejected": "c"}, "surrogate"),
        (["a"], "is a list, not an object"),
    ],
)
def test_what_is_no_pair_says_why(record: Any, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        pair_of(record, "1")
