"""Prompt difficulties for length control: fitted once from reference models, frozen in a file, read in a run.

Frozen, because a difficulty that was refitted in a run would let one new row change every other cell.
Shapes: M reference models, X prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ropo_bench.errors import UsageError
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.sources.options import option_path
from ropo_bench.store.bounded import parse_json, read_bounded
from ropo_bench.types import Prompt

ALPACA_EVAL = "asset:alpaca_eval/calibration/instruction_difficulty.csv"


def read_difficulties(task: TaskRecipe, prompts: Sequence[Prompt]) -> Mapping[str, float] | None:
    """The frozen difficulties that options.difficulties names, or None where the task has none.

    A JSON file {prompt id: float}; "pocket:NAME" is a shipped one, the asset ALPACA_EVAL is that benchmark's
    own, matched by instruction. Raises UsageError for a file that cannot be read or that lacks a prompt.
    """
    name = task.options.get("difficulties")
    if name is None:
        return None
    where = f"task {task.name}: difficulties {name}"
    difficulties = _of_alpaca_eval(prompts) if name == ALPACA_EVAL else _of_file(str(name), where)
    missing = [prompt.id for prompt in prompts if prompt.id not in difficulties]
    if missing:
        raise UsageError(
            f"{where}: has none for prompt {missing[0]!r} and {len(missing) - 1} more; fit difficulties for"
            " this prompt set, or leave them out (options: {difficulties: null}) and get lc_win_rate_nodiff"
        )
    return difficulties


def _of_alpaca_eval(prompts: Sequence[Prompt]) -> Mapping[str, float]:
    from ropo_bench.scoring.alpaca_eval import calibration

    rows = calibration.rows_of([prompt.turns[0] for prompt in prompts])
    difficulties = calibration.difficulties()
    return {prompt.id: float(difficulties[row]) for prompt, row in zip(prompts, rows, strict=True) if row is not None}


def _of_file(name: str, where: str) -> Mapping[str, float]:
    try:
        return {str(key): float(value) for key, value in parse_json(read_bounded(option_path(name))).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{where}: cannot be read ({error}); give a JSON file of prompt id and difficulty"
        ) from error
