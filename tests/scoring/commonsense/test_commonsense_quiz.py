"""Questions of one's own by log-likelihood, against lm-eval's evaluation."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from ropo_bench.errors import UsageError
from ropo_bench.generation import start
from ropo_bench.recipes.suite import VllmRecipe
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.scoring.commonsense.quiz import score, write_task
from ropo_bench.types.engines import Subject
from tests.conftest import new_llama

WORDS = ["<end>", *(f"w{i}" for i in range(60))]


def questions() -> list[dict[str, Any]]:
    draw = random.Random(0)
    return [
        {
            "question": " ".join(draw.choices(WORDS[1:], k=draw.randrange(2, 9))),
            "choices": [" ".join(draw.choices(WORDS[1:], k=draw.randrange(1, 3))) for _ in range(4)],
            "answer": draw.randrange(4),
            "kind": draw.choice(["animal", "food"]),
        }
        for _ in range(40)
    ]


def recipe(**options: object) -> TaskRecipe:
    return TaskRecipe(
        name="facts",
        description="a test",
        scorer="pocket-commonsense",
        options=dict(options),
        columns=[Column(metric="accuracy", header="facts")],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<end>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<end>").save_pretrained(path)
    words = {"vocab_size": len(WORDS), "bos_token_id": 0, "eos_token_id": 0}
    new_llama(**words, tie_word_embeddings=False, initializer_range=0.3).save_pretrained(path)
    return path


def subject(folder: Path) -> Subject:
    return Subject(folder, folder, lambda: start(folder, "hf", "float32", VllmRecipe()))


def likeliest(folder: Path, item: dict[str, Any]) -> int:
    """The rule itself: the choice with the highest summed log-probability after the question."""
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    index = {word: i for i, word in enumerate(WORDS)}
    question = [index[word] for word in item["question"].split()]
    totals = []
    for choice in item["choices"]:
        answer = [index[word] for word in choice.split()]
        with torch.no_grad():
            logits = model(torch.tensor([question + answer])).logits[0]
        logps = logits.log_softmax(-1)[len(question) - 1 : -1]
        totals.append(float(logps.gather(1, torch.tensor(answer)[:, None]).sum()))
    return totals.index(max(totals))


def test_right_where_the_right_choice_is_the_likeliest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = score(recipe(items=f"{__name__}:questions", batch_size=8), subject(folder))
    items = questions()
    expected = [100.0 * (likeliest(folder, item) == item["answer"]) for item in items]
    assert [one.value for one in scores] == expected
    assert 0 < sum(expected) < 4000
    assert [one.detail["kind"] for one in scores] == [item["kind"] for item in items]
    assert len({one.cluster for one in scores}) == len(items)
    assert "loglikelihood" not in capsys.readouterr().err  # lm-eval's progress bars are not ours


def test_same_accuracy_as_lm_evals_own_evaluation(folder: Path, tmp_path: Path) -> None:
    write_task(tmp_path, "facts", questions())
    tasks = TaskManager(include_path=str(tmp_path), include_defaults=False)
    found = simple_evaluate(
        model="hf", model_args=f"pretrained={folder}", tasks=["facts"], task_manager=tasks, device="cpu"
    )
    theirs = found["results"]["facts"]["acc,none"]
    scores = score(recipe(items=f"{__name__}:questions"), subject(folder))
    assert sum(one.value or 0 for one in scores) / 40 == pytest.approx(100 * theirs)


def test_a_task_without_questions_says_so(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"options\.items"):
        score(recipe(), subject(folder))
