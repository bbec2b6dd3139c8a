"""Generation by transformers: greedy text is the model's own, whatever is batched or resumed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from ropo_bench.generation.hf import HFGenerator, choose, decode, pad_left
from ropo_bench.recipes.task import Decoding
from ropo_bench.types import Completion, Prompt
from tests.conftest import new_llama

WORDS = [f"w{i}" for i in range(40)]
SPECIAL = ["<pad>", "<s>", "<end>", "<user>", "<assistant>"]
TEMPLATE = (
    "<s>{% for m in messages %}{{ '<' + m['role'] + '> ' + m['content'] + ' <end>' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
SHAPE = {
    "vocab_size": len(WORDS) + len(SPECIAL),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "initializer_range": 0.4,  # far from uniform: no near-ties between tokens
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    vocabulary = {word: i for i, word in enumerate(SPECIAL + WORDS)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="<end>",
        additional_special_tokens=["<user>", "<assistant>"],
    )
    made.chat_template = TEMPLATE
    return made


@pytest.fixture(scope="module")
def model() -> Any:
    made = new_llama(**SHAPE)
    with torch.no_grad():
        # One tied direction makes the end of turn come now and then, at different times in different rows.
        made.lm_head.weight[2] *= 1.6
    return made


def prompts(number: int, num_turns: int = 1) -> list[Prompt]:
    draw = random.Random(1)
    return [
        Prompt(f"p{i}", tuple(" ".join(draw.choices(WORDS, k=draw.randrange(1, 9))) for _ in range(num_turns)))
        for i in range(number)
    ]


def run(generator: HFGenerator, items: list[Prompt], decoding: Decoding) -> list[Completion]:
    return [done for batch in generator.generate(items, decoding) for done in batch]


GREEDY = Decoding(max_new_tokens=24, batch_size=16)
SAMPLED = Decoding(max_new_tokens=24, batch_size=16, temperature=0.8, top_p=0.9, seed=5)


def test_greedy_text_is_that_of_model_generate_one_prompt_at_a_time(model: Any, tokenizer: Any) -> None:
    items = prompts(24)
    done = run(HFGenerator(model, tokenizer), items, GREEDY)
    by_id = {prompt.id: prompt for prompt in items}
    lengths = set()
    for completion in done:
        chat = [{"role": "user", "content": by_id[completion.prompt_id].turns[0]}]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")["input_ids"]
        out = model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :].tolist()
        assert completion.truncated == (out[-1] != 2)
        assert completion.turns == (tokenizer.decode(out, skip_special_tokens=True),)
        assert completion.num_tokens == (len(out) - (out[-1] == 2),)
        lengths.add(len(out))
    assert len(lengths) > 3  # rows did finish at different times


def test_greedy_text_does_not_depend_on_the_batch(model: Any, tokenizer: Any) -> None:
    generator = HFGenerator(model, tokenizer)
    apart = run(generator, prompts(12, 2), GREEDY.model_copy(update={"batch_size": 1}))
    assert run(generator, prompts(12, 2), GREEDY) == apart


def test_sliding_window_attention_gives_the_text_of_model_generate(tokenizer: Any) -> None:
    torch.manual_seed(1)
    mistral = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=6)).eval()
    ids = tokenizer(["w1 w2 w3 w4", "w5 w6 w7 w8"], return_tensors="pt")["input_ids"]
    ours = decode(
        mistral,
        ids,
        torch.ones_like(ids),
        Decoding(max_new_tokens=20),
        stop_ids=frozenset(),
        random=torch.Generator(),
    )
    mistral.generation_config.eos_token_id = None
    assert ours == mistral.generate(ids, max_new_tokens=20, do_sample=False)[:, 4:].tolist()


def test_second_turn_sees_the_first_answer(model: Any, tokenizer: Any) -> None:
    [prompt] = prompts(1, 2)
    [completion] = run(HFGenerator(model, tokenizer), [prompt], GREEDY)
    chat = [
        {"role": "user", "content": prompt.turns[0]},
        {"role": "assistant", "content": completion.turns[0]},
        {"role": "user", "content": prompt.turns[1]},
    ]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    out = model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
    assert completion.turns[1] == tokenizer.decode(out, skip_special_tokens=True)


def test_prompts_with_one_and_two_turns_share_a_batch(model: Any, tokenizer: Any) -> None:
    long, short = prompts(2, 2)
    short = replace(short, turns=short.turns[:1])
    done = {c.prompt_id: c for c in run(HFGenerator(model, tokenizer), [long, short], GREEDY)}
    assert len(done["p0"].turns) == len(done["p0"].num_tokens) == 2
    assert len(done["p1"].turns) == 1


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED.model_copy(update={"num_samples": 3})])
def test_resumed_at_a_batch_the_text_is_the_same(model: Any, tokenizer: Any, decoding: Decoding) -> None:
    items = prompts(40, 2)
    whole = list(HFGenerator(model, tokenizer).generate(items, decoding))
    torch.manual_seed(99)  # the process's own stream does not matter
    for skip in (1, len(whole) - 1, len(whole)):
        done = {(c.prompt_id, c.sample) for batch in whole[:skip] for c in batch}
        assert list(HFGenerator(model, tokenizer).generate(items, decoding, done)) == whole[skip:]


def test_of_a_batch_that_is_half_done_only_the_rest_comes(model: Any, tokenizer: Any) -> None:
    items = prompts(20)
    [first, second] = HFGenerator(model, tokenizer).generate(items, SAMPLED)
    done = {(c.prompt_id, c.sample) for c in first[:5] + second}
    assert list(HFGenerator(model, tokenizer).generate(items, SAMPLED, done)) == [first[5:]]


def test_every_category_has_its_temperature(model: Any, tokenizer: Any) -> None:
    cold = [replace(prompt, category="math") for prompt in prompts(10, 2)]
    warm = [replace(prompt, id=f"{prompt.id}w", category="writing") for prompt in cold]
    greedy = {c.prompt_id: c.turns for c in run(HFGenerator(model, tokenizer), cold, GREEDY)}
    mixed = SAMPLED.model_copy(update={"temperatures": {"math": 0.0}})
    done = {c.prompt_id: c.turns for c in run(HFGenerator(model, tokenizer), cold + warm, mixed)}
    assert {id: done[id] for id in greedy} == greedy
    assert sum(done[f"{id}w"] != turns for id, turns in greedy.items()) > 5
    # Where a batch has one temperature, naming it by category or for all is the same.
    named = SAMPLED.model_copy(update={"temperatures": {"writing": 0.8}, "temperature": 0.0})
    assert run(HFGenerator(model, tokenizer), warm, named) == run(HFGenerator(model, tokenizer), warm, SAMPLED)


def test_samples_differ_and_seeds_differ(model: Any, tokenizer: Any) -> None:
    generator = HFGenerator(model, tokenizer)
    decoding = SAMPLED.model_copy(update={"num_samples": 4})
    texts = [c.turns[0] for c in run(generator, prompts(1), decoding)]
    assert len(set(texts)) == 4
    assert [c.turns[0] for c in run(generator, prompts(1), decoding.model_copy(update={"seed": 6}))] != texts


def test_sampled_row_does_not_depend_on_when_others_finish(model: Any) -> None:
    ids_BP, mask_BP = pad_left([[1, 7, 8], [1, 9], [1, 20, 21, 22]], model.device)

    def last_row(stop_ids: frozenset[int]) -> list[int]:
        random = torch.Generator().manual_seed(3)
        return decode(model, ids_BP, mask_BP, SAMPLED, stop_ids=stop_ids, random=random)[2]

    alone = last_row(frozenset())
    # Every token that the last row never draws stops the others.
    assert last_row(frozenset(range(SHAPE["vocab_size"])) - set(alone)) == alone  # type: ignore[call-overload]


def test_choose_draws_by_the_probabilities() -> None:
    target_V = torch.tensor([0.5, 0.3, 0.15, 0.05])
    uniform_N = torch.rand(40_000, generator=torch.Generator().manual_seed(0))
    logits_NV = target_V.log().expand(len(uniform_N), -1)
    share_V = torch.bincount(choose(logits_NV, 1.0, 1.0, uniform_N), minlength=4) / len(uniform_N)
    torch.testing.assert_close(share_V, target_V, atol=0.01, rtol=0)
    warm_V = torch.softmax(target_V.log() / 2.0, 0)
    share_V = torch.bincount(choose(logits_NV, 2.0, 1.0, uniform_N), minlength=4) / len(uniform_N)
    torch.testing.assert_close(share_V, warm_V, atol=0.01, rtol=0)


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    logits_V = torch.tensor([0.15, 0.5, 0.05, 0.3]).log()
    uniform_N = torch.linspace(0, 1 - 1e-7, 1001)

    def drawn(top_p: float) -> set[int]:
        return set(choose(logits_V.expand(len(uniform_N), -1), 1.0, top_p, uniform_N).tolist())

    assert drawn(0.4) == {1}
    assert drawn(0.6) == {1, 3}
    assert drawn(0.9) == {0, 1, 3}
    assert drawn(1.0) == {0, 1, 2, 3}


def test_choose_with_a_temperature_a_row() -> None:
    logits_NV = torch.randn(300, 7, generator=torch.Generator().manual_seed(0))
    uniform_N = torch.rand(300, generator=torch.Generator().manual_seed(1))
    temperature_N = torch.tensor([0.0, 0.5, 2.0]).repeat(100)
    chosen_N = choose(logits_NV, temperature_N, 0.9, uniform_N)
    for temperature in (0.0, 0.5, 2.0):
        rows_N = temperature_N == temperature
        alone_N = choose(logits_NV[rows_N], temperature, 0.9, uniform_N[rows_N])
        assert chosen_N[rows_N].tolist() == alone_N.tolist()


def test_tokens_of_probability_zero_are_never_drawn() -> None:
    logits_NV = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]).expand(2, -1)
    assert choose(logits_NV, 1.0, 1.0, torch.tensor([0.0, 1 - 2**-24])).tolist() == [1, 2]
