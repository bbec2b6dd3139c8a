"""Scores of judgments that exist already, by our rule or by FastChat's own.

default: a repeated (question, turn, judge) counts once, as the mean of its valid scores; an item without any is
unscored, and an answer that is an endpoint's error text has no valid score.
fastchat: what its show_result prints: rows with score -1 or winner "error" are dropped, all others count, repeated
or not. Under both, different judges never share a number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from ropo_bench.scoring.mt_bench.fastchat import Judgment
from ropo_bench.types import Measurement

RULES = ("default", "fastchat")
CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
"""Ten questions each, from question 81 on."""


@dataclass(frozen=True, slots=True)
class Item:
    """What counts once in a mean: a turn of a question, with its valid values (none: it is unscored)."""

    question: str
    turn: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelScores:
    """One model under one judge: its numbers, and what its judgments are like.

    opponents: whom it met in battles. n_duplicates: judgments beyond the first of the same item; n_repeated: items
    that have such; n_different: of these, those with different scores. n_error_answers: judgments of error texts.
    """

    model: str
    judge: str
    opponents: tuple[str, ...]
    measurements: Sequence[Measurement]
    n_duplicates: int
    n_repeated: int
    n_different: int
    n_error_answers: int


def score_judgments(judgments: Sequence[Judgment], rule: str) -> list[ModelScores]:
    """Every (model, judge), the best first; rule: one of RULES.

    Grades give `average`, `turn_1`, `turn_2` and `category/NAME` (1..10). Battles give `wwr`, `win`, `tie`, `loss`,
    `wwr_turn_1`, `wwr_turn_2` and `wwr/NAME` (0..100), over all opponents; FastChat's win_rate, loss_rate and
    win_rate_adjusted are win, loss and wwr divided by 100.
    """
    groups: dict[tuple[str, str], list[Judgment]] = defaultdict(list)
    for judgment in judgments:
        groups[judgment.model, judgment.judge].append(judgment)
    models = [_model_scores(model, judge, group, rule) for (model, judge), group in groups.items()]
    return sorted(models, key=lambda scores: (-(scores.measurements[0].value or 0.0), scores.model, scores.judge))


def baseline(judgments: Sequence[Judgment]) -> str | None:
    """The model that is the second of every battle, as FastChat writes battles with a baseline; else None.

    judgments: as read_judgments gives battles, the first model's side before the second's.
    """
    seconds = {judgment.opponent for judgment in judgments[::2]}
    return seconds.pop() if len(seconds) == 1 and "" not in seconds else None


def _model_scores(model: str, judge: str, judgments: Sequence[Judgment], rule: str) -> ModelScores:
    same: dict[tuple[str, int, str], list[Judgment]] = defaultdict(list)
    for judgment in judgments:
        same[judgment.question, judgment.turn, judgment.opponent].append(judgment)
    if rule == "fastchat":
        items = [_item([judgment]) for judgment in judgments]
    else:
        items = [_item(group, skip_errors=True) for group in same.values()]
    repeated = [group for group in same.values() if len(group) > 1]
    opponents = tuple(sorted({judgment.opponent for judgment in judgments} - {""}))
    return ModelScores(
        model,
        judge,
        opponents,
        _battle_measurements(items) if opponents else _grade_measurements(items),
        n_duplicates=len(judgments) - len(same),
        n_repeated=len(repeated),
        n_different=sum(len({judgment.value for judgment in group}) > 1 for group in repeated),
        n_error_answers=sum(judgment.error_answer for judgment in judgments),
    )


def _item(judgments: Sequence[Judgment], skip_errors: bool = False) -> Item:
    valid = [j.value for j in judgments if j.value is not None and not (skip_errors and j.error_answer)]
    return Item(judgments[0].question, judgments[0].turn, tuple(valid))


def _grade_measurements(items: Sequence[Item]) -> list[Measurement]:
    return [_mean("average", items), *_parts(items, "turn_", "category/")]


def _battle_measurements(items: Sequence[Item]) -> list[Measurement]:
    shares = {"win": 100.0, "tie": 50.0, "loss": 0.0}
    whole = [_mean("wwr", items), *(_mean(name, items, meaning) for name, meaning in shares.items())]
    return [*whole, *_parts(items, "wwr_turn_", "wwr/")]


def _parts(items: Sequence[Item], turn_prefix: str, category_prefix: str) -> list[Measurement]:
    turns: dict[int, list[Item]] = defaultdict(list)
    categories: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        turns[item.turn].append(item)
        categories[category(item.question)].append(item)
    parts = [_mean(f"{turn_prefix}{turn}", turns[turn]) for turn in sorted(turns)]
    return parts + [_mean(category_prefix + name, categories[name]) for name in CATEGORIES if name in categories]


def category(question: str) -> str:
    """The category of an MT-Bench question by its number (81..160), "" for another question."""
    index = (int(question) - 81) // 10 if question.isdecimal() else -1
    return CATEGORIES[index] if 0 <= index < len(CATEGORIES) else ""


def _mean(metric: str, items: Sequence[Item], share: float | None = None) -> Measurement:
    """Mean over scored items of their values, or of the percentage of their values that are equal to `share`.

    Its standard error is over questions: a linearised mean over clusters of unequal size.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for item in items:
        if item.values:
            read = item.values if share is None else [100.0 * (value == share) for value in item.values]
            values[item.question].append(fmean(read))
    n = sum(map(len, values.values()))
    if not n:
        return Measurement("mt-bench", metric, None, None, 0, len(items))
    value = fmean(item_value for own in values.values() for item_value in own)
    error = None
    if len(values) > 1:
        residuals = [sum(item_value - value for item_value in own) for own in values.values()]
        error = sqrt(len(values) / (len(values) - 1) * sum(r * r for r in residuals)) / n
    return Measurement("mt-bench", metric, value, error, n, len(items) - n)
