"""claims.yaml: a list of sentences such as `ropo > dpo on alpaca-eval-2.lc_win_rate by >= 2`, read strictly.

- ropo > dpo on pocket-arena.win_rate by >= 2              # higher by 2 at least; < for lower
- ropo >= dpo on pocket-commonsense.accuracy within 3      # not lower by 3 or more; <= for not higher
- ropo = dpo on diversity.distinct_2 within 5              # neither
- {claim: "ropo on mt-bench.score_corrected >= 7", id: level, why: what a reader should know}
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ropo_bench.claims.rule import Region
from ropo_bench.errors import UsageError
from ropo_bench.recipes.errors import problems
from ropo_bench.recipes.files import MAX_CHARACTERS, display_path, in_words, parse_yaml, suggest
from ropo_bench.recipes.method import Recipe
from ropo_bench.store.bounded import read_bounded

OPERATORS = (">", "<", ">=", "<=", "=")
_WORD = re.compile(r"[<>=]+|[^\s<>=]+")


class ClaimEntry(Recipe):
    """One claim of the file; a sentence alone is the claim. id: a short name; why: for readers."""

    claim: str
    id: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What is claimed of `row`, or of the difference `row - other`: that it lies within the region.

    places: of "row", "other", "task" and "metric", as errors print them ("claims.yaml:3:10").
    """

    text: str
    row: str
    other: str | None
    task: str
    metric: str
    region: Region
    id: str | None
    why: str | None
    places: Mapping[str, str]


def read_claims(path: Path) -> list[Claim]:
    """All claims of a file; raises UsageError with file, line and column of the first mistake."""
    where = display_path(path)
    try:
        text = read_bounded(path, 4 * MAX_CHARACTERS).decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{where}: no such file; write claims into it, or name another with --claims FILE") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: cannot be read ({error}); give a YAML file in UTF-8") from None
    data, lines = parse_yaml(text, lambda line: f"{where}:{line}")
    if not isinstance(data, list) or not data:
        raise UsageError(f"{where}:1: must be a list of claims, given {in_words(data)}; start each with a dash")
    origins = {at: f"{where}:{line}" for at, line in lines.items()}
    source = text.splitlines()
    claims: list[Claim] = []
    for index, given in enumerate(data):
        entry = {"claim": given} if isinstance(given, str) else given
        here = {at[1:]: place for at, place in origins.items() if at[0] == index}
        if not isinstance(entry, dict):
            raise UsageError(f"{here[()]}: a claim is a sentence or a mapping with claim:, given {in_words(given)}")
        for place, problem in problems(ClaimEntry, entry, here):
            raise UsageError(f"{place or here[()]}: {problem}")
        checked = ClaimEntry.model_validate(entry)
        line = lines.get((index, "claim"), lines[index,])
        claims.append(_Sentence(checked, where, line, source).read())
        if checked.id is not None and checked.id in {claim.id for claim in claims[:-1]}:
            raise UsageError(f"{here['id',]}: two claims have the id {checked.id!r}; rename one of them")
    return claims


