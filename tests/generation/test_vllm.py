"""The real vLLM, on the pocket model in fp32, against transformers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import MethodFailed, UsageError
from ropo_bench.generation import start
from ropo_bench.recipes.suite import VllmRecipe
from ropo_bench.recipes.task import Decoding
from ropo_bench.scoring.commonsense.data import TASKS
from ropo_bench.scoring.commonsense.likelihood import score
from ropo_bench.sources.models import model_folder
from ropo_bench.sources.prompts import read_prompts
from ropo_bench.types import Completion, Prompt
from ropo_bench.types.engines import Engine, Subject
from tests.scoring.commonsense.test_commonsense_tasks import by_item, recipe

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]

GREEDY = Decoding(max_new_tokens=48)
SAMPLED = Decoding(max_new_tokens=24, temperature=1.0, top_p=0.9, num_samples=2, seed=3)
Requests = list[tuple[list[int], list[int]]]


@pytest.fixture(scope="module")
def folder() -> Path:
    return model_folder("pocket:sft")


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    """Half of them with a second turn."""
    found = read_prompts("pocket:chat")[:24]
    return [replace(prompt, turns=(*prompt.turns, "Say it again.")[: 1 + i % 2]) for i, prompt in enumerate(found)]


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    made = start(folder, "vllm", "float32", VllmRecipe())
    yield made
    made.close()


@pytest.fixture(scope="module")
def hf(folder: Path) -> Engine:
    return start(folder, "hf", "float32", VllmRecipe())


def run(engine: Engine, prompts: list[Prompt], decoding: Decoding, done: Any = ()) -> dict[Any, Completion]:
    return {(c.prompt_id, c.sample): c for group in engine.generate(prompts, decoding, done) for c in group}


def same_samples(ours: dict[Any, Completion], theirs: dict[Any, Completion]) -> None:
    """Up to one: what else is in a step may change the last bit of a logit, and with it, seldom, a draw."""
    assert ours.keys() == theirs.keys()
    assert sum(ours[key] != theirs[key] for key in ours) <= 1


def choices(hf: Engine, prompts: list[Prompt]) -> Requests:
    """Contexts of the pocket's own words with likely and unlikely continuations, greedy ones among them."""
    requests: Requests = []
    for (id, _), completion in run(hf, prompts, GREEDY).items():
        prompt = next(prompt for prompt in prompts if prompt.id == id)
        context = hf.tokenizer(prompt.turns[0])["input_ids"]
        for text in (completion.turns[0], " no", " the cat"):
            requests.append((context, hf.tokenizer(text)["input_ids"]))
        requests.append((context, greedy_continuation(hf, context, 4)))
    return requests


def greedy_continuation(hf: Any, context: list[int], length: int) -> list[int]:
    import torch

    ids = torch.tensor([context])
    out = hf.model.generate(ids, max_new_tokens=length, do_sample=False, eos_token_id=None)
    return list(out[0, len(context) :].tolist())


def same_scores(ours: list[tuple[float, bool]], theirs: list[tuple[float, bool]]) -> None:
    assert max(abs(a - b) for (a, _), (b, _) in zip(ours, theirs, strict=True)) < 1e-4
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]


def test_greedy_text_is_that_of_transformers(engine: Engine, hf: Engine, prompts: list[Prompt]) -> None:
    ours, theirs = run(engine, prompts, GREEDY), run(hf, prompts, GREEDY)
    assert ours == theirs
    assert {len(completion.turns) for completion in ours.values()} == {1, 2}
    short = GREEDY.model_copy(update={"max_new_tokens": 8})
    cut = run(engine, prompts, short)
    assert cut == run(hf, prompts, short)
    assert {completion.truncated for completion in cut.values()} == {True, False}


def test_loglikelihoods_are_those_of_transformers(engine: Engine, hf: Engine, prompts: list[Prompt]) -> None:
    requests = choices(hf, prompts)
    theirs = hf.loglikelihoods(requests)
    same_scores(engine.loglikelihoods(requests), theirs)
    assert {greedy for _, greedy in theirs} == {True, False}


def test_samples_have_seeds_of_their_own(engine: Engine, prompts: list[Prompt]) -> None:
    whole = run(engine, prompts, SAMPLED)
    assert sorted(whole) == sorted((prompt.id, sample) for prompt in prompts for sample in (0, 1))
    same_samples(run(engine, prompts[::-1], SAMPLED), whole)  # whatever the order
    assert sum(whole[prompt.id, 0].turns != whole[prompt.id, 1].turns for prompt in prompts) > 20
    other = run(engine, prompts, SAMPLED.model_copy(update={"seed": 4}))
    assert sum(other[key].turns != whole[key].turns for key in whole) > 40


def test_sampled_chats_of_more_tokens_than_one_step_reads(engine: Engine, prompts: list[Prompt]) -> None:
    long = [replace(prompt, turns=(" ".join([prompt.turns[0]] * 30),)) for prompt in prompts]
    assert sum(len(engine.tokenizer(prompt.turns[0])["input_ids"]) for prompt in long) > 2 * 4096
    decoding = Decoding(max_new_tokens=4, temperature=1.0)
    whole = run(engine, long, decoding)
    assert len(whole) == len(long)
    same_samples(run(engine, long, decoding, set(islice(whole, 12))), dict(islice(whole.items(), 12, None)))


