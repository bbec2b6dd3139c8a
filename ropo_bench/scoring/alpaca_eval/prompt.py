"""What AlpacaEval 2's judge is asked: the official prompt, and which of the two answers it sees first."""

from __future__ import annotations

import random
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.types import Message

TEMPLATE = "evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"
# The seed of its PairwiseAnnotator; the published verdicts follow it on every instruction.
SEED = 0
_MESSAGE = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", re.DOTALL)
_SLOT = re.compile(r"\{(instruction|output_1|output_2)\}")


@cache
def template() -> str:
    """The prompt in the installed alpaca_eval, which is not imported; raises UsageError where it is not there."""
    package = find_spec("alpaca_eval")
    folders = package.submodule_search_locations if package else None
    path = Path((folders or ["alpaca_eval"])[0], TEMPLATE)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"AlpacaEval 2's judge prompt: {path} cannot be read ({error.strerror});"
            " pip install 'alpaca-eval>=0.6.6,<0.7'"
        ) from None


def messages(instruction: str, first: str, second: str) -> tuple[Message, ...]:
    """The chat that asks which of two answers is better; the first is called m, the second M.

    The messages of the official ChatML text. The answers are filled in after it was cut into messages, so that
    an answer with ChatML marks or slots of its own cannot change the question, as it can in alpaca_eval.
    """
    texts = {"instruction": instruction, "output_1": first, "output_2": second}
    return tuple(
        Message(role=role, content=_SLOT.sub(lambda slot: texts[slot[1]], content.strip()))
        for role, content in _MESSAGE.findall(template())
    )


def is_switched(instruction: str) -> bool:
    """Whether the model's answer is shown first: drawn from the instruction as alpaca_eval draws it."""
    draw = random.Random(f"is_switched_outputs{instruction}{SEED}")
    return draw.choices([False, True], k=1)[0]
