"""`ropo-bench claims`: a file of claims against a run, each with its verdict and the numbers behind it."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer

from ropo_bench.claims import Decided, decide_claims, exit_code, read_claims
from ropo_bench.claims.rule import ALPHA, Region, decide
from ropo_bench.comparison.text import interval_text, number, p_text
from ropo_bench.runs.reading import named_run
from ropo_bench.store.bounded import dump_json
from ropo_bench.terminal.screen import say

SCHEMA = "ropo-bench/claims"
SCHEMA_VERSION = 1
WIDTH = 118
READING = (
    f"interval: 95 %, of the claim alone; p: one-sided at the margin, Holm over the file's claims; decided at "
    f"{ALPHA:g}, so that a file holds a wrong verdict in at most 5 % of repetitions"
)


def claims_command(run: str | None, file: Path, runs: Path, json: bool) -> None:
    """Decide and print; exits 1 where a claim is not supported, 4 where a row is unfinished, 3 where underpowered."""
    opened = named_run(runs, run)
    decided = decide_claims(opened, read_claims(file))
    code = exit_code([claim.verdict for claim in decided])
    if json:
        value: dict[str, Any] = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "run": opened.name}
        say(dump_json(value | {"exit_code": code, "claims": [_as_json(claim) for claim in decided]}))
    else:
        say(_as_text(opened.name, decided), end="")
    if code:
        raise typer.Exit(code)


def _as_json(result: Decided) -> dict[str, Any]:
    claim = result.claim
    region = [None if math.isinf(border) else border for border in claim.region]
    value: dict[str, Any] = {"id": claim.id, "claim": claim.text, "why": claim.why, "verdict": result.verdict}
    value |= {"row": claim.row, "other": claim.other, "task": claim.task, "metric": claim.metric, "region": region}
    value |= {"reason": result.reason}
    if result.numbers is None or result.decision is None:
        return value
    numbers = asdict(replace(result.numbers, evidence=replace(result.numbers.evidence, p_at=None, parts=None)))
    count, seeds = numbers.pop("needs") or (None, None)
    evidence = numbers.pop("evidence")
    del evidence["p_at"], evidence["parts"]
    value |= evidence | numbers | {"prompts_needed": count, "seeds_needed": seeds}
    return value | {"p_support": result.decision.p_support, "p_refute": result.decision.p_refute}


def _as_text(run: str, decided: Sequence[Decided]) -> str:
    counts = Counter(result.verdict for result in decided)
    lines = [f"{run}: {len(decided)} claims: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())]
    for result in decided:
        lines += ["", f"{result.verdict:<14}{result.claim.id + ': ' if result.claim.id else ''}{result.claim.text}"]
        lines += [
            f"{'':<14}{part}" for text in _explain(result, len(decided)) for part in textwrap.wrap(text, WIDTH - 14)
        ]
    return "\n".join([*lines, "", *textwrap.wrap(READING, WIDTH)]) + "\n"


def _explain(result: Decided, num_claims: int) -> list[str]:
    """The numbers of a claim, in one or two sentences."""
    numbers, claim = result.numbers, result.claim
    if numbers is None or result.decision is None:
        return [result.reason or "not finished"]
    evidence, decimals, signed = numbers.evidence, numbers.decimals, claim.other is not None
    what = f"{claim.row} - {claim.other}" if signed else claim.row
    scale = max(abs(evidence.low or 0.0), abs(evidence.high or 0.0))
    estimate = f"{what} = {number(evidence.estimate, decimals, signed, scale)}"
    claimed = f"claimed {_region(claim.region)}"
    if evidence.standard_error is None:
        return [f"{estimate}, {claimed}; everything is counted, under one seed: exact for this checkpoint"]
    about = _seeds_text(numbers.num_seeds)
    prompts = f"{numbers.n:,} prompts, " if numbers.n else ""
    left_out = f", {numbers.n_unscored:,} items unscored" if numbers.n_unscored else ""
    opposite = result.decision.p_refute < result.decision.p_support
    p_value = result.decision.p_refute if opposite else result.decision.p_support
    interval = interval_text(evidence.low, evidence.high, decimals, signed)
    test = f"p {p_text(p_value)}{' for the opposite' if opposite else ''}"
    return [
        f"{estimate} {interval}, {claimed}; {test}; {prompts}{about}{left_out}",
        *_explain_underpowered(result, num_claims),
    ]


def _explain_underpowered(result: Decided, num_claims: int) -> list[str]:
    """Why nothing is decided, what would have been seen, and what would be enough."""
    numbers = result.numbers
    if result.verdict != "UNDERPOWERED" or numbers is None:
        return []
    if numbers.detectable is None:
        return ["nothing varies among these prompts, so there is no error to decide by"]
    seen = number(numbers.detectable, numbers.decimals)
    region, evidence = result.claim.region, numbers.evidence
    alone = decide([evidence], [region])[0]
    among = f" as one of {num_claims} claims" * (num_claims > 1)
    why = (
        "across the margin"
        if alone is None or alone.verdict == "UNDERPOWERED"
        else f"alone it would be {alone.verdict},{among} it is open"
    )
    if region.is_bounded:
        text = f"{why}; if there were no difference at all, `within {seen}` would be supported four times in five"
    else:
        border = region.high if math.isinf(region.low) else region.low
        text = f"{why}; a truth {seen} away from {border:g} would be found four times in five"
    counts = zip(("prompts", "seeds"), numbers.needs or (), strict=False)
    ways = [f"{count:,} {what}" for what, count in counts if count is not None]
    enough = " or ".join(ways) or "no number of prompts or of seeds alone"
    about = " (of this checkpoint)" if max(numbers.num_seeds) == 1 else ""
    return [text, f"if the truth is what was estimated, {enough} would decide it{about}"]


def _seeds_text(num_seeds: Sequence[int]) -> str:
    if max(num_seeds) == 1:
        return "1 seed: about this checkpoint"
    return f"{' and '.join(str(count) for count in dict.fromkeys(num_seeds))} seeds"


def _region(region: Region) -> str:
    if math.isinf(region.high):
        return f"above {region.low:g}"
    if math.isinf(region.low):
        return f"below {region.high:g}"
    return f"between {region.low:g} and {region.high:g}"
