"""What varied in an earlier run of the same suite and task: the best basis for planning the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from ropo_bench.leaderboard import estimators
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.request import Request
from ropo_bench.runs.reading import Run, open_run
from ropo_bench.runs.record import SFT, RunRecord
from ropo_bench.sources.models import local_model
from ropo_bench.sources.pairs import data_source
from ropo_bench.statistics.cells import estimate, split
from ropo_bench.statistics.comparisons import subtract
from ropo_bench.statistics.crossed import sample_parts
from ropo_bench.statistics.sample import Sample
from ropo_bench.store import Store

Split = Mapping[str, float]
"""Source -> standard deviation of one observation, see Measurement.split."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one column, pooled: what varies in a row, in the paired difference of two, in a row less the SFT model.

    None: no such pair. reference: its "common" is what a seed does to all rows alike, None where that cannot be told.
    """

    row: Split
    difference: Split | None
    num_prompts: int
    reference: Split | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run that measured a task before, with its tested columns by metric."""

    run: str
    num_rows: int
    num_seeds: int
    columns: Mapping[str, Measured]

    @property
    def words(self) -> str:
        """Where the figures are from."""
        rows = f"{self.num_rows} row{'s' * (self.num_rows > 1)}"
        return f"measured in run {self.run}: {rows}, {self.num_seeds} seed{'s' * (self.num_seeds > 1)}"


def earlier(store: Store, request: Request, task: TaskRecipe) -> Earlier | None:
    """The run of this suite and task with the most seeds, then rows; None where there is none with a trained row.

    Rows count that were trained there from the same base on the same data, both by content; the differences of a
    checkpoint are those of whatever made it.
    """
    runs = {name: open_run(store, name) for name in store.run_names()}
    alike = {name: run for name, run in runs.items() if _same(run, request, task)}
    contents = _contents(store, request) if alike else {}
    sizes = [(*_size(run, task), name) for name, run in alike.items() if _same_contents(run.record, contents)]
    num_seeds, num_rows, name = max(sizes, default=(0, 0, ""))
    if not num_rows:
        return None
    scores = alike[name].scores(task.name)
    columns: dict[str, Measured] = {}
    for column in task.columns:
        if task.is_tested(column):
            # One seed tells less than several; figures of different meaning cannot be pooled.
            trained = {row for row in _trained_rows(alike[name]) if len(scores.get(row, ())) == num_seeds}
            whole = {row: seeds for row, seeds in scores.items() if row == SFT or row in trained}
            samples = {row: estimate(task.name, column, seeds, estimators()) for row, seeds in whole.items()}
            measured = _measure({row: sample for row, sample in samples.items() if sample is not None})
            columns |= {} if measured is None else {column.metric: measured}
    return Earlier(name, num_rows, num_seeds, columns)


def _size(run: Run, task: TaskRecipe) -> tuple[int, int]:
    """(most seeds that a trained row was measured with, how many rows have so many); all or none of a row count."""
    trained = _trained_rows(run)
    stages = [run.score_stages(row, task.name) for row in run.rows if row in trained]
    counts = [len(seeds) for seeds in stages if seeds]
    most = max(counts, default=0)
    return most, counts.count(most)


def _trained_rows(run: Run) -> set[str]:
    """The rows that the run itself trained."""
    return {method.name for method in run.record.request.methods}


def _contents(store: Store, request: Request) -> dict[str, str]:
    """What base and data are now, by content, as far as both lie on this machine."""
    base, data = local_model(request.suite.base), Path(data_source(request.suite.data))
    hashes = {} if base is None else {"base": store.folder_hash(base)}
    return hashes | ({"data": store.file_hash(data)} if data.is_file() else {})


def _same_contents(record: RunRecord, contents: Mapping[str, str]) -> bool:
    hashes = {"base": record.base, "data": record.data_sha256}
    return all(hashes[what] == content for what, content in contents.items())


def _same(run: Run, request: Request, task: TaskRecipe) -> bool:
    """Whether a run measured the same thing: base, data, judge, and all of the task but how it is shown."""
    earlier_request, appearance = run.record.request, {"columns", "description"}
    if (earlier_request.suite.base, earlier_request.suite.data) != (request.suite.base, request.suite.data):
        return False
    if earlier_request.judges.get(task.name) != request.judges.get(task.name):
        return False
    own = run.tasks.get(task.name)
    return own is not None and own.model_dump(exclude=appearance) == task.model_dump(exclude=appearance)


def _measure(samples: Mapping[str, Sample]) -> Measured | None:
    """How much trained rows vary, and differences of two; with one trained row, its difference from the SFT model."""
    trained = [sample.with_draws() for row, sample in samples.items() if row != SFT]
    splits = [_split(sample) for sample in trained]
    rows = [split for split in splits if split is not None]
    if not rows:
        return None
    pairs = list(combinations(trained, 2))
    if not pairs and SFT in samples:
        pairs = [(trained[0], samples[SFT].with_draws())]
    subtracted = [subtract(a, b) for a, b in pairs]
    splits = [_split(sample) for sample in subtracted if sample is not None]
    differences = [split for split in splits if split is not None]
    difference = _pool(differences) if differences else None
    return Measured(_pool(rows), difference, len(trained[0].clusters), _reference(samples, trained, difference))


def _reference(samples: Mapping[str, Sample], trained: Sequence[Sample], difference: Split | None) -> Split | None:
    """Of a row less SFT. Of what seeds do, half of a difference's variance is a row's own, the rest is common."""
    if SFT not in samples:
        return None
    beside = [subtract(sample, samples[SFT].with_draws()) for sample in trained]
    splits = [own for sample in beside if sample is not None and (own := _split(sample)) is not None]
    if not splits:
        return None
    pooled = dict(_pool(splits))
    if len(trained) > 1 and difference is not None and "seeds" in pooled and "seeds" in difference:
        variance = min(difference["seeds"] ** 2 / 2, pooled["seeds"] ** 2)
        pooled |= {"seeds": variance**0.5, "common": (pooled["seeds"] ** 2 - variance) ** 0.5}
    return pooled


def _split(sample: Sample) -> Split | None:
    parts = sample_parts(sample)
    return None if parts is None else split(sample, parts)


def _pool(splits: Sequence[Split]) -> Split:
    """Root mean square of each source that all of them tell."""
    sources = [source for source in splits[0] if all(source in other for other in splits)]
    return {source: float(np.sqrt(np.mean([row[source] ** 2 for row in splits]))) for source in sources}
