"""The numbers of annotations that exist already: win rates, the length-controlled one, lengths; one row a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ropo_bench.errors import UsageError
from ropo_bench.recipes.task import Column
from ropo_bench.scoring.alpaca_eval import calibration
from ropo_bench.scoring.alpaca_eval.estimator import gamed
from ropo_bench.scoring.alpaca_eval.leaderboard import Annotation, LeaderboardRow
from ropo_bench.scoring.alpaca_eval.listed import SAME, Listed, find_listed
from ropo_bench.scoring.alpaca_eval.official import Controlled, control_length
from ropo_bench.scoring.alpaca_eval.verdict import TIE, discrete
from ropo_bench.scoring.length_control import C, estimate, length_shift, shift_caution
from ropo_bench.statistics.cells import measure
from ropo_bench.statistics.sample import Estimator, Sample
from ropo_bench.types import Measurement, Score

RULES = ("default", "alpaca-eval")
"""How difficulties are found: by the instruction's text, or as alpaca_eval does by the position in the file."""
TASK = "alpaca-eval-2"
LC, LC_NODIFF, LENGTH = "lc_win_rate", "lc_win_rate_nodiff", "average_length"


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model of an annotations file: who judged it against whom, what came out, and what to know about it.

    c: inverse regularisation strength of its length control.
    """

    model: str
    baseline: str
    judge: str | None
    annotations: Sequence[Annotation]
    measurements: Mapping[str, Measurement]
    notes: Sequence[str]
    c: float | None


def measure_annotations(
    annotations: Sequence[Annotation], c: float | None = None, rule: str = "default"
) -> list[ModelRow]:
    """A row for each model, baseline and judge, in the order of the file.

    Metrics: win_rate, discrete_win_rate, lc_win_rate (0..100) and average_length, the whole part of the mean in
    characters as leaderboards have it. lc_win_rate is alpaca_eval's own code, its interval that of a bootstrap
    over prompts with the fit at fixed C inside (alpaca_eval's own standard error is that of predicted preferences
    and about half as large: docs/statistics.md). Where an instruction is not one of AlpacaEval 2's 805, it is
    lc_win_rate_nodiff, our fit.
    c: inverse regularisation strength; None chooses it by cross-validation as alpaca_eval does (for
    lc_win_rate_nodiff and for its interval it is then length_control.C). Where the calibration files cannot
    be had, every row is lc_win_rate_nodiff, and a note says why.
    rule: one of RULES. By alpaca-eval a row's difficulty is that of its position among the model's annotations, and C
    is the one of the published figure where the leaderboard has these annotations; raises UsageError for more rows
    than there are difficulties, and without the calibration files.
    """
    battles: dict[tuple[str, str], list[Annotation]] = {}
    for annotation in annotations:
        battles.setdefault((annotation.generator_2, annotation.generator_1), []).append(annotation)
    make = _row_by_position if rule == "alpaca-eval" else _row_by_text
    return [
        make(model, baseline, judge, group, c)
        for (model, baseline), own in battles.items()
        for judge, group in _by_judge(own).items()
    ]


def leaderboard_row(row: ModelRow) -> LeaderboardRow:
    """A row as alpaca_eval's leaderboards have it; lc_standard_error is ours, of the bootstrap."""
    preferences = [a.preference for a in row.annotations if a.preference is not None]
    metrics = row.measurements
    length = metrics[LENGTH].value
    assert length is not None
    return LeaderboardRow(
        name=row.model,
        win_rate=metrics["win_rate"].value,
        standard_error=metrics["win_rate"].standard_error,
        n_wins=sum(preference > TIE for preference in preferences),
        n_wins_base=sum(preference < TIE for preference in preferences),
        n_draws=sum(preference == TIE for preference in preferences),
        n_total=len(preferences),
        discrete_win_rate=metrics["discrete_win_rate"].value,
        mode="community",
        avg_length=int(length),
        length_controlled_winrate=metrics[LC].value if LC in metrics else None,
        lc_standard_error=metrics[LC].standard_error if LC in metrics else None,
    )


