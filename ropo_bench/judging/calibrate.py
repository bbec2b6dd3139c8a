"""How far two judges agree on the same battles, and whether the order or the length of answers sways one of them.

Agreement: accuracy over all battles, and over those where neither says tie (the two set-ups of arXiv 2306.05685,
section 4.2); Cohen's kappa over the verdicts a, b, tie (Cohen 1960). Standard errors by bootstrap over prompts.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import numpy as np

from ropo_bench.errors import UsageError
from ropo_bench.sources.assets import read_given
from ropo_bench.statistics.estimators import bootstrap_clusters
from ropo_bench.store.bounded import parse_json
from ropo_bench.types import JudgeAnswer, JudgeCall, Prompt

Side = Literal["a", "b", "tie"]
PREFERENCES: Mapping[str, float] = {"a": 1.0, "b": 0.0, "tie": 0.5}
FORMS = '{"prompt", "answer_a", "answer_b", "winner": "a" | "b" | "tie"} a line, or alpaca_eval annotations'


@dataclass(frozen=True, slots=True)
class Battle:
    """Two answers to a prompt and a verdict: preference 1 for a, 0 for b, 0.5 a tie, None without one.

    first: which answer the judge was shown first, None where that is not known.
    """

    prompt: str
    answer_a: str
    answer_b: str
    preference: float | None
    first: Literal["a", "b"] | None = None

    @property
    def side(self) -> Side | None:
        """The winner, None without a verdict."""
        if self.preference is None:
            return None
        return "tie" if self.preference == 0.5 else "a" if self.preference > 0.5 else "b"


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a calibration; value is None where the battles say nothing about it."""

    value: float | None
    standard_error: float | None
    n: int
    n_unscored: int = 0


# -- files -------------------------------------------------------------------------------------------------------


def read_battles(path: Path, is_switched: Callable[[str], bool] | None = None) -> list[Battle]:
    """Verdicts of people or of a judge: JSON lines, or alpaca_eval's annotations (JSON), each also gzipped.

    In annotations a is output_1 (the baseline), b output_2. is_switched: whether alpaca_eval showed output_2 first,
    by the instruction. A verdict that is null has no preference, one of 0 is a tie. Raises UsageError for a
    file of another form.
    """
    text = read_given(path, f"a file of {FORMS}")
    if text.lstrip().startswith("["):
        rows = enumerate(_json(path, text, "the file"), 1)
        battles = [_annotation(f"{path}, annotation {n}", row, is_switched) for n, row in rows]
    else:
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        battles = [_line(f"{path}, line {n}", _json(path, line, f"line {n}")) for n, line in lines]
    if not battles:
        raise UsageError(f"{path}: holds no verdict; give a file of {FORMS}")
    return battles