def test_what_is_done_is_not_made_again(engine: Engine, prompts: list[Prompt]) -> None:
    whole = run(engine, prompts, SAMPLED)
    done = set(islice(whole, 30))
    rest = run(engine, prompts, SAMPLED, done)
    same_samples(rest, {key: whole[key] for key in whole if key not in done})
    assert run(engine, prompts, SAMPLED, set(whole)) == {}


def test_every_category_has_its_temperature(engine: Engine, hf: Engine, prompts: list[Prompt]) -> None:
    cold = [replace(prompt, category="math") for prompt in prompts[:8]]
    warm = [replace(prompt, id=f"{prompt.id} warm", category="writing") for prompt in cold]
    done = run(engine, cold + warm, SAMPLED.model_copy(update={"temperatures": {"math": 0.0}, "num_samples": 1}))
    greedy = run(hf, cold, GREEDY.model_copy(update={"max_new_tokens": SAMPLED.max_new_tokens}))
    assert {key: done[key] for key in greedy} == greedy
    assert sum(done[f"{id} warm", 0].turns != completion.turns for (id, _), completion in greedy.items()) > 6


def test_a_call_given_up_halfway_leaves_nothing_behind(engine: Engine, prompts: list[Prompt]) -> None:
    expected = run(engine, prompts[:4], GREEDY)
    first = next(iter(engine.generate(prompts, SAMPLED)))
    assert len(first) < len(prompts)  # they come as they finish
    assert run(engine, prompts[:4], GREEDY) == expected


def test_a_full_context_ends_answers_at_the_same_place(engine: Engine, hf: Engine) -> None:
    room = 2048
    tight, full = Prompt("tight", ("the " * 2040,)), Prompt("full", ("the " * (room + 9), "and then?"))
    decoding = Decoding(max_new_tokens=64)
    for either in (engine, hf):
        found = run(either, [tight, full], decoding)
        assert found["full", 0] == Completion("full", 0, ("", ""), (0, 0), truncated=True)
        assert found["tight", 0].num_tokens[0] < 8


def test_in_multiple_choice_it_chooses_what_transformers_chooses(
    assets: Path, engine: Engine, hf: Engine, folder: Path
) -> None:
    def chosen(of: Engine) -> dict[str, float | None]:
        scores = by_item(score(recipe(limit=6), Subject(folder, folder, lambda: of)), "accuracy")
        return {item: one.value for item, one in scores.items()}

    expected = chosen(hf)
    assert len(expected) == 6 * len(TASKS)
    assert chosen(engine) == expected


def test_two_workers_share_the_prompts_until_one_is_killed(folder: Path, hf: Engine, prompts: list[Prompt]) -> None:
    engine: Any = start(folder, "vllm", "float32", VllmRecipe(data_parallel_size=2, max_model_len=512))
    assert engine.room_tokens == 512
    assert run(engine, prompts, GREEDY) == run(hf, prompts, GREEDY)
    requests = choices(hf, prompts[:7])
    same_scores(engine.loglikelihoods(requests), hf.loglikelihoods(requests))

    pids = [worker.process.pid for worker in engine._workers]
    groups = engine.generate(prompts, SAMPLED)
    next(groups)
    os.kill(pids[1], signal.SIGKILL)
    with pytest.raises(MethodFailed, match=r"vLLM process was killed by SIGKILL: .* \(log: ") as error:
        list(groups)
    assert error.value.exit_code == 4
    assert "\n" not in str(error.value)
    with pytest.raises(MethodFailed, match="SIGKILL"):
        engine.loglikelihoods(requests)
    logs = [worker.log for worker in engine._workers]
    engine.close()
    assert not any(Path("/proc", str(pid)).exists() for pid in pids)
    assert [log.exists() for log in logs] == [False, True]  # the dead one's is kept for reading
    logs[1].unlink()


def test_a_model_that_cannot_be_loaded_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: None if file.suffix != ".safetensors" else 1000])
    with pytest.raises(UsageError, match=r"model\.safetensors is cut or no safetensors"):
        start(tmp_path, "vllm", "float32", VllmRecipe())
    monkeypatch.setattr("ropo_bench.generation.vllm.check_model", lambda folder, backend: None)
    # What is wrong with a folder that no look at it has found, vLLM's process says.
    with pytest.raises(MethodFailed, match=r"ended with exit code 1: \S*Error: .*Unterminated string") as error:
        start(tmp_path, "vllm", "float32", VllmRecipe())
    assert "\n" not in str(error.value)
    Path(str(error.value).split("log: ")[1].split(")")[0]).unlink()


def test_close_ends_the_process(engine: Engine, prompts: list[Prompt]) -> None:
    running: Any = engine
    [worker] = running._workers
    assert Path("/proc", str(worker.process.pid)).exists()
    engine.close()
    assert not Path("/proc", str(worker.process.pid)).exists()
    assert worker.process.returncode == 0
    assert not worker.log.exists()
