"""`ropo-bench compare`: paired differences between rows of one run or of two, flips, and the most changed prompts."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ropo_bench.comparison.items import ComparedColumn, ComparedRows, Flips, flips, most_changed
from ropo_bench.comparison.rows import Side, choose, judged_against_base, obstacle, tasks_of
from ropo_bench.comparison.rows import differences as settings_that_differ
from ropo_bench.comparison.text import comparison_json, comparison_text
from ropo_bench.errors import UsageError
from ropo_bench.leaderboard import leaderboard, rows_of_table, samples_of, scores_of, seeds_of
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.runs.items import read_completions
from ropo_bench.sources.prompts import read_prompts
from ropo_bench.statistics import Sample, as_comparisons, differences, holm, visible_effect
from ropo_bench.store import Store
from ropo_bench.terminal.screen import say
from ropo_bench.types import Comparison, Score

PLAIN_WIDTH = 120
READING = (
    "A - B: on the prompts that both have, paired; p: two-sided; adjusted: over the whole table of a run (columns "
    "that it does not test, and rows of two runs: Holm's over their kind here); could see: the true "
    "difference that is found four times in five (5 % two-sided, this test alone)"
)
Seeds = Sequence[Sequence[Score]]


def compare_command(first: str, second: str | None, rows: str | None, top: int, runs: Path, json: bool) -> None:
    """Print the comparison; raises UsageError where the rows are no pair."""
    store = Store(runs)
    pairs = choose(store, first, second, rows)
    room = _Room(store, top)
    found = [rows_ for a, b in pairs for rows_ in [room.compared(a, b)] if rows_.columns]
    notes = list(dict.fromkeys(room.notes))
    if not found:
        raise UsageError(f"compare: nothing to compare: {'; '.join(notes) or 'the rows share no task'}")
    found = _adjusted(found, _of_table(store, pairs[0]))
    notes = [*notes, READING, *_about(found)]
    title = " and ".join(dict.fromkeys(side.run for side in pairs[0]))
    if json:
        say(comparison_json(title, notes, found), end="")
        return
    say(comparison_text(title, notes, found, _width()), end="")


def _width() -> int:
    if not sys.stdout.isatty():
        return PLAIN_WIDTH
    from shutil import get_terminal_size

    return get_terminal_size().columns


@dataclass
class _Room:
    """The store that is read, and what there is to say about it."""

    store: Store
    top: int
    notes: list[str] = field(default_factory=list)
    known_scores: dict[tuple[str, str], Mapping[str, Seeds]] = field(default_factory=dict)
    known_tables: dict[tuple[str, ...], dict[str, Sample]] = field(default_factory=dict)

    def compared(self, a: Side, b: Side) -> ComparedRows:
        """Every task that both rows have finished and that makes a pair."""
        columns: list[ComparedColumn] = []
        tasks = tasks_of(a.record)
        shared = [name for name in tasks if name in tasks_of(b.record)]
        compared, left_out = [], defaultdict(list)
        for name in shared:
            reason = obstacle(name, a.record, b.record) or self._unfinished(name, a) or self._unfinished(name, b)
            if reason is None and a.stages(name, "scores") == b.stages(name, "scores"):
                reason = f"{a.label} and {b.label} have the very same scores"
            if reason is not None:
                left_out[reason].append(name)
                continue
            columns += self._columns(tasks[name], a, b)
            compared.append(name)
            common = len(set(a.stages(name, "scores")) & set(b.stages(name, "scores")))
            if common:
                self.notes.append(
                    f"{a.label} and {b.label} are not independent: the same scores for {common} seed(s)"
                )
        self.notes += [f"left out: {', '.join(names)}: {reason}" for reason, names in left_out.items()]
        if a.run != b.run:
            alone = [n for record in (a.record, b.record) for n in tasks_of(record) if n not in shared]
            self.notes += [f"left out: {name}: in one run only" for name in alone]
            self.notes += [f"differs: {text}" for text in settings_that_differ(a, b, compared)]
            self.notes += [text for name in compared for text in self._opponents(tasks[name], a, b)]
        return ComparedRows(a.label, b.label, a.num_seeds, b.num_seeds, columns)

    def _scores(self, side: Side, task: TaskRecipe) -> Mapping[str, Seeds]:
        """The scores of all rows of a side's run on a task, read once."""
        if (side.run, task.name) not in self.known_scores:
            self.known_scores[side.run, task.name] = scores_of(self.store, side.record, task)
        return self.known_scores[side.run, task.name]

    def _unfinished(self, task: str, side: Side) -> str | None:
        if side.row in self._scores(side, tasks_of(side.record)[task]):
            return None
        return f"{side.label} is not scored ({side.state})"

    def _columns(self, task: TaskRecipe, a: Side, b: Side) -> list[ComparedColumn]:
        pair = tuple(self._scores(side, task)[side.row] for side in (a, b))
        seen = {score.metric for seeds in pair for one in seeds for score in one}
        return [
            self._column(task, column, (a, b), (pair[0], pair[1])) for column in task.columns if column.metric in seen
        ]

    def _column(
        self, task: TaskRecipe, column: Column, sides: tuple[Side, Side], pair: tuple[Seeds, Seeds]
    ) -> ComparedColumn:
        labels = tuple(side.label for side in sides)
        samples = self._table(task, column, sides)
        samples |= {
            label: samples[label].with_draws() for label in labels if label in samples
        }  # kept for other pairs
        first, second = (samples[label].value if label in samples else None for label in labels)
        unscored_a, unscored_b = (_num_unscored(column.metric, seeds) for seeds in pair)
        compared = ComparedColumn(
            task.name, column.metric, column.header, column.decimals, column.better, task.is_tested(column),
            first, second, unscored_a, unscored_b,
        )  # fmt: skip
        found = differences(samples, [(labels[0], labels[1])])
        if found:
            [comparison] = as_comparisons(task.name, column.metric, found)
            compared = replace(compared, comparison=comparison, detectable=visible_effect(found[0].parts))
        return self._items(compared, task, column, sides, pair) if compared.tested else compared

    def _table(self, task: TaskRecipe, column: Column, sides: tuple[Side, Side]) -> dict[str, Sample]:
        """All rows of both runs by label: what seeds do is learned from every row, as in the runs' own tables."""
        runs = {side.run: side for side in sides}
        shown = {run: rows_of_table(side.record) for run, side in runs.items()}
        extra = [side.label for side in sides if len(runs) > 1 or side.row not in shown[side.run]]
        key = (task.name, column.metric, *runs, *sorted(extra))
        if key in self.known_tables:
            return self.known_tables[key]
        samples: dict[str, Sample] = {}
        known: list[Sequence[str]] = []
        asked = {side.label for side in sides}
        for run, side in runs.items():
            scores, prefix = self._scores(side, task), f"{run}:" if len(runs) > 1 else ""
            rows = [Side(run, name, f"{prefix}{name}", side.record) for name in scores]
            rows = [row for row in rows if row.row in shown[run] or row.label in asked]
            kept = [row for row in rows if row.label in asked or row.stages(task.name, "scores") not in known]
            known += [row.stages(task.name, "scores") for row in kept]
            made = samples_of(task, column, {row.row: scores[row.row] for row in kept}, seeds_of(side.record))
            samples |= {f"{prefix}{name}": sample for name, sample in made.items()}
        self.known_tables[key] = samples
        return samples

    def _items(
        self,
        compared: ComparedColumn,
        task: TaskRecipe,
        column: Column,
        sides: tuple[Side, Side],
        pair: tuple[Seeds, Seeds],
    ) -> ComparedColumn:
        """With the flips and the most changed prompts of a tested column."""
        if compared.comparison is None:
            return compared
        turned: Flips = flips(column.metric, *pair, column.better)
        answers = tuple(self._answers(task.name, side) for side in sides)
        categories = self._categories(task, pair)
        changes = most_changed(column.metric, *pair, self.top, categories, (answers[0], answers[1]))
        return replace(compared, flips=turned, changes=changes)

    def _answers(self, task: str, side: Side) -> dict[str, tuple[str, ...]]:
        """The first seed's first answers."""
        keys = side.stages(task, "completions")
        if not keys or not self.store.stage("completions", keys[0]).done:
            return {}
        completions = read_completions(self.store.stage("completions", keys[0]))
        return {each.prompt_id: each.turns for each in completions if each.sample == 0}

    def _categories(self, task: TaskRecipe, pair: tuple[Seeds, Seeds]) -> Mapping[str, str]:
        """The prompts' own, or what a score says of itself where a task has no prompts."""
        if task.prompts is not None:
            try:
                return {prompt.id: prompt.category for prompt in read_prompts(task.prompts)}
            except UsageError:  # the prompt file is not on this machine any more; the scores are
                pass
        found = {}
        for score in (score for seeds in pair for one in seeds for score in one):
            found[score.cluster] = str(
                next((score.detail[k] for k in ("category", "task", "kind") if k in score.detail), "")
            )
        return found

    def _opponents(self, task: TaskRecipe, a: Side, b: Side) -> list[str]:
        """Whether the base model's answers, against which both were judged, are the same ones in both runs."""
        if not judged_against_base(task):
            return []
        first, second = (self._answers(task.name, replace(side, row="SFT", label="SFT")) for side in (a, b))
        differ = sum(first[name] != second[name] for name in first.keys() & second.keys())
        if not differ:
            return []
        return [f"differs: {task.name}: {differ:,} of {len(first):,} answers of SFT, the opponent, are not the same"]


