"""Token ids of pairs: what training sees is what generation sees, on templates of every kind in use."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ropo_bench.errors import UsageError
from ropo_bench.preferences import encode_prompts, end_of_turn_id, read_pairs, template_preflight, tokenize_pairs
from ropo_bench.types import Message, Pair

Make = Callable[..., Any]
GOOD = ["chatml", "no-bos", "brackets"]


def pair(prompt: str, chosen: str, rejected: str, id: str = "1") -> Pair:
    return Pair(id, (Message(role="user", content=prompt),), chosen, rejected)


def dialogue_pair(id: str = "1") -> Pair:
    turns = ("user", "first question"), ("assistant", "first answer"), ("user", "and then?")
    return Pair(id, tuple(Message(role=r, content=c) for r, c in turns), "the fox jumps", "the dog")


def test_a_worked_example(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("chatml")
    result = tokenize_pairs([pair("the fox", "the dog", "")], tokenizer, 100, 50)
    (one,) = result.pairs
    assert tokenizer.decode(one.prompt_ids) == "<|bos|><|im_start|>user\nthe fox<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(one.chosen_ids) == "the dog<|im_end|>"
    assert tokenizer.decode(one.rejected_ids) == "<|im_end|>"
    assert (one.id, result.num_truncated_prompts, result.num_truncated_completions) == ("1", 0, 0)


@pytest.mark.parametrize("template", GOOD)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.text(alphabet="the fox\n<|>äß你🦊", min_size=1, max_size=12), min_size=3, max_size=3))
def test_prompt_and_completion_are_the_chat(make_tokenizer: Make, template: str, words: list[str]) -> None:
    """Joined they read as the template wrote the chat; one BOS leads; the end of turn comes last, once."""
    tokenizer = make_tokenizer(template)
    (one,) = tokenize_pairs([pair(*words)], tokenizer, 1000, 500).pairs
    for answer, ids in ((words[1], one.chosen_ids), (words[2], one.rejected_ids)):
        chat = [Message(role="user", content=words[0]), Message(role="assistant", content=answer)]
        whole = tokenizer.apply_chat_template(chat, tokenize=False).rstrip("\n")
        got = tokenizer.decode(one.prompt_ids + ids, skip_special_tokens=False)
        assert got.removeprefix("<|bos|>") == whole.removeprefix("<|bos|>")
        assert ids[-1] == tokenizer.eos_token_id
        assert ids.count(tokenizer.eos_token_id) == 1
    assert one.prompt_ids[0] == tokenizer.bos_token_id
    assert one.prompt_ids.count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize("template", GOOD)
def test_generation_sees_the_prompts_of_training(make_tokenizer: Make, template: str) -> None:
    tokenizer, pairs = make_tokenizer(template), [dialogue_pair("1"), pair("the fox", "a", "b", "2")]
    trained = [list(one.prompt_ids) for one in tokenize_pairs(pairs, tokenizer, 200, 100).pairs]
    assert trained == encode_prompts(tokenizer, [one.prompt for one in pairs])
    served = [
        tokenizer.apply_chat_template(list(one.prompt), add_generation_prompt=True, return_dict=False)
        for one in pairs
    ]
    missing = [tokenizer.bos_token_id] if template == "no-bos" else []  # Zephyr's template leaves it out
    assert trained == [missing + ids for ids in served]
    template_preflight(tokenizer, pairs)


def test_without_a_bos_none_is_written(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("no-bos", adds_bos=False)
    (one,) = tokenize_pairs([pair("the fox", "a", "b")], tokenizer, 100, 50).pairs
    assert tokenizer.decode(one.prompt_ids[:1]) == "<|im_start|>"
    template_preflight(tokenizer, [pair("the fox", "a", "b")])


def test_a_newline_at_the_seam_stays_the_answers(make_tokenizer: Make) -> None:
    """The template's newline and the answer's are one token together, but generation starts between them."""
    tokenizer = make_tokenizer("chatml")
    newlines = tokenizer("\n\n", add_special_tokens=False)["input_ids"]
    assert len(newlines) == 1
    plain, seam = (
        tokenize_pairs([pair("the fox", answer, "b")], tokenizer, 100, 50).pairs[0] for answer in ("a", "\na")
    )
    assert seam.prompt_ids == plain.prompt_ids
    assert tokenizer.decode(seam.chosen_ids) == "\na<|im_end|>"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(max_prompt=st.integers(1, 60), room=st.integers(1, 30))
def test_limits_keep_the_end_of_prompts_and_the_start_of_answers(
    make_tokenizer: Make, max_prompt: int, room: int
) -> None:
    tokenizer = make_tokenizer("chatml")
    pairs = [dialogue_pair(), pair("hi", "the quick brown fox jumps over the lazy dog", "no", "2")]
    full = tokenize_pairs(pairs, tokenizer, 1000, 500)
    cut = tokenize_pairs(pairs, tokenizer, max_prompt + room, max_prompt)
    long = over = 0
    for whole, one in zip(full.pairs, cut.pairs, strict=True):
        assert one.prompt_ids[0] == tokenizer.bos_token_id
        kept = one.prompt_ids[1:]
        assert kept == whole.prompt_ids[len(whole.prompt_ids) - len(kept) :]
        assert len(one.prompt_ids) == min(len(whole.prompt_ids), max_prompt)
        space = max_prompt + room - len(one.prompt_ids)
        assert (one.chosen_ids, one.rejected_ids) == (whole.chosen_ids[:space], whole.rejected_ids[:space])
        long += len(whole.prompt_ids) > max_prompt
        over += (len(whole.chosen_ids) > space) + (len(whole.rejected_ids) > space)
    assert (cut.num_truncated_prompts, cut.num_truncated_completions) == (long, over)


def test_the_end_of_turn_is_where_generation_stops(make_tokenizer: Make) -> None:
    for template in GOOD:
        tokenizer = make_tokenizer(template)
        assert end_of_turn_id(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_end|>")


@pytest.mark.parametrize(
    ("template", "one", "message"),
    [
        (None, pair("a", "b", "c", "p7"), "tiny-None.*no chat template; put a chat_template.jinja"),
        ("plain-end", pair("a", "b", "c", "p7"), "tiny-plain-end.*without a special token"),
        ("rewrites", pair("a", "b", "c", "p7"), "pair p7: .*tiny-rewrites.* rewrites the prompt"),
        (
            "brackets",
            Pair("p7", (Message(role="system", content="s"), Message(role="user", content="u")), "b", "c"),
            "pair p7: .*tiny-brackets.*refuses its messages .roles must alternate",
        ),
    ],
)
def test_templates_that_cannot_train_are_usage_errors(
    make_tokenizer: Make, template: str | None, one: Pair, message: str
) -> None:
    tokenizer = make_tokenizer(template)
    for check in (
        lambda: tokenize_pairs([one], tokenizer, 100, 50),
        lambda: template_preflight(tokenizer, [one]),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            check()
        assert "\n" not in str(caught.value)


def test_preflight_refuses_two_bos(make_tokenizer: Make) -> None:
    with pytest.raises(UsageError, match=r"pair p7: .*two BOS"):
        template_preflight(make_tokenizer("two-bos"), [pair("a", "b", "c", "p7")])


def test_preflight_refuses_a_template_that_depends_on_the_clock(make_tokenizer: Make) -> None:
    """Training would render one prompt and generation another."""
    tokenizer = make_tokenizer("chatml")
    tokenizer.chat_template = "{{ strftime_now('%f') }}" + tokenizer.chat_template
    with pytest.raises(UsageError, match="pair p7"):
        template_preflight(tokenizer, [pair("a", "b", "c", "p7")])


def test_preflight_refuses_an_answer_without_its_end(make_tokenizer: Make) -> None:
    """A template that closes only answers it finds long enough, so that generation would run on."""
    tokenizer = make_tokenizer("chatml")
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "<|im_end|>", "{% if m['content']|length > 3 %}<|im_end|>{% endif %}"
    )
    with pytest.raises(UsageError, match=r"pair p7: .*does not end this answer in '<\|im_end\|>'"):
        template_preflight(tokenizer, [pair("a question", "b", "c", "p7")])


@pytest.mark.parametrize("template", GOOD)
def test_real_dialogues_are_read_and_tokenized_fast(make_tokenizer: Make, template: str) -> None:
    if "ROPO_BENCH_ASSETS" not in os.environ:
        pytest.skip("ROPO_BENCH_ASSETS is not set: no real preference data here")
    folder = Path(os.environ["ROPO_BENCH_ASSETS"]) / "preference"
    tokenizer = make_tokenizer(template)
    pairs = read_pairs(folder / "hh_rlhf_harmless_base_test.part1.jsonl.gz").pairs
    template_preflight(tokenizer, pairs)
    start = time.perf_counter()
    result = tokenize_pairs(pairs, tokenizer, 512, 256)
    seconds = time.perf_counter() - start
    assert len(result.pairs) == 2008
    assert result.num_truncated_prompts > 0
    assert seconds < 10
