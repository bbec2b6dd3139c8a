"""Rows of preference data in the forms that people publish: each is read for what it says, or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropo_bench.preferences.formats import MalformedError, pair_of
from ropo_bench.types import Message, Pair

Record = dict[str, Any]


def chat(*texts: str, system: str | None = None) -> list[Message]:
    turns = [
        Message(role="user" if index % 2 == 0 else "assistant", content=text) for index, text in enumerate(texts)
    ]
    return turns if system is None else [Message(role="system", content=system), *turns]


def sides(*beginning: str, system: str | None = None) -> Record:
    return {key: chat(*beginning, answer, system=system) for key, answer in (("chosen", "4"), ("rejected", "5"))}


JSON = Pair("1", tuple(chat("JSON?")), '{"a": 1}', "[1]")
PLAIN = Pair("1", tuple(chat("2+2?")), "4", "5")
PARTS = [{"type": "text", "text": "2+"}, {"type": "text", "text": "2?"}]
BRIEF = Pair("1", tuple(chat("2+2?", system="Be brief.")), "4", "5")
ANSWERS = {"chosen": "4", "rejected": "5"}
NAMES = Pair("1", tuple(chat("I am Ada.", "Hello Ada.", "My name?")), "4", "5")


@pytest.mark.parametrize(
    ("record", "pair"),
    [
        ({"instruction": "Add", "input": "2+2", **ANSWERS}, Pair("1", tuple(chat("Add\n2+2")), "4", "5")),
        ({"instruction": "2+2?", "input": "", **ANSWERS}, PLAIN),
        ({"instruction": "2+2?", "system": "Be brief.", "history": [], **ANSWERS}, BRIEF),
        ({"instruction": "My name?", "history": [["I am Ada.", "Hello Ada."]], **ANSWERS}, NAMES),
        ({"question": "2+2?", "system": "Be brief.", **ANSWERS}, BRIEF),
        ({"input": "2+2?", "system_prompt": "Be brief.", **ANSWERS}, BRIEF),
        ({"messages": chat("2+2?"), **ANSWERS}, PLAIN),
        ({"messages": chat("2+2?", "4"), **sides("2+2?")}, PLAIN),
        ({"prompt": "2+2?", "question": "2+2?", **ANSWERS}, PLAIN),
        ({"prompt": "", **sides("2+2?")}, PLAIN),
        ({"prompt": [], **sides("2+2?")}, PLAIN),
        ({"system": "Be brief.", **sides("2+2?", system="Be brief.")}, BRIEF),
        ({"prompt": chat(system="Be brief."), **sides("2+2?")}, BRIEF),
        ({"prompt": chat("2+2?", system="Be brief."), **sides("2+2?")}, BRIEF),
        ({"prompt": chat("I am Ada.", "Hello Ada."), **sides("My name?")}, NAMES),
        ({"prompt": "2+2?", **sides("2+2?", system="Be brief.")}, BRIEF),
        ({"tools": None, "images": [], **sides("2+2?")}, PLAIN),
        (
            {key: [{"role": "Human", "content": "2+2?"}, {"role": "ASSISTANT", "content": text}]
             for key, text in ANSWERS.items()},
            PLAIN,
        ),
        (
            {"prompt": [{"role": "user", "content": PARTS}], **ANSWERS},
            PLAIN,
        ),
        (
            {key: json.dumps({"messages": value}) for key, value in sides("2+2?").items()},
            PLAIN,
        ),
        ({"prompt": '[{"role": "user", "content": "2+2?"}]', **ANSWERS}, PLAIN),
        ({"prompt": "JSON?", "chosen": '{"a": 1}', "rejected": "[1]"}, JSON),
    ],
)  # fmt: skip
def test_a_form_with_a_certain_meaning_is_read(record: Record, pair: Pair) -> None:
    assert pair_of(record, "1") == pair


def test_a_dialogue_of_two_turns_keeps_all_but_its_last_answer() -> None:
    start = "\n\nHuman: List some fruit.\n\nAssistant: Apple, pear.\n\nHuman: Which is best?\n\nAssistant: "
    pair = pair_of({"chosen": start + "I like pears.", "rejected": start + "No idea."}, "1")
    prompt = tuple(chat("List some fruit.", "Apple, pear.", "Which is best?"))
    assert pair == Pair("1", prompt, "I like pears.", "No idea.")


CALL = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "weather"}}]}
TOOLS = [{"type": "function", "function": {"name": "weather"}}]
THOUGHT = {"role": "assistant", "content": "4", "reasoning_content": "two and two"}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            {"prompt": chat("Weather?"), "chosen": [CALL], "rejected": "Sunny."},
            "a message of 'chosen' .*'tool_calls'",
        ),
        ({"prompt": "Weather?", "tools": TOOLS, **ANSWERS}, "the key 'tools'"),
        ({"prompt": "What is this?", "images": ["a.png"], **ANSWERS}, "the key 'images'"),
        ({"prompt": "2+2?", "chat_template_kwargs": {"enable_thinking": False}, **ANSWERS}, "chat_template_kwargs"),
        ({"prompt": "2+2?", "chosen": [THOUGHT], "rejected": "5"}, "'reasoning_content'"),
        ({"prompt": "2+2?", "documents": ["a"], **ANSWERS}, "'documents'"),
        ({"instruction": "go", "history": [["only one"]], **ANSWERS}, r"no \[user, assistant\]"),
        ({"instruction": "go", "history": "before", **ANSWERS}, "'history' is a str"),
        ({"prompt": "2+2?", "question": "3+3?", **ANSWERS}, "two prompts, 'prompt' and 'question'"),
        ({"prompt": "2+2?", "input": "in French", **ANSWERS}, "two prompts, 'prompt' and 'input'"),
        ({"prompt": "3+3?", **sides("2+2?")}, "the prompt column says"),
        ({"prompt": chat("3+3?"), **sides("2+2?")}, "the prompt column says"),
        ({"system": "Be long.", **sides("2+2?", system="Be brief.")}, "'system' and the system message .* differ"),
        ({"chosen": chat("a", "b", "c", "d"), "rejected": chat("a", "b")}, "4 and 2 messages; cut the longer"),
        ({"prompt": [{"role": "user", "content": [{"type": "image", "url": "a"}]}], **ANSWERS}, "type 'image'"),
        ({"prompt": "[{'role': 'user', 'content': '2+2?'}]", **ANSWERS}, "written as Python text"),
        ({"prompt": "2+2?", "completion": "4", "label": True}, "KTO's form"),
        ({"prompt": "2+2?", "response_0": "4", "response_1": "5"}, "write the better response as 'chosen'"),
    ],
)
def test_a_row_that_would_lose_something_is_refused_by_name(record: Record, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        pair_of(record, "1")


words = st.text("abc de?", min_size=1, max_size=12).map(str.strip).filter(bool)


@settings(max_examples=60, deadline=None)
@given(said=st.lists(words, min_size=1, max_size=5).filter(lambda t: len(t) % 2), answers=st.tuples(words, words))
def test_all_forms_of_a_conversation_give_one_pair(said: list[str], answers: tuple[str, str]) -> None:
    prompt, (good, bad) = chat(*said), answers
    expected = Pair("1", tuple(prompt), good, bad)
    history = [list(pair) for pair in zip(said[:-1:2], said[1::2], strict=True)]
    texts = {"chosen": good, "rejected": bad}
    whole = {key: chat(*said, text) for key, text in texts.items()}
    forms: list[Record] = [
        {"prompt": prompt, **texts},
        {"messages": prompt, **texts},
        {"instruction": said[-1], "history": history, **texts},
        {"question": said[-1], "history": history, **texts},
        whole,
        {"prompt": prompt, **whole},
        {"prompt": said[0], **whole},
    ]
    assert [pair_of(form, "1") for form in forms] == [expected] * len(forms)
