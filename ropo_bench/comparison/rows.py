"""What may be compared of two runs: their records side by side, what makes a pair meaningless, what only differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from ropo_bench.comparison.items import BATTLES
from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import in_words, suggest
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.store import Store

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Side:
    """One row of one run, and how it is called in the comparison."""

    run: str
    row: str
    label: str
    record: Record = field(repr=False)

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """What the record says of it, one a seed."""
        return [row for row in self.record["rows"] if row["name"] == self.row]

    @property
    def num_seeds(self) -> int:
        return len(self.rows)

    @property
    def state(self) -> str:
        """ "done", or the first state of a seed that is not."""
        return next((str(row["state"]) for row in self.rows if row["state"] != "done"), "done")

    def recipe(self) -> Mapping[str, Any] | None:
        """The row's method as it was trained; None of the SFT model and of a checkpoint."""
        return next((method for method in self.record["request"]["methods"] if method["name"] == self.row), None)

    def stages(self, task: str, what: str) -> list[str]:
        """Keys of the row's stages of one task ("scores", "completions"), one a seed that has it, in order."""
        return [row[what][task] for row in self.rows if task in row[what]]


def choose(store: Store, first: str, second: str | None, rows: str | None) -> list[tuple[Side, Side]]:
    """The pairs of rows that the command line means; raises UsageError where it means none.

    One run: all pairs of the rows asked for. Two runs: the rows of the same name in both. RUN:ROW RUN:ROW: those.
    """
    asked = None if rows is None else list(dict.fromkeys(name.strip() for name in rows.split(",")))
    if second is None:
        return list(combinations(_of_one_run(store, first, asked or []), 2))
    (run_a, row_a, a), (run_b, row_b, b) = _spec(store, first), _spec(store, second)
    command = f"compare {first} {second}"
    if (row_a is None) != (row_b is None) or (row_a is not None and asked is not None):
        raise UsageError(f"{command}: give RUN:ROW on both sides, or two runs, of which --rows picks the rows")
    if a["base"] != b["base"]:
        bases = [f"{record['request']['suite']['base']} {record['base'][:12]}" for record in (a, b)]
        raise UsageError(f"{command}: different base models ({' | '.join(bases)}); compare rows of one base")
    if row_a is not None and row_b is not None:
        chosen = [(row_a, row_b)]
    else:
        for name in asked or []:
            _known_row(name, run_a, a)
            _known_row(name, run_b, b)
        chosen = [(n, n) for n in _row_names(a) if n in (asked or _row_names(b))]
    if not chosen:
        names = " | ".join(", ".join(_row_names(record)) for record in (a, b))
        raise UsageError(f"{command}: no row has one name in both ({names}); give {run_a}:ROW {run_b}:ROW")
    if (run_a, chosen[0][0]) == (run_b, chosen[0][1]):
        raise UsageError(f"{command}: that is a row with itself; name another run or row")
    return [(Side(run_a, x, f"{run_a}:{x}", a), Side(run_b, y, f"{run_b}:{y}", b)) for x, y in chosen]


def _of_one_run(store: Store, first: str, names: Sequence[str]) -> list[Side]:
    run, row, record = _spec(store, first)
    known = _row_names(record)
    if row is not None or len(names) < 2:
        raise UsageError(
            f"compare {first}: name two runs, two RUN:ROW, or rows of one run, such as "
            f"compare {run} --rows {','.join(known[-2:])}; its rows: {', '.join(known)}"
        )
    return [Side(run, _known_row(name, run, record), name, record) for name in names]


def _spec(store: Store, spec: str) -> tuple[str, str | None, Record]:
    run, colon, row = spec.partition(":")
    record = store.read_run(run)
    return run, _known_row(row, run, record) if colon else None, record


def _row_names(record: Record) -> list[str]:
    return list(dict.fromkeys(row["name"] for row in record["rows"]))


def _known_row(name: str, run: str, record: Record) -> str:
    known = _row_names(record)
    if name not in known:
        raise UsageError(f"run {run} has no row {name!r}; {suggest(name, known) or 'known: ' + ', '.join(known)}")
    return name


def tasks_of(record: Record) -> dict[str, TaskRecipe]:
    """The tasks of a run by name."""
    tasks = (TaskRecipe.model_validate(task) for task in record["request"]["tasks"])
    return {task.name: task for task in tasks}


def obstacle(task: str, a: Record, b: Record) -> str | None:
    """Why the scores of a task in two runs are no pair, in a few words; None where they are.

    Prompts, scorer, its options, the opponent and the judge must be the same. Decoding may differ, unless the
    opponent is the base model, whose answers it changes too.
    """
    first, second = tasks_of(a)[task], tasks_of(b)[task]
    keys = ["prompts", "scorer", "options", "baseline"]
    for key in keys + ["decoding"] * judged_against_base(first):
        left, right = getattr(first, key), getattr(second, key)
        if left != right:
            return f"its {key} differ: {differing(left, right)}"
    left, right = (record["request"]["judges"].get(task) for record in (a, b))
    return None if left == right else f"its judges differ: {differing(left, right)}"


def judged_against_base(task: TaskRecipe) -> bool:
    """Whether a task's items are battles with the base model's answers."""
    return task.baseline is None and any(name in column.metric for column in task.columns for name in BATTLES)


def differences(a: Side, b: Side, tasks: Sequence[str]) -> Iterator[str]:
    """What else differs between two rows of two runs, and so may be what the difference comes from."""
    yield from _settings("method", a.recipe(), b.recipe())
    for task in tasks:
        first, second = tasks_of(a.record)[task], tasks_of(b.record)[task]
        yield from _settings(f"{task} decoding", first.decoding, second.decoding)
    data = [None if side.record["data"] is None else side.record["data"]["sha256"][:16] for side in (a, b)]
    yield from _settings("preference data", *data)
    made = [dict(side.record["provenance"]) for side in (a, b)]
    yield from _settings("code", *(_commit(one["code"]) for one in made))
    for key in ("ropo_bench", "packages", "python", "platform", "hardware"):
        yield from _settings(key, *(one[key] for one in made))


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
        return f"{_shown(left)} | {_shown(right)}"
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    named = [key for key in keys if key not in ("name", "description")] or keys
    return ", ".join(f"{key} {differing(left.get(key), right.get(key))}" for key in named)


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value


def _shown(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else in_words(value)
