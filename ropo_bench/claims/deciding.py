"""From a run's scores to the verdict on every claim, with the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ropo_bench.claims.decision import ALPHA, Decision, Evidence, Region, Verdict, decide
from ropo_bench.claims.needs import Needs, needs, shifted
from ropo_bench.claims.reading import Claim
from ropo_bench.errors import UsageError
from ropo_bench.leaderboard import estimators, scores_of
from ropo_bench.recipe_files import suggest
from ropo_bench.runs import Store
from ropo_bench.statistics import Sample, compare_samples, difference, estimate, minimum_detectable_effect
from ropo_bench.statistics.crossed import sample_parts
from ropo_bench.tasks import Column, TaskRecipe
from ropo_bench.types import Comparison, Score, Test

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


def decide_claims(store: Store, run: str, claims: Sequence[Claim]) -> list[Decided]:
    """The verdict on every claim about a run, finished or not, in the order given.

    Raises UsageError for a row, task or metric that the run does not have.
    """
    record = store.read_run(run)
    tasks = {task["name"]: TaskRecipe.model_validate(task) for task in record["request"]["tasks"]}
    columns = [_column(claim, run, record, tasks) for claim in claims]
    scores = {name: scores_of(store, record, tasks[name]) for name in {claim.task for claim in claims}}
    missing = [_missing(claim, record, scores[claim.task]) for claim in claims]
    numbers = [
        _numbers(claim, column, scores[claim.task], ALPHA / len(claims)) if gap is None else None
        for claim, column, gap in zip(claims, columns, missing, strict=True)
    ]
    evidence = [None if one is None else one.evidence for one in numbers]
    decisions = decide(evidence, [claim.region for claim in claims])
    return [
        gap or _decided(claim, found, decision)
        for claim, found, decision, gap in zip(claims, numbers, decisions, missing, strict=True)
    ]


def _decided(claim: Claim, numbers: Numbers | None, decision: Decision | None) -> Decided:
    assert decision is not None
    return Decided(claim, decision.verdict, None, numbers, decision)


def _column(claim: Claim, run: str, record: Mapping[str, Any], tasks: Mapping[str, TaskRecipe]) -> Column:
    """The column that a claim is about; raises UsageError, with the claim's place, where the run has none."""
    rows = list(dict.fromkeys(row["name"] for row in record["rows"]))
    named = [("row", claim.row, rows)] + ([("other", claim.other, rows)] if claim.other else [])
    named += [("task", claim.task, list(tasks))]
    for part, name, known in named:
        if name not in known:
            what = "row" if part == "other" else part
            raise _unknown(claim, part, f"run {run} has no {what} {name!r}", str(name), known)
    columns = {column.metric: column for column in tasks[claim.task].columns}
    if claim.metric not in columns:
        raise _unknown(claim, "metric", f"task {claim.task} has no column {claim.metric!r}", claim.metric, [*columns])
    return columns[claim.metric]


def _unknown(claim: Claim, part: str, problem: str, name: str, known: Sequence[str]) -> UsageError:
    return UsageError(f"{claim.places[part]}: {problem}; {suggest(name, known) or 'known: ' + ', '.join(known)}")


def _missing(claim: Claim, record: Mapping[str, Any], scores: Mapping[str, Seeds]) -> Decided | None:
    """The claim without numbers: a row is not there yet, or measurements failed that the same command tries again."""
    for name in filter(None, (claim.row, claim.other)):
        if name not in scores:
            states = [row["state"] for row in record["rows"] if row["name"] == name and row["state"] != "done"]
            stopped = [state for state in states if not state.startswith("pending")]
            reason = f"{name}: {(stopped or states or ['pending'])[0]}"
            return Decided(claim, "INCOMPLETE" if stopped else "PENDING", reason)
        own = [score for seed in scores[name] for score in seed if score.metric == claim.metric]
        failed = sum(score.status == "infrastructure-failed" for score in own)
        if failed:
            reason = f"{name}: {failed:,} of {len(own):,} items failed; the run's command tries them again"
            return Decided(claim, "INCOMPLETE", reason)
        if not all(any(s.metric == claim.metric and s.value is not None for s in seed) for seed in scores[name]):
            return Decided(claim, "INCOMPLETE", f"{name}: a seed has no scored item of {claim.task}.{claim.metric}")
    return None


def _numbers(claim: Claim, column: Column, scores: Mapping[str, Seeds], alpha: float) -> Numbers:
    """The number that is claimed, with its error; alpha: one-sided, of its test in this file."""
    names = [claim.row] if claim.other is None else [claim.row, claim.other]
    samples = {name: _sample(claim.task, column, scores[name]) for name in names}
    sample: Sample | None = samples[claim.row]
    compared = None
    if claim.other is None:
        evidence = level_evidence(samples[claim.row])
    else:
        sample = difference(samples[claim.row], samples[claim.other])
        evidence, compared = difference_evidence(samples[claim.row], samples[claim.other])
    is_census = not any(one.clusters for one in samples.values())
    if evidence.standard_error is None and not is_census:
        evidence = replace(evidence, standard_error=0.0)  # no census, but too few prompts to tell an error from
    own = [score for name in names for seed in scores[name] for score in seed if score.metric == claim.metric]
    return Numbers(
        evidence,
        n=0 if is_census else len(samples[claim.row].clusters) if compared is None else compared.n,
        n_unscored=sum(score.value is None for score in own),
        num_seeds=tuple(len(scores[name]) for name in names),
        decimals=column.decimals,
        test=None if compared is None else compared.test,
        detectable=_detectable(evidence, claim.region, alpha, max(len(scores[name]) for name in names)),
        needs=None if sample is None else needs(sample, claim.region.distance(evidence.estimate), alpha),
    )


def level_evidence(sample: Sample) -> Evidence:
    """A row's own number."""
    parts = sample_parts(sample)
    if parts is None:
        return Evidence(sample.value, None)
    error, half = float(parts.standard_error), float(parts.half_width())
    low, high = sample.value - half, sample.value + half
    return Evidence(
        sample.value, error, float(parts.degrees()), low, high, lambda at: float(parts.p_value(sample.value - at))
    )


def difference_evidence(a: Sample, b: Sample) -> tuple[Evidence, Comparison | None]:
    """The difference a - b, tested at every border by the test that the table's comparisons are made with."""

    def at(border: float) -> list[Comparison]:
        return compare_samples("", "", {"a": shifted(a, border), "b": b}, [("a", "b")])

    for found in at(0.0):
        return Evidence(
            found.estimate, found.standard_error, found.degrees, found.low, found.high, lambda x: at(x)[0].p_value
        ), found
    return Evidence(a.value - b.value, None), None


def _sample(task: str, column: Column, scores: Seeds) -> Sample:
    found = estimate(task, column, scores, estimators())
    assert found is not None
    return found.with_draws()


def _detectable(evidence: Evidence, region: Region, alpha: float, num_seeds: int) -> float | None:
    if not evidence.standard_error:
        return None
    # In the middle of a region with two borders both tests must succeed: each 90 % for 80 % in all.
    power = 0.9 if region.is_bounded else 0.8
    return minimum_detectable_effect(evidence.standard_error, evidence.degrees, power, 2 * alpha, num_seeds - 1)
