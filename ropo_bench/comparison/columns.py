"""Two rows of stored runs, column by column: differences, their tests, and what may be compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ropo_bench.comparison.items import ComparedColumn, ComparedRows, Flips, find_most_changed, flips
from ropo_bench.comparison.rows import Side, choose, judged_against_base, obstacle
from ropo_bench.comparison.rows import differences as settings_that_differ
from ropo_bench.errors import UsageError
from ropo_bench.leaderboard import leaderboard, measure_rows, stored_samples
from ropo_bench.leaderboard.measurements import RowMeasurements
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import SFT
from ropo_bench.sources.prompts import read_prompts
from ropo_bench.statistics.comparisons import as_comparisons, differences
from ropo_bench.statistics.multiplicity import holm
from ropo_bench.statistics.power import visible_effect
from ropo_bench.statistics.sample import Sample
from ropo_bench.store import Stage, Store
from ropo_bench.types import Comparison, Score

READING = (
    "A - B: on the prompts that both have, paired; p: two-sided; adjusted: over the whole table of a run (columns "
    "that it does not test, and rows of two runs: Holm's over their kind here); could see: the true "
    "difference that is found four times in five (5 % two-sided, this test alone)"
)


Seeds = Sequence[Sequence[Score]]


@dataclass(frozen=True, slots=True)
class Compared:
    """Pairs of rows with their columns, and what is to be said beside the numbers."""

    title: str
    notes: list[str]
    pairs: list[ComparedRows]


def compare_rows(store: Store, first: str, second: str | None, rows: str | None, top: int) -> Compared:
    """Rows of one run or of two, pair by pair. top: how many changed prompts of a column are kept.

    first, second: RUN or RUN:ROW; rows: A,B of one run. Raises UsageError where the rows are no pair.
    """
    sides = choose(store, first, second, rows)
    comparer = Comparer(top)
    pairs = [comparer.compare(a, b) for a, b in sides]
    pairs = [pair for pair in pairs if pair.columns]
    notes = list(dict.fromkeys(comparer.notes))
    if not pairs:
        raise UsageError(f"compare: nothing to compare: {'; '.join(notes) or 'the rows share no task'}")
    pairs = _adjust(pairs, _of_table(sides[0]))
    title = " and ".join(dict.fromkeys(side.run.name for side in sides[0]))
    return Compared(title, [*notes, READING, *_about(pairs)], pairs)


@dataclass
class Comparer:
    """How many changed prompts are shown, and what there is to say beside the numbers."""

    top: int
    notes: list[str] = field(default_factory=list)
    known_tables: dict[tuple[str, ...], dict[str, Sample]] = field(default_factory=dict)
    known_rows: dict[tuple[str, str], dict[str, RowMeasurements]] = field(default_factory=dict)

    def compare(self, a: Side, b: Side) -> ComparedRows:
        """Every task that both rows have finished and that makes a pair."""
        columns: list[ComparedColumn] = []
        tasks = a.run.tasks
        shared = [name for name in tasks if name in b.run.tasks]
        compared, left_out = [], defaultdict(list)
        for name in shared:
            reason = obstacle(name, a.run, b.run) or _explain_unfinished(name, a) or _explain_unfinished(name, b)
            keys = [[stage.key for stage in side.run.score_stages(side.row, name)] for side in (a, b)]
            if reason is None and keys[0] == keys[1]:
                reason = f"{a.label} and {b.label} have the very same scores"
            if reason is not None:
                left_out[reason].append(name)
                continue
            columns += self._columns(tasks[name], a, b)
            compared.append(name)
            common = len(set(keys[0]) & set(keys[1]))
            if common:
                self.notes.append(
                    f"{a.label} and {b.label} are not independent: the same scores for {common} seed(s)"
                )
        self.notes += [f"left out: {', '.join(names)}: {reason}" for reason, names in left_out.items()]
        if a.run.name != b.run.name:
            alone = [task for side in (a, b) for task in side.run.tasks if task not in shared]
            self.notes += [f"left out: {name}: in one run only" for name in alone]
            self.notes += [f"differs: {text}" for text in settings_that_differ(a, b, compared)]
            self.notes += [text for name in compared for text in self._opponents(tasks[name], a, b)]
        return ComparedRows(a.label, b.label, a.num_seeds, b.num_seeds, columns)

    def _columns(self, task: TaskRecipe, a: Side, b: Side) -> list[ComparedColumn]:
        pair = tuple(
            [side.run.read_scores(stage) for stage in side.run.score_stages(side.row, task.name)] for side in (a, b)
        )
        seen = {score.metric for seeds in pair for scores in seeds for score in scores}
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
        estimates = differences(samples, [(labels[0], labels[1])])
        if estimates:
            [comparison] = as_comparisons(task.name, column.metric, estimates)
            compared = replace(compared, comparison=comparison, detectable=visible_effect(estimates[0].parts))
        return self._items(compared, task, column, sides, pair) if compared.tested else compared

    def _table(self, task: TaskRecipe, column: Column, sides: tuple[Side, Side]) -> dict[str, Sample]:
        """All rows of both runs by label: what seeds do is learned from every row, as in the runs' own tables."""
        runs = {side.run.name: side.run for side in sides}
        table_rows = {name: run.table_rows() for name, run in runs.items()}
        extra = [side.label for side in sides if len(runs) > 1 or side.row not in table_rows[side.run.name]]
        key = (task.name, column.metric, *runs, *sorted(extra))
        if key in self.known_tables:
            return self.known_tables[key]
        distinct: dict[str, RowMeasurements] = {}
        earlier: list[Sequence[Stage]] = []
        labels = {side.label for side in sides}
        for name, run in runs.items():
            prefix = f"{name}:" if len(runs) > 1 else ""
            for row, measurements in self._rows(run, task).items():
                label = f"{prefix}{row}"
                if label in labels or (row in table_rows[name] and measurements.scores not in earlier):
                    distinct[label] = measurements
                    earlier.append(measurements.scores)
        self.known_tables[key] = stored_samples(task, column, distinct)
        return self.known_tables[key]

    def _rows(self, run: Run, task: TaskRecipe) -> dict[str, RowMeasurements]:
        key = (run.name, task.name)
        if key not in self.known_rows:
            self.known_rows[key] = measure_rows(run, task)
        return self.known_rows[key]

    def _items(
        self,
        compared: ComparedColumn,
        task: TaskRecipe,
        column: Column,
        sides: tuple[Side, Side],
        pair: tuple[Seeds, Seeds],
    ) -> ComparedColumn:
        """A tested column with its flipped items and its most changed prompts added."""
        if compared.comparison is None:
            return compared
        turned: Flips = flips(column.metric, *pair, column.better)
        answers = tuple(_answers(task.name, side.run, side.row) for side in sides)
        categories = self._categories(task, pair)
        changes = find_most_changed(column.metric, *pair, self.top, categories, (answers[0], answers[1]))
        return replace(compared, flips=turned, changes=changes)

    def _categories(self, task: TaskRecipe, pair: tuple[Seeds, Seeds]) -> Mapping[str, str]:
        """Prompt id -> category: the prompts' own, or, where they cannot be read, what a score's detail says."""
        if task.prompts is not None:
            try:
                return {prompt.id: prompt.category for prompt in read_prompts(task.prompts)}
            except UsageError:  # the prompt file is not on this machine any more; the scores are
                pass
        categories = {}
        for score in (score for seeds in pair for scores in seeds for score in scores):
            categories[score.cluster] = str(
                next((score.detail[k] for k in ("category", "task", "kind") if k in score.detail), "")
            )
        return categories

    def _opponents(self, task: TaskRecipe, a: Side, b: Side) -> list[str]:
        """Whether the base model's answers, against which both were judged, are the same ones in both runs."""
        if not judged_against_base(task):
            return []
        first, second = (_answers(task.name, side.run, SFT) for side in (a, b))
        differ = sum(first[name] != second[name] for name in first.keys() & second.keys())
        if not differ:
            return []
        return [f"differs: {task.name}: {differ:,} of {len(first):,} answers of SFT, the opponent, are not the same"]


