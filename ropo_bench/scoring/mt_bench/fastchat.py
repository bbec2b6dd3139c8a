"""Reads FastChat's judgment files: single grades, and battles in either of its two forms."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.sources.assets import read_given
from ropo_bench.store.bounded import parse_json

_FAMILIES = {"single-v1", "single-math-v1", "pair-v2", "pair-math-v1"}  # one protocol each way, by category
_MULTI_TURN = "-multi-turn"
_ERROR_ANSWER = re.compile(
    r"^(?:\[The Start of Assistant(?: [AB])?'s Answer\]|### Assistant [AB]:)\n[ \t]*(?:\$ERROR\$|ERROR)[ \t]*$", re.M
)
_WON = {"model_1": 100.0, "model_2": 0.0}
_WINNERS = (*_WON, "tie", "error")


@dataclass(frozen=True, slots=True)
class Judgment:
    """One judgment of one model's answer: a grade, or 0, 50 or 100 for a battle with `opponent`.

    value None: no verdict (-1 or "error"). judge: its name, and the template where it is not an official one.
    error_answer: what was judged is an endpoint's error text.
    """

    question: str
    turn: int
    model: str
    opponent: str
    judge: str
    value: float | None
    error_answer: bool


def read_judgments(path: Path, pairwise: bool) -> list[Judgment]:
    """All judgments of a file (.gz accepted), a battle once for each side, the first model's side first.

    Raises UsageError naming the line that is not such a judgment, and for an empty file.
    """
    read = _battle if pairwise else _grade
    return [judgment for number, row in read_rows(path) for judgment in _check(path, number, row, read, pairwise)]


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and JSON object of every line that is not empty, gunzipped; raises UsageError."""
    text = read_given(path, "a file of JSON lines as FastChat writes them, perhaps as .gz")
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: not JSON ({error}); mend or remove that line") from error
        if not isinstance(row, dict):
            raise UsageError(
                f"{path}, line {number}: not a JSON object, given {line[:40]!r}; mend or remove that line"
            )
        yield number, row


def _check(
    path: Path,
    number: int,
    row: Mapping[str, Any],
    read: Callable[[Mapping[str, Any]], list[Judgment]],
    pairwise: bool,
) -> list[Judgment]:
    if pairwise != ("model_1" in row) and ("model" in row or "model_1" in row):
        what, mend = ("grades", "leave --pairwise out") if pairwise else ("battles", "give --pairwise")
        raise UsageError(f"{path}, line {number}: a file of {what}; {mend}")
    try:
        return read(row)
    except KeyError as error:
        problem = f"no {error.args[0]}"
    except (ValueError, TypeError) as error:
        problem = str(error)
    needs = "model_1, model_2, judge, g1_winner and g2_winner" if pairwise else "model, judge, score and turn"
    raise UsageError(f"{path}, line {number}: not a judgment ({problem}); FastChat's lines have question_id, {needs}")


def _grade(row: Mapping[str, Any]) -> list[Judgment]:
    score = -1 if row["score"] is None else row["score"]
    if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
        raise ValueError(f"score must be a number, given {score!r}")
    error = bool(_ERROR_ANSWER.search(str(row.get("user_prompt", ""))))
    value = None if score == -1 else float(score)
    return [Judgment(_question(row), _turn(row["turn"]), _model(row, "model"), "", _judge(row), value, error)]


def _battle(row: Mapping[str, Any]) -> list[Judgment]:
    model, opponent = _model(row, "model_1"), _model(row, "model_2")
    if model == opponent:
        raise ValueError(f"model_1 and model_2 are both {model!r}")
    won = _won(row)
    error = any(_ERROR_ANSWER.search(str(row.get(f"{game}_user_prompt", ""))) for game in ("g1", "g2"))
    question, judge, turn = _question(row), _judge(row), _turn(row.get("turn", 1))
    return [
        Judgment(question, turn, model, opponent, judge, won, error),
        Judgment(question, turn, opponent, model, judge, None if won is None else 100 - won, error),
    ]


def _won(row: Mapping[str, Any]) -> float | None:
    """100, 50 or 0 for model_1, None without a verdict in both orders; orders that disagree are a tie."""
    if "winner" in row:
        games = [row["winner"]] if row["winner"] != "inconsistent" else ["tie"]
    else:
        games = [row["g1_winner"], row["g2_winner"]]
    for winner in games:
        if winner not in _WINNERS:
            raise ValueError(f"a winner is one of {', '.join(_WINNERS)}, given {winner!r}")
    if "error" in games:
        return None
    return _WON.get(games[0], 50.0) if len(set(games)) == 1 else 50.0


def _question(row: Mapping[str, Any]) -> str:
    question = _whole(row["question_id"])
    if not isinstance(question, int | str):
        raise ValueError(f"question_id must be a whole number or a text, given {question!r}")
    return str(question)


def _turn(given: object) -> int:
    turn = _whole(given)
    if not isinstance(turn, int) or isinstance(turn, bool) or turn < 1:
        raise ValueError(f"turn must be 1 or 2, given {turn!r}")
    return turn


def _whole(number: object) -> object:
    """A float that is whole as the int that pandas made it from; anything else as it is."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _model(row: Mapping[str, Any], key: str) -> str:
    if not isinstance(row[key], str) or not row[key]:
        raise ValueError(f"{key} must be a name, given {row[key]!r}")
    return str(row[key])


def _judge(row: Mapping[str, Any]) -> str:
    """The judge's name; judges asked with another template than the official ones are other judges."""
    judge = row["judge"]
    if isinstance(judge, str):
        return judge
    if not isinstance(judge, list) or not judge or not all(isinstance(part, str) for part in judge):
        raise ValueError(f"judge must be a name and a template, given {judge!r}")
    family = judge[1].removesuffix(_MULTI_TURN) if len(judge) > 1 else ""
    return judge[0] if family in _FAMILIES or not family else f"{judge[0]} ({family.replace('-math', '')})"