def _num_unscored(metric: str, seeds: Seeds) -> int:
    return sum(score.metric == metric and score.value is None for one in seeds for score in one)


Key = tuple[str, str, frozenset[str]]
"""A column of a task, and the two rows that are compared on it."""


def _of_table(store: Store, sides: tuple[Side, Side]) -> dict[Key, Comparison]:
    """Of two rows of one run, the run's own table: there a pair has one verdict."""
    if sides[0].run != sides[1].run:
        return {}
    table = leaderboard(store, sides[0].run).comparisons
    return {(one.task, one.metric, frozenset((one.a, one.b))): one for one in table}


def _adjusted(pairs: Sequence[ComparedRows], table: Mapping[Key, Comparison]) -> list[ComparedRows]:
    """Adjusted p-values: of a run's own rows those of its table; of two runs Holm's over all tested columns of all
    pairs.

    Columns that no table tests are another family, which nobody planned to test: Holm's over those shown here.
    """
    adjusted: dict[int, Comparison] = {}
    for planned in (True, False):
        family = [
            (column, column.comparison)
            for pair in pairs
            for column in pair.columns
            if column.tested == planned and column.comparison is not None
        ]
        p_values = holm([comparison.p_value for _, comparison in family])
        for (column, comparison), p_value in zip(family, p_values, strict=True):
            known = table.get((comparison.task, comparison.metric, frozenset((comparison.a, comparison.b))))
            verdict = (p_value, None) if known is None or not planned else (known.adjusted, known.family)
            adjusted[id(column)] = replace(comparison, adjusted=verdict[0], family=verdict[1])
    return [
        replace(pair, columns=[replace(c, comparison=adjusted.get(id(c))) for c in pair.columns]) for pair in pairs
    ]


def _about(pairs: Sequence[ComparedRows]) -> list[str]:
    counts = [count for pair in pairs for count in (pair.num_seeds_a, pair.num_seeds_b)]
    if max(counts) == 1:
        return ["intervals are about these checkpoints, not about the methods: every row has one training seed"]
    answers = "numbers of a prompt are means over seeds, answers shown are those of the first seed"
    if min(counts) == 1:
        return [f"a row of several seeds stands for its method, a row of one for this one model; {answers}"]
    return [f"intervals are about the methods: prompts crossed with seeds; {answers}"]
