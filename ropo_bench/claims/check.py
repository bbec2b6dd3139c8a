"""From a run's scores to the verdict on every claim, with the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ropo_bench.claims.needs import Needs, needs
from ropo_bench.claims.rule import ALPHA, Decision, Evidence, Region, Verdict, decide
from ropo_bench.claims.sentences import Claim
from ropo_bench.errors import UsageError
from ropo_bench.leaderboard import samples_of
from ropo_bench.recipes.files import suggest
from ropo_bench.recipes.task import Column
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import DONE, PENDING
from ropo_bench.statistics.cells import level
from ropo_bench.statistics.comparisons import differences, subtract
from ropo_bench.statistics.difference import Difference, intervals
from ropo_bench.statistics.intervals import Scale
from ropo_bench.statistics.power import visible_effect
from ropo_bench.statistics.sample import Sample
from ropo_bench.types import Score, Test

Seeds = Sequence[Sequence[Score]]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a verdict rests on. evidence: of the row, or of the difference row - other.

    n: prompts (of both rows), 0 where everything is counted. n_unscored: items left out. num_seeds: of each row.
    test: of a difference.
    detectable: how far from the margin the truth must lie to be found four times in five, in this file. needs: what
    would be enough if the truth is what was estimated.
    """

    evidence: Evidence
    n: int
    n_unscored: int
    num_seeds: tuple[int, ...]
    decimals: int
    test: Test | None = None
    detectable: float | None = None
    needs: Needs | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A claim with its verdict and numbers; of "PENDING" and "INCOMPLETE" the reason says what is missing instead."""

    claim: Claim
    verdict: Verdict
    reason: str | None = None
    numbers: Numbers | None = None
    decision: Decision | None = None


def decide_claims(run: Run, claims: Sequence[Claim]) -> list[Decided]:
    """The verdict on every claim about a run, finished or not, in the order given.

    Raises UsageError for a row, task or metric that the run does not have.
    """
    columns = [_column(claim, run) for claim in claims]
    scores = {name: run.scores(name) for name in {claim.task for claim in claims}}
    missing = [_missing(claim, run, scores[claim.task]) for claim in claims]
    names = run.table_rows([name for claim in claims for name in (claim.row, claim.other) if name])
    table = {task: {name: own for name, own in rows.items() if name in names} for task, rows in scores.items()}
    samples = {
        (claim.task, claim.metric): samples_of(run.tasks[claim.task], column, table[claim.task], run.seeds)
        for claim, column, gap in zip(claims, columns, missing, strict=True)
        if gap is None
    }
    numbers = [
        _numbers(claim, column, scores[claim.task], samples[claim.task, claim.metric], ALPHA / len(claims))
        if gap is None
        else None
        for claim, column, gap in zip(claims, columns, missing, strict=True)
    ]
    evidence = [None if number is None else number.evidence for number in numbers]
    decisions = decide(evidence, [claim.region for claim in claims])
    return [
        gap or _decide(claim, number, decision)
        for claim, number, decision, gap in zip(claims, numbers, decisions, missing, strict=True)
    ]


def _decide(claim: Claim, numbers: Numbers | None, decision: Decision | None) -> Decided:
    assert decision is not None
    return Decided(claim, decision.verdict, None, numbers, decision)


def _column(claim: Claim, run: Run) -> Column:
    """The column that a claim is about; raises UsageError, with the claim's place, where the run has none."""
    rows, tasks = list(run.rows), run.tasks
    named = [("row", claim.row, rows)] + ([("other", claim.other, rows)] if claim.other else [])
    named += [("task", claim.task, list(tasks))]
    for part, name, names in named:
        if name not in names:
            what = "row" if part == "other" else part
            raise _unknown(claim, part, f"run {run.name} has no {what} {name!r}", str(name), names)
    columns = {column.metric: column for column in tasks[claim.task].columns}
    if claim.metric not in columns:
        raise _unknown(claim, "metric", f"task {claim.task} has no column {claim.metric!r}", claim.metric, [*columns])
    return columns[claim.metric]


def _unknown(claim: Claim, part: str, problem: str, name: str, names: Sequence[str]) -> UsageError:
    return UsageError(f"{claim.places[part]}: {problem}; {suggest(name, names) or 'known: ' + ', '.join(names)}")


