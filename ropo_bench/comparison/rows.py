"""What may be compared of two runs: which rows, what makes a pair meaningless, what only differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ropo_bench.comparison.items import BATTLES
from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import in_words, suggest
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.reading import Run, open_run
from ropo_bench.store import Store


@dataclass(frozen=True, slots=True)
class Side:
    """One row of one run, and how it is called in the comparison."""

    run: Run
    row: str
    label: str

    @property
    def num_seeds(self) -> int:
        return len(self.run.rows[self.row])

    @property
    def method(self) -> MethodRecipe | None:
        """The row's method as it was trained; None of the SFT model and of a checkpoint."""
        return next((method for method in self.run.record.request.methods if method.name == self.row), None)


def choose(store: Store, first: str, second: str | None, rows: str | None) -> list[tuple[Side, Side]]:
    """The pairs of rows that the command line means; raises UsageError where it means none.

    One run: all pairs of the rows asked for. Two runs: the rows of the same name in both. RUN:ROW RUN:ROW: those,
    of one run as its --rows.
    """
    names = None if rows is None else list(dict.fromkeys(name.strip() for name in rows.split(",")))
    if second is None:
        return list(combinations(_of_one_run(store, first, names or []), 2))
    (a, row_a), (b, row_b) = _spec(store, first), _spec(store, second)
    command = f"compare {first} {second}"
    if (row_a is None) != (row_b is None) or (row_a is not None and names is not None):
        raise UsageError(f"{command}: give RUN:ROW on both sides, or two runs, of which --rows picks the rows")
    if a.record.base != b.record.base:
        bases = [f"{run.record.request.suite.base} {run.record.base[:12]}" for run in (a, b)]
        raise UsageError(f"{command}: different base models ({' | '.join(bases)}); compare rows of one base")
    if row_a is not None and row_b is not None:
        chosen = [(row_a, row_b)]
    else:
        for name in names or []:
            _check_row(name, a)
            _check_row(name, b)
        chosen = [(name, name) for name in a.rows if name in (names or b.rows)]
    if not chosen:
        rows_of_both = " | ".join(", ".join(run.rows) for run in (a, b))
        raise UsageError(f"{command}: no row has one name in both ({rows_of_both}); give {a.name}:ROW {b.name}:ROW")
    if (a.name, chosen[0][0]) == (b.name, chosen[0][1]):
        raise UsageError(f"{command}: that is a row with itself; name another run or row")
    if a.name == b.name:
        return [(Side(a, x, x), Side(a, y, y)) for x, y in chosen]
    return [(Side(a, x, f"{a.name}:{x}"), Side(b, y, f"{b.name}:{y}")) for x, y in chosen]


def _of_one_run(store: Store, first: str, names: Sequence[str]) -> list[Side]:
    run, row = _spec(store, first)
    rows = list(run.rows)
    if row is not None or len(names) < 2:
        raise UsageError(
            f"compare {first}: name two runs, two RUN:ROW, or rows of one run, such as "
            f"compare {run.name} --rows {','.join(rows[-2:])}; its rows: {', '.join(rows)}"
        )
    return [Side(run, _check_row(name, run), name) for name in names]


def _spec(store: Store, spec: str) -> tuple[Run, str | None]:
    name, colon, row = spec.partition(":")
    run = open_run(store, name)
    return run, _check_row(row, run) if colon else None


def _check_row(name: str, run: Run) -> str:
    if name not in run.rows:
        hint = suggest(name, list(run.rows)) or "known: " + ", ".join(run.rows)
        raise UsageError(f"run {run.name} has no row {name!r}; {hint}")
    return name


def obstacle(task: str, a: Run, b: Run) -> str | None:
    """Why the scores of a task in two runs are no pair, in a few words; None where they are.

    Prompts, scorer, its options, the opponent and the judge must be the same. Decoding may differ, unless the
    opponent is the base model, whose answers it changes too.
    """
    first, second = a.tasks[task], b.tasks[task]
    keys = ["prompts", "scorer", "options", "baseline"]
    for key in keys + ["decoding"] * judged_against_base(first):
        left, right = getattr(first, key), getattr(second, key)
        if left != right:
            return f"its {key} differ: {differing(left, right)}"
    judges = [run.record.request.judges.get(task) for run in (a, b)]
    return None if judges[0] == judges[1] else f"its judges differ: {differing(*judges)}"


def judged_against_base(task: TaskRecipe) -> bool:
    """Whether a task's items are battles with the base model's answers."""
    return task.baseline is None and any(name in column.metric for column in task.columns for name in BATTLES)


def differences(a: Side, b: Side, tasks: Sequence[str]) -> Iterator[str]:
    """What else differs between two rows of two runs, and so may be what the difference comes from."""
    yield from _settings("method", a.method, b.method)
    for task in tasks:
        yield from _settings(f"{task} decoding", *(side.run.tasks[task].decoding for side in (a, b)))
    records = [side.run.record for side in (a, b)]
    yield from _settings("preference data", *(record.data and record.data.sha256[:16] for record in records))
    provenances = [record.provenance for record in records]
    yield from _settings("code", *(_commit(provenance["code"]) for provenance in provenances))
    for key in ("ropo_bench", "packages", "python", "platform", "hardware"):
        yield from _settings(key, *(provenance[key] for provenance in provenances))


def _commit(code: Mapping[str, Any]) -> str | None:
    commit = code["commit"]
    return None if commit is None else f"{commit[:12]}{' with changes' if code['dirty'] else ''}"


def _settings(what: str, left: Any, right: Any) -> Iterator[str]:
    if left != right:
        yield f"{what}: {differing(left, right)}"


def differing(left: Any, right: Any) -> str:
    """The leaves of two values that differ, `key A | B`; the names and descriptions of recipes are no setting."""
    left, right = _plain(left), _plain(right)
    if not (isinstance(left, Mapping) and isinstance(right, Mapping)):
        return f"{_format(left)} | {_format(right)}"
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    named = [key for key in keys if key not in ("name", "description")] or keys
    return ", ".join(f"{key} {differing(left.get(key), right.get(key))}" for key in named)


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value


def _format(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else in_words(value)