def _by_judge(annotations: Sequence[Annotation]) -> dict[str | None, list[Annotation]]:
    """Annotations by their judge; alpaca_eval names none where a verdict failed, so that an only judge has all."""
    judges = {a.annotator for a in annotations if a.annotator is not None}
    only = next(iter(judges)) if len(judges) == 1 else None
    groups: dict[str | None, list[Annotation]] = {}
    for annotation in annotations:
        groups.setdefault(annotation.annotator or only, []).append(annotation)
    return groups


def _row_by_text(
    model: str, baseline: str, judge: str | None, group: Sequence[Annotation], c: float | None
) -> ModelRow:
    rows, absent = _calibrated_rows(group)
    calibrated = [row for row in rows if row is not None]
    measurements, c = _measure(group, calibrated if len(calibrated) == len(group) else None, c)
    notes = [*_count_notes(model, group), *_calibration_notes(model, baseline, group, rows, absent)]
    return ModelRow(model, baseline, judge, group, measurements, notes, c)


def _row_by_position(
    model: str, baseline: str, judge: str | None, group: Sequence[Annotation], c: float | None
) -> ModelRow:
    available = len(calibration.difficulties())
    if len(group) > available:
        raise UsageError(
            f"--rule alpaca-eval: {len(group)} annotations of {model}, and difficulties of {available} positions;"
            " give one annotation an instruction, or leave the rule out"
        )
    listed = find_listed(group) if c is None else None
    measurements, c = _measure(group, range(len(group)), c if listed is None else listed.c)
    notes = [*_count_notes(model, group), *_position_notes(model, group, listed, c)]
    return ModelRow(model, baseline, judge, group, measurements, notes, c)


def _measure(
    group: Sequence[Annotation], rows: Sequence[int] | None, c: float | None
) -> tuple[dict[str, Measurement], float | None]:
    """The metrics, and the C of the length control; rows: of each annotation's difficulty, None: without them."""
    metric = LC_NODIFF if rows is None else LC
    difficulties = None if rows is None else calibration.difficulties()[list(rows)].tolist()
    scores = list(_scores(group, metric, difficulties))
    columns = [
        # Every record counts, as in alpaca_eval: a ratio over the instructions, which differ in their records.
        Column(metric="win_rate", header="", estimator="ratio"),
        Column(metric="discrete_win_rate", header="", estimator="ratio"),
        Column(metric=metric, header="", estimator="length_controlled"),
        Column(metric=LENGTH, header="", estimator="ratio"),
    ]
    official = _official(group, rows, c)
    used = c if official is None else official.c
    estimator = _length_estimator(rows is not None, official, C if used is None else used)
    measurements = {m.metric: m for m in measure(TASK, columns, [scores], {"length_controlled": estimator})}
    length = measurements[LENGTH]
    assert length.value is not None
    measurements[LENGTH] = replace(length, value=int(length.value))
    return measurements, C if official is None and c is None else used


def _calibrated_rows(group: Sequence[Annotation]) -> tuple[list[int | None], str | None]:
    """The row of each instruction in AlpacaEval 2, and why there is none: calibration files that cannot be had."""
    try:
        calibration.difficulties(), gamed()
        return calibration.rows_of([a.instruction for a in group]), None
    except UsageError as error:
        return [None] * len(group), str(error)


def _official(group: Sequence[Annotation], rows: Sequence[int] | None, c: float | None) -> Controlled | None:
    """alpaca_eval's own fit; None where it has none: no rows, no verdict, or all answers differ by the same length.

    (In the last case its code divides by 0.)
    """
    verdicts = any(a.preference is not None for a in group)
    constant = len({len(a.output_1) - len(a.output_2) for a in group}) == 1
    return None if rows is None or constant or not verdicts else control_length(group, rows, c)


def _length_estimator(calibrated: bool, official: Controlled | None, c: float) -> Estimator:
    """alpaca_eval's value where there is one, ours elsewhere; how it varies is our fit's in both cases."""

    def estimator(scores_by_seed: Sequence[Sequence[Score]]) -> Sample:
        ours = estimate(scores_by_seed, gamed=gamed() if calibrated else None, c=c)
        return ours if official is None else replace(ours, estimates_S=np.array([official.win_rate]))

    return estimator