class _Sentence:
    """A claim's words from left to right, and where in the file each stands."""

    def __init__(self, entry: ClaimEntry, file: str, line: int, source: list[str]) -> None:
        self.entry, self.file, self.line = entry, file, line
        # A sentence over several lines, or with escapes, has a line but no columns.
        self.start = source[line - 1].find(entry.claim) if entry.claim else -1
        self.words: Iterator[re.Match[str]] = _WORD.finditer(entry.claim)
        self.at = len(entry.claim)

    def read(self) -> Claim:
        row = self._row()
        places = {"row": self._place()}
        word = self._take(f"one of {' '.join(OPERATORS)}, or `on`", "> dpo on TASK.METRIC")
        if word == "on":
            task, metric = self._target(places)
            return self._claim(row, None, task, metric, self._level(), places)
        operator = self._operator(word, ("on",))
        other = self._row()
        places["other"] = self._place()
        if other == row:
            self._fail(f"{row!r} is compared with itself; name another row")
        self._expect("on", "on TASK.METRIC")
        task, metric = self._target(places)
        return self._claim(row, other, task, metric, self._margin(operator), places)

    def _claim(
        self, row: str, other: str | None, task: str, metric: str, region: Region, places: Mapping[str, str]
    ) -> Claim:
        return Claim(self.entry.claim, row, other, task, metric, region, self.entry.id, self.entry.why, places)

    def _row(self) -> str:
        word = self._take("a row", "ropo > dpo on TASK.METRIC")
        if word == "on" or word[0] in "<>=":
            self._fail(f"expected a row, given {word!r}; such as ropo > dpo on TASK.METRIC")
        return word

    def _target(self, places: dict[str, str]) -> tuple[str, str]:
        word = self._take("TASK.METRIC", "mt-bench.score_corrected")
        task, dot, metric = word.partition(".")
        if not (task and dot and metric):
            self._fail(f"must be TASK.METRIC, given {word!r}; such as mt-bench.score_corrected")
        places["task"] = self._place()
        places["metric"] = self._place(len(task) + 1)
        return task, metric

    def _level(self) -> Region:
        operator = self._operator(self._take("one of > < >= <=", ">= 7"), ())
        if operator == "=":
            self._fail("a level cannot be claimed to be exact; use >= or <=")
        value = self._number(low=-math.inf)
        self._end()
        return Region(low=value) if operator[0] == ">" else Region(high=value)

    def _margin(self, operator: str) -> Region:
        """What follows TASK.METRIC: `by >= MARGIN` (optional) after > and <, `within MARGIN` after >=, <= and =."""
        word = self._next()
        if operator in (">", "<"):
            margin = 0.0
            if word is not None:
                if word != "by":
                    self._fail(f"{operator!r} is followed by `by >= MARGIN` or nothing, given {word!r}")
                self._expect(">=", ">= 2")
                margin = self._number(low=0)
            self._end()
            return Region(low=margin) if operator == ">" else Region(high=0.0 - margin)
        if word != "within":
            given = "nothing" if word is None else repr(word)
            self._fail(f"{operator!r} between rows needs `within MARGIN`, given {given}; within 2, say")
        margin = self._number(low=0, strict=True)
        self._end()
        return Region(-math.inf if operator == "<=" else -margin, math.inf if operator == ">=" else margin)

    def _operator(self, word: str, others: tuple[str, ...]) -> str:
        if word not in OPERATORS:
            hint = suggest(word, (*OPERATORS, *others)) or f"expected one of {' '.join((*OPERATORS, *others))}"
            self._fail(f"unknown operator {word!r}; {hint}")
        return word

    def _number(self, low: float, strict: bool = False) -> float:
        word = self._take("a number", "2")
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < low or (strict and value == low):
            above = "" if low == -math.inf else " above 0" if strict else " of 0 or more"
            self._fail(f"must be a number{above}, given {word!r}")
        return value

    def _expect(self, wanted: str, example: str) -> None:
        word = self._take(f"`{wanted}`", example)
        if word != wanted:
            self._fail(f"expected `{wanted}`, given {word!r}; such as {example}")

    def _end(self) -> None:
        word = self._next()
        if word is not None:
            self._fail(f"nothing may follow the claim, given {word!r}; one claim an entry")

    def _take(self, wanted: str, example: str) -> str:
        word = self._next()
        if word is None:
            self._fail(f"the claim ends where {wanted} is expected; such as {example}")
        assert word is not None
        return word

    def _next(self) -> str | None:
        match = next(self.words, None)
        self.at = match.start() if match else len(self.entry.claim)
        return match.group() if match else None

    def _place(self, offset: int = 0) -> str:
        column = f":{self.start + self.at + offset + 1}" if self.start >= 0 else ""
        return f"{self.file}:{self.line}{column}"

    def _fail(self, problem: str) -> None:
        raise UsageError(f"{self._place()}: {problem} (claim: {self.entry.claim})")
