"""`ropo-bench new method|loss|task NAME`: the files of a part of one's own, with a first test, ready to run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import list_recipes
from ropo_bench.store import atomic_write_text
from ropo_bench.terminal.screen import say

Part = Literal["method", "loss", "task"]
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")

METHOD = """# What it is from: a paper with its arXiv id, or "our own".
inherit: dpo
description: dpo with another strength of the pull to the reference
loss: {{beta: 0.05}}
"""

LOSS = '''"""{name}: a preference loss of our own."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from ropo_bench.losses import Loss, PairLogps, logratios
from ropo_bench.recipes.method import LossRecipe


def {module}(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """One loss a pair, (B,): here DPO's, -log sigmoid(beta (log-ratio of chosen - log-ratio of rejected))."""
    chosen, rejected = logratios(logps)
    return -logsigmoid(recipe.beta * (chosen - rejected))


LOSS = Loss({module}, uses_reference=True)
'''

LOSS_METHOD = """# What it is from: a paper with its arXiv id, or "our own".
inherit: dpo
description: the loss in {module}.py
loss: {{name: "{folder}{module}.py:LOSS"}}
"""

LOSS_TEST = '''"""{name} at the start of training, where the policy is the reference."""

from __future__ import annotations

import math

import torch

from ropo_bench.losses import PairLogps, resolve_loss
from ropo_bench.recipes.method import LossRecipe


def test_the_first_loss_is_ln_2() -> None:
    two, tokens = torch.tensor([-20.0, -35.0]), torch.tensor([8, 12])
    start = PairLogps(two, two - 1, two, two - 1, tokens, tokens, tokens.float().mean())
    loss = resolve_loss("{folder}{module}.py:LOSS")
    assert torch.allclose(loss.function(start, LossRecipe(name="sigmoid")), torch.full((2,), math.log(2)))
'''

TASK = """description: the prompts in {module}.jsonl, scored by {module}.py
prompts: {folder}{module}.jsonl
decoding: {{max_new_tokens: 128, temperature: 0.0}}
scorer: "{folder}{module}.py:score"
columns:
  - {{metric: short, header: short %, decimals: 1, scale: [0, 100]}}
"""

PROMPTS = """{{"id": "1", "turns": ["What is the capital of France? Answer with one word."]}}
{{"id": "2", "turns": ["Say hello."]}}
"""

SCORER = '''"""{name}: what an answer is worth."""

from __future__ import annotations

from collections.abc import Sequence

from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.types import Completion, Prompt, Score

MAX_WORDS = 10


def score(
    task: TaskRecipe, prompts: Sequence[Prompt], completions: Sequence[Completion], baseline: Sequence[Completion]
) -> list[Score]:
    """One score an answer: 100 where it has at most MAX_WORDS words, else 0; an empty answer has 0.

    completions: the model's answers to all turns of each prompt. baseline: those of the model that win rates are
    against. An item that cannot be measured gets a status other than "scored" and no value.
    """
    return [
        Score(answer.prompt_id, answer.prompt_id, "short", 100.0 * (0 < len(answer.turns[-1].split()) <= MAX_WORDS))
        for answer in completions
    ]
'''

TASK_TEST = '''"""{name}: worked examples, among them an empty answer."""

from __future__ import annotations

from ropo_bench.recipes.load import load_task
from ropo_bench.recipes.objects import resolve_object
from ropo_bench.types import Completion


def test_short_answers_count_and_empty_ones_do_not() -> None:
    task = load_task("{folder}tasks/{name}.yaml")
    answers = [Completion("1", 0, ("Paris",), (1,)), Completion("2", 0, ("",), (0,))]
    scores = resolve_object(task.scorer, {{}}, "scorer")(task, [], answers, [])
    assert [score.value for score in scores] == [100.0, 0.0]
'''

FILES: dict[str, dict[str, str]] = {
    "method": {"methods/{name}.yaml": METHOD},
    "loss": {"{module}.py": LOSS, "methods/{name}.yaml": LOSS_METHOD, "test_{module}.py": LOSS_TEST},
    "task": {
        "{module}.py": SCORER,
        "{module}.jsonl": PROMPTS,
        "tasks/{name}.yaml": TASK,
        "test_{module}.py": TASK_TEST,
    },
}
"""Relative path -> text of every file of a part; {folder} is where they are written, as it was given."""


def new_command(
    part: Annotated[Part, typer.Argument(help="method, loss or task.")],
    name: Annotated[str, typer.Argument(help="Its name: small letters, digits and hyphens.")],
    folder: Annotated[Path, typer.Option("--in", help="Folder that gets the files.")] = Path(),
) -> None:
    """Write the files of a part of your own."""
    for path in write(part, name, folder):
        say(str(path))
    included = f" --include {folder}"
    run = f"--methods {name}{included}" if part != "task" else f"--methods dpo --tasks {name}{included}"
    say(f"try it: ropo-bench run {run}")


def write(part: str, name: str, folder: Path) -> list[Path]:
    """Write the files and return their paths; raises UsageError for a name that is none or taken, and for a file
    that is there."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"new {part} {name}: use small letters, digits and hyphens, beginning with a letter")
    kind: Literal["tasks", "methods"] = "tasks" if part == "task" else "methods"
    if name in list_recipes(kind):
        raise UsageError(f"new {part} {name}: there is a {kind[:-1]} of this name; choose another")
    given = "" if folder == Path() else f"{folder}/"
    words = {"name": name, "module": name.replace("-", "_"), "folder": given}
    files = {folder / path.format(**words): text.format(**words) for path, text in FILES[part].items()}
    existing = [path for path in files if path.exists()]
    if existing:
        raise UsageError(f"new {part} {name}: {existing[0]} is there already; remove it, or choose another name")
    for path, text in files.items():
        atomic_write_text(path, text)
    return list(files)