def _missing(claim: Claim, run: Run, scores: Mapping[str, Seeds]) -> Decided | None:
    """The claim without numbers: a row is not there yet, or measurements failed that the same command tries again."""
    for name in filter(None, (claim.row, claim.other)):
        if name not in scores:
            states = [row.state for row in run.rows[name] if row.state != DONE]
            stopped = [state for state in states if state != PENDING]
            reason = f"{name}: {(stopped or states or [PENDING])[0]}"
            return Decided(claim, "INCOMPLETE" if stopped else "PENDING", reason)
        own = [score for seed in scores[name] for score in seed if score.metric == claim.metric]
        failed = sum(score.status == "infrastructure-failed" for score in own)
        if failed:
            reason = f"{name}: {failed:,} of {len(own):,} items failed; the run's command tries them again"
            return Decided(claim, "INCOMPLETE", reason)
        if not all(any(s.metric == claim.metric and s.value is not None for s in seed) for seed in scores[name]):
            return Decided(claim, "INCOMPLETE", f"{name}: a seed has no scored item of {claim.task}.{claim.metric}")
    return None


def _numbers(
    claim: Claim, column: Column, scores: Mapping[str, Seeds], samples: Mapping[str, Sample], alpha: float
) -> Numbers:
    """The number that is claimed, with its error. samples: of all rows. alpha: one-sided, of its test here."""
    names = [claim.row] if claim.other is None else [claim.row, claim.other]
    drawn = {name: sample.with_draws() if name in names else sample for name, sample in samples.items()}
    row = drawn[claim.row]
    difference = None
    if claim.other is None:
        evidence, sample = level_evidence(row, column.bounds), row
    else:
        evidence, difference = difference_evidence(drawn, claim.row, claim.other)
        sample = row if difference is None else subtract(row, drawn[claim.other]) or row
    is_census = not any(drawn[name].clusters for name in names)
    if evidence.standard_error is None and not is_census:
        evidence = replace(evidence, standard_error=0.0)  # no census, but too few prompts to tell an error from
    own = [score for name in names for seed in scores[name] for score in seed if score.metric == claim.metric]
    return Numbers(
        evidence,
        n=0 if is_census else len(row.clusters) if difference is None else difference.n,
        n_unscored=sum(score.value is None for score in own),
        num_seeds=tuple(len(scores[name]) for name in names),
        decimals=column.decimals,
        test=None if difference is None else difference.test,
        detectable=_detectable(evidence, claim.region, alpha),
        needs=needs(sample, claim.region.distance(evidence.estimate), alpha),
    )


def level_evidence(sample: Sample, scale: Scale | None = None) -> Evidence:
    """A row's own number."""
    own = level(sample, scale)
    if own is None:
        return Evidence(sample.value, None)
    exact = _binomial(sample)

    def p_at(border: float) -> float:
        return max(own.p_value(border), 0.0 if exact is None else exact(border))

    low, high = own.interval()
    degrees = float(own.parts.degrees())
    return Evidence(sample.value, float(own.parts.standard_error), degrees, low, high, p_at, own.parts)


def _binomial(sample: Sample) -> Callable[[float], float] | None:
    """Exact two-sided p-values of items, right or wrong, under one seed (Clopper and Pearson 1934); else None."""
    values_SC = sample.values_SC
    if values_SC is None or len(values_SC) > 1 or sample.strata or not np.isin(values_SC, (0.0, 100.0)).all():
        return None
    from scipy.special import bdtr, bdtrc

    count, right = values_SC.shape[1], int((values_SC > 0).sum())

    def p_value(border: float) -> float:
        share = min(1.0, max(0.0, border / 100))
        fewer = float(bdtr(right, count, share))
        more = float(bdtrc(right - 1, count, share)) if right else 1.0
        return min(1.0, 2 * min(fewer, more))

    return p_value


def difference_evidence(samples: Mapping[str, Sample], row: str, other: str) -> tuple[Evidence, Difference | None]:
    """The difference row - other, tested at every border as the table tests it at 0; samples: of all rows."""
    estimates = differences(samples, [(row, other)])
    if not estimates:
        a, b = samples[row], samples[other]
        census = not (a.clusters or b.clusters)
        return Evidence(a.value - b.value, None if census else 0.0), None
    [difference] = estimates
    (low,), (high,) = intervals([difference])
    parts = difference.parts
    return Evidence(
        difference.estimate, float(parts.standard_error), float(parts.degrees()), float(low), float(high),
        difference.p_value, parts,
    ), difference  # fmt: skip


def _detectable(evidence: Evidence, region: Region, alpha: float) -> float | None:
    if not evidence.standard_error or evidence.parts is None:
        return None
    # In the middle of a region with two borders both tests must succeed: each 90 % for 80 % in all.
    return visible_effect(evidence.parts, 2 * alpha, 0.9 if region.is_bounded else 0.8)
