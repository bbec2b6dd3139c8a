"""`ropo-bench score`: what exists already (annotations, judgments, completions, a checkpoint), with no training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Score files or a checkpoint that exist already.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@app.command("alpaca-eval")
def alpaca_eval(
    annotations: Annotated[Path, typer.Argument(help="alpaca_eval's annotations (JSON, .gz) or leaderboard (CSV).")],
    lc_c: Annotated[
        float | None, typer.Option("--lc-c", help="C of the length-control fit (default: by cross-validation).")
    ] = None,
    rule: Annotated[
        str,
        typer.Option("--rule", help="default: difficulties by instruction; alpaca-eval: by row, as published."),
    ] = "default",
    leaderboard: Annotated[
        Path | None, typer.Option("--leaderboard", help="Write the rows to this CSV in alpaca_eval's format.")
    ] = None,
    json: Json = False,
) -> None:
    """Win rates of annotations: raw, length-controlled, discrete."""
    from ropo_bench.commands.score.alpaca_eval import score_alpaca_eval_command

    score_alpaca_eval_command(annotations, lc_c, json, leaderboard, rule)


@app.command("mt-bench")
def mt_bench(
    judgments: Annotated[Path, typer.Argument(help="FastChat's model_judgment file (JSONL, .gz).")],
    pairwise: Annotated[bool, typer.Option("--pairwise", help="The file holds battles, not grades.")] = False,
    rule: Annotated[
        str, typer.Option("--rule", help="default: an item counts once; fastchat: as show_result counts.")
    ] = "default",
    model: Annotated[str | None, typer.Option("--model", help="Only this model.")] = None,
    json: Json = False,
) -> None:
    """Scores, or win rates against a baseline, of a judgment file."""
    from ropo_bench.commands.score.mt_bench import score_mt_bench_command

    score_mt_bench_command(judgments, pairwise, rule, model, json)


@app.command("diversity")
def diversity(
    file: Annotated[Path, typer.Argument(help="One completion a line, or JSONL with `output` (.gz).")],
    level: Annotated[str, typer.Option("--level", help="corpus, prompt or completion.")] = "corpus",
    denominator: Annotated[str, typer.Option("--denominator", help="ngrams or tokens.")] = "ngrams",
    json: Json = False,
) -> None:
    """distinct-1 to distinct-4 of a file of completions, 0 to 1."""
    from ropo_bench.commands.score.diversity import score_diversity_command

    score_diversity_command(file, level, denominator, json)


@app.command("commonsense")
def commonsense(
    model: Annotated[Path, typer.Argument(help="Folder of a model.")],
    tasks: Annotated[str, typer.Option("--tasks", help="Names, comma-separated, or: all.")] = "all",
    backend: Annotated[str, typer.Option("--backend", help="auto, vllm or hf.")] = "auto",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first items of each task.")] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="auto is the checkpoint's own.")] = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Requests a batch (hf).")] = 1,
    json: Json = False,
) -> None:
    """Accuracy on the eight commonsense tasks, and the mean.

    BoolQ, PIQA, SIQA, HellaSwag, WinoGrande, ARC-easy, ARC-challenge and OpenBookQA.
    """
    from ropo_bench.commands.score.commonsense import score_commonsense_command

    score_commonsense_command(model, tasks, backend, limit, json, dtype, batch_size)