def _json(path: Path, text: str, what: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise UsageError(f"{path}: {what} is not JSON ({error}); give a file of {FORMS}") from None


def _line(where: str, row: Any) -> Battle:
    winner = row.get("winner") if isinstance(row, dict) else None
    is_winner = winner is None or (isinstance(winner, str) and winner in PREFERENCES)
    if not isinstance(row, dict) or not is_winner or "winner" not in row:
        raise UsageError(f"{where}: not a verdict, given {json.dumps(row)[:80]}; give {FORMS}")
    prompt = row["prompt"] if "prompt" in row else row.get("instruction")
    texts = _texts(where, (prompt, row.get("answer_a"), row.get("answer_b")))
    return Battle(*texts, None if winner is None else PREFERENCES[winner])


def _annotation(where: str, row: Any, is_switched: Callable[[str], bool] | None) -> Battle:
    given = row.get("preference") if isinstance(row, dict) else None
    if not isinstance(row, dict) or "preference" not in row:
        raise UsageError(f"{where}: has no preference; give {FORMS}")
    prompt, answer_a, answer_b = _texts(where, [row.get(key) for key in ("instruction", "output_1", "output_2")])
    first: Literal["a", "b"] | None = None
    if is_switched is not None:
        first = "b" if is_switched(prompt) else "a"
    if given is None or (isinstance(given, float) and math.isnan(given)):
        return Battle(prompt, answer_a, answer_b, None, first)
    if given == 0 and given is not False:  # how old annotations write a tie, as leaderboard.read_annotations reads it
        given = 1.5
    if not isinstance(given, int | float) or isinstance(given, bool) or not 1 <= given <= 2:
        raise UsageError(f"{where}: a preference is from 1 to 2, given {given!r}; give {FORMS}")
    return Battle(prompt, answer_a, answer_b, 2 - float(given), first)


def _texts(where: str, values: Sequence[Any]) -> tuple[str, str, str]:
    if not all(isinstance(value, str) for value in values):
        raise UsageError(f"{where}: prompt and both answers must be texts; give {FORMS}")
    prompt, answer_a, answer_b = values
    return prompt, answer_a, answer_b


# -- asking a judge in words -------------------------------------------------------------------------------------


def battle_calls(battles: Sequence[Battle], make: Callable[[Prompt, str, str], JudgeCall]) -> list[JudgeCall]:
    """Two calls a battle, a shown first and b shown first; make as for canaries."""
    calls = []
    for i, battle in enumerate(battles):
        prompt = Prompt(f"calibrate/{i}", (battle.prompt,))
        calls.append(replace(make(prompt, battle.answer_a, battle.answer_b), item=f"calibrate/{i}/ab"))
        calls.append(replace(make(prompt, battle.answer_b, battle.answer_a), item=f"calibrate/{i}/ba"))
    return calls


def shown_battles(
    battles: Sequence[Battle],
    answers: Mapping[str, JudgeAnswer],
    read: Callable[[JudgeAnswer], float | None],
) -> list[Battle]:
    """The judge's own verdicts, two a battle in the order of `battle_calls`; read: preference for the first shown."""
    verdicts = []
    for i, battle in enumerate(battles):
        for order in ("ab", "ba"):
            answer = answers.get(f"calibrate/{i}/{order}")
            given = None if answer is None else read(answer)
            if order == "ab":
                verdicts.append(replace(battle, preference=given, first="a"))
            else:
                verdicts.append(replace(battle, preference=None if given is None else 1 - given, first="b"))
    return verdicts


def both_orders(verdicts: Sequence[Battle]) -> list[Battle]:
    """One verdict a battle: the mean of its two, so that orders that disagree are a tie; None unless both say one."""
    battles = []
    for ab, ba in zip(verdicts[::2], verdicts[1::2], strict=True):
        both = None if ab.preference is None or ba.preference is None else (ab.preference + ba.preference) / 2
        battles.append(replace(ab, preference=both, first=None))
    return battles


# -- agreement ---------------------------------------------------------------------------------------------------

Pair = tuple[Battle, Battle]


def match_battles(reference: Sequence[Battle], judge: Sequence[Battle]) -> tuple[list[Pair], int]:
    """Each reference battle beside the judge's verdict on the same texts, and how many have none.

    The answers may be named a and b the other way round. Several verdicts of the judge on one battle count as
    their mean; several of the reference (people) stay several.
    """
    preferences: dict[Hashable, list[float | None]] = defaultdict(list)
    for battle in judge:
        preferences[battle.prompt, battle.answer_a, battle.answer_b].append(battle.preference)
        if battle.answer_a != battle.answer_b:
            mirrored = None if battle.preference is None else 1 - battle.preference
            preferences[battle.prompt, battle.answer_b, battle.answer_a].append(mirrored)
    pairs = []
    for battle in reference:
        given = preferences.get((battle.prompt, battle.answer_a, battle.answer_b))
        if given is not None:
            scored = [value for value in given if value is not None]
            preference = fmean(scored) if scored else None
            pairs.append((battle, Battle(battle.prompt, battle.answer_a, battle.answer_b, preference)))
    return pairs, len(reference) - len(pairs)


def agreement(pairs: Sequence[Pair]) -> dict[str, Metric]:
    """accuracy and accuracy_non_ties (0..100), kappa (-1..1); pairs where either has no verdict are unscored."""
    scored = [pair for pair in pairs if pair[0].side is not None and pair[1].side is not None]
    unscored = len(pairs) - len(scored)
    decided = [pair for pair in scored if "tie" not in (pair[0].side, pair[1].side)]
    return {
        "accuracy": _metric(scored, accuracy, unscored),
        "accuracy_non_ties": _metric(decided, accuracy, unscored),
        "kappa": _metric(scored, cohens_kappa, unscored),
    }


def accuracy(pairs: Sequence[Pair]) -> float:
    """Share of equal verdicts, in percent."""
    return 100 * fmean(a.side == b.side for a, b in pairs)


def cohens_kappa(pairs: Sequence[Pair]) -> float:
    """(p_o - p_e) / (1 - p_e), of observed and chance agreement; NaN where chance alone agrees on everything."""
    observed = fmean(a.side == b.side for a, b in pairs)
    expected = sum(
        fmean(a.side == side for a, _ in pairs) * fmean(b.side == side for _, b in pairs) for side in PREFERENCES
    )
    return math.nan if expected == 1 else (observed - expected) / (1 - expected)


# -- biases ------------------------------------------------------------------------------------------------------


def position_bias(battles: Sequence[Battle]) -> Metric:
    """Mean preference for a where a was shown first, less that where b was: -100..100 points, 0 is fair.

    Both orders of every battle give it paired; one random order a battle gives it unpaired. n: battles shown.
    """
    ordered = [battle for battle in battles if battle.first is not None]
    scored = [battle for battle in ordered if battle.preference is not None]
    return _metric(scored, _first_minus_second, len(ordered) - len(scored))


def longer_share(battles: Sequence[Battle]) -> Metric:
    """How often the longer answer (in characters) wins, in percent, ties half; of equal length are left out."""
    uneven = [battle for battle in battles if len(battle.answer_a) != len(battle.answer_b)]
    scored = [battle for battle in uneven if battle.preference is not None]
    return _metric(scored, _longer_wins, len(uneven) - len(scored))


def _first_minus_second(battles: Sequence[Battle]) -> float:
    preferences = {side: [b.preference for b in battles if b.first == side] for side in ("a", "b")}
    if not preferences["a"] or not preferences["b"]:
        return math.nan
    return 100 * (_mean(preferences["a"]) - _mean(preferences["b"]))


def _longer_wins(battles: Sequence[Battle]) -> float:
    wins = []
    for battle in battles:
        side = battle.side
        longer = "a" if len(battle.answer_a) > len(battle.answer_b) else "b"
        wins.append(0.5 if side == "tie" else float(side == longer))
    return 100 * fmean(wins)


def _mean(values: Sequence[float | None]) -> float:
    return fmean(value for value in values if value is not None)


def _prompt(row: Battle | Pair) -> str:
    return row.prompt if isinstance(row, Battle) else row[0].prompt


def _metric(rows: Sequence[Any], statistic: Callable[[Sequence[Any]], float], n_unscored: int) -> Metric:
    """A statistic of battles or pairs, with its standard error by bootstrap over their prompts."""
    if not rows:
        return Metric(None, None, 0, n_unscored)
    by_prompt: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_prompt[_prompt(row)].append(row)
    clusters = list(by_prompt.values())
    estimate = bootstrap_clusters(
        lambda drawn: np.array([statistic([row for i in drawn for row in clusters[i]])]), len(clusters)
    )
    value, error = (None if x is None or math.isnan(x) else x for x in estimate)
    return Metric(value, error, len(rows), n_unscored)