def _explain_unfinished(task: str, side: Side) -> str | None:
    if side.run.score_stages(side.row, task):
        return None
    return f"{side.label} is not scored ({side.run.state(side.row)})"


def _answers(task: str, run: Run, row: str) -> dict[str, tuple[str, ...]]:
    """Prompt id -> the turns of a row's answer: the first sample of its first seed."""
    stages = run.completion_stages(row, task)
    if not stages or not stages[0].done:
        return {}
    return {answer.prompt_id: answer.turns for answer in run.read_completions(stages[0]) if answer.sample == 0}


def _num_unscored(metric: str, seeds: Seeds) -> int:
    return sum(score.metric == metric and score.value is None for scores in seeds for score in scores)


Key = tuple[str, str, frozenset[str]]
"""A column of a task, and the two rows that are compared on it."""


def _of_table(sides: tuple[Side, Side]) -> dict[Key, Comparison]:
    """The comparisons of the run's own table if both rows are of one run, so that a pair has one verdict."""
    if sides[0].run.name != sides[1].run.name:
        return {}
    table = leaderboard(sides[0].run).comparisons
    return {
        (comparison.task, comparison.metric, frozenset((comparison.a, comparison.b))): comparison
        for comparison in table
    }


def _adjust(pairs: Sequence[ComparedRows], table: Mapping[Key, Comparison]) -> list[ComparedRows]:
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
            stored = table.get((comparison.task, comparison.metric, frozenset((comparison.a, comparison.b))))
            verdict = (p_value, None) if stored is None or not planned else (stored.adjusted, stored.family)
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
