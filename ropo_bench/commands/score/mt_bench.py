"""`ropo-bench score mt-bench`: the scores in a file of judgments that FastChat, or `ropo-bench`, has written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ropo_bench.commands.score.output import Metric, ScoreRow, print_rows
from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import suggest
from ropo_bench.scoring.mt_bench.fastchat import read_judgments
from ropo_bench.scoring.mt_bench.judgments import RULES, ModelScores, baseline, score_judgments


def score_mt_bench_command(path: Path, pairwise: bool, rule: str, model: str | None, json: bool) -> None:
    """Print one row a model (and judge, where the file has several); raises UsageError.

    rule: "default" or "fastchat" (see scoring.mt_bench.judgments). model: only this one's rows. The baseline of a
    file of battles has a row only where it is asked for.
    """
    if rule not in RULES:
        raise UsageError(f"--rule {rule}: {suggest(rule, RULES) or 'known: ' + ', '.join(RULES)}")
    judgments = read_judgments(path, pairwise)
    models = score_judgments(judgments, rule)
    names = sorted({scores.model for scores in models})
    if model is not None and model not in names:
        hint = suggest(model, names) or f"it has: {', '.join(names)}"
        raise UsageError(f"{path}: holds no judgments of the model {model!r}; {hint}")
    opponent = baseline(judgments) if pairwise else None
    wanted = {model} if model is not None else set(names) - {opponent}
    print_rows([_row(scores, rule) for scores in models if scores.model in wanted], json)


def _row(scores: ModelScores, rule: str) -> ScoreRow:
    metrics = {
        measurement.metric: Metric(
            measurement.value, measurement.n, measurement.n_unscored, measurement.standard_error
        )
        for measurement in scores.measurements
    }
    facts: dict[str, object] = {"judge": scores.judge, "rule": rule}
    if scores.opponents:
        facts["opponent"] = scores.opponents[0] if len(scores.opponents) == 1 else f"{len(scores.opponents)} models"
    facts["n_duplicates"] = scores.n_duplicates
    return ScoreRow(scores.model, metrics, _notes(scores, rule), facts)


def _notes(scores: ModelScores, rule: str) -> Sequence[str]:
    notes = []
    who = f"{scores.model}, judge {scores.judge}"
    if scores.n_duplicates:
        meaning = "every one counts" if rule == "fastchat" else "an item counts once, as the mean of its valid scores"
        notes.append(
            f"{who}: {scores.n_repeated} items were judged more than once ({scores.n_duplicates} duplicates; "
            f"{scores.n_different} items have different scores): {meaning}"
        )
    if scores.n_error_answers:
        meaning = "their scores count" if rule == "fastchat" else "their scores do not count"
        notes.append(f"{who}: {scores.n_error_answers} judgments are of an error text, not of an answer: {meaning}")
    unscored = scores.measurements[0].n_unscored
    if unscored:
        notes.append(f"{who}: {unscored} of {scores.measurements[0].n + unscored} without a valid score, left out")
    if len(scores.opponents) > 1:
        notes.append(f"{scores.model}: battles with {', '.join(scores.opponents)} in one number")
    return notes