def _scores(group: Sequence[Annotation], metric: str, difficulties: Sequence[float] | None) -> Iterator[Score]:
    for index, annotation in enumerate(group):
        # Those of one instruction move together in what is said of errors.
        item, cluster = str(index), annotation.instruction
        preference = annotation.preference
        yield Score(item, cluster, LENGTH, float(len(annotation.output_2)))
        if preference is None:
            for name in ("win_rate", "discrete_win_rate", metric):
                yield Score(item, cluster, name, None, "unparsable")
            continue
        detail = {"length_delta": len(annotation.output_1) - len(annotation.output_2)}
        controlled = detail if difficulties is None else {**detail, "difficulty": difficulties[index]}
        yield Score(item, cluster, "win_rate", 100 * (preference - 1))
        yield Score(item, cluster, "discrete_win_rate", 100 * (discrete(preference) - 1))
        yield Score(item, cluster, metric, 100 * (preference - 1), detail=controlled)


def _count_notes(model: str, group: Sequence[Annotation]) -> Iterator[str]:
    unscored = sum(a.preference is None for a in group)
    if unscored:
        yield f"{model}: {unscored} of {len(group)} annotations have no preference; they are in no win rate"
    repeated = len(group) - len({a.instruction for a in group})
    if repeated:
        yield f"{model}: {repeated} annotations repeat an instruction; each counts, as in alpaca_eval"
    deltas = [len(a.output_1) - len(a.output_2) for a in group if a.preference is not None]
    caution = shift_caution(length_shift(np.array(deltas, dtype=float)), len(deltas)) if deltas else None
    if caution is not None:
        yield f"{model}: {caution}"


def _position_notes(model: str, group: Sequence[Annotation], listed: Listed | None, c: float | None) -> Iterator[str]:
    if list(calibration.rows_of([a.instruction for a in group])) != list(range(len(group))):
        yield (
            f"{model}: difficulties by position, as in alpaca_eval, though not every row is its instruction's: the"
            " default rule finds them by instruction"
        )
    if listed is None:
        yield (
            f"{model}: C {_format_c(c)} by cross-validation, whose scores are tied to about 1e-6: another version of"
            " scikit-learn may pick another, which moved 22 of 57 published length-controlled win rates by up to 0.15"
        )
        return
    yield (
        f"{model}: on alpaca_eval's leaderboard as {listed.name} with {listed.lc_win_rate:.6f}, reached at C"
        f" {_format_c(listed.c)}"
    )
    picked = control_length(group, range(len(group)), None)
    if abs(picked.win_rate - listed.lc_win_rate) > SAME:
        yield f"{model}: cross-validation picks C {_format_c(picked.c)} here, with {picked.win_rate:.3f}"


def _format_c(c: float | None) -> str:
    return "none (50 by construction)" if c is None else f"{c:.4g}"


def _calibration_notes(
    model: str, baseline: str, group: Sequence[Annotation], rows: Sequence[int | None], absent: str | None
) -> Iterator[str]:
    if absent is not None:
        yield f"{model}: without difficulties, lc_win_rate_nodiff leaves that term out: {absent}"
        return
    unknown = sum(row is None for row in rows)
    if unknown:
        yield (
            f"{model}: {unknown} of {len(group)} instructions are not AlpacaEval 2's, so there is no difficulty for"
            " them: lc_win_rate_nodiff, without that term"
        )
        return
    if list(rows) != list(range(len(calibration.difficulties()))):
        yield (
            f"{model}: not the 805 instructions in their order; difficulties were found by instruction, where"
            " alpaca_eval takes the row (--rule alpaca-eval does as it does)"
        )
    if baseline != calibration.REFERENCE:
        yield (
            f"{model}: the baseline is {baseline}; length control was calibrated with {calibration.REFERENCE} and"
            " leans towards it"
        )
