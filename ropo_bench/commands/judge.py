"""`ropo-bench judge`: list the judges, show one, and measure how far one agrees with people or published verdicts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropo_bench.errors import UsageError
from ropo_bench.store.bounded import dump_json
from ropo_bench.terminal.screen import say

if TYPE_CHECKING:
    from ropo_bench.judging.calibrate import Battle
    from ropo_bench.recipes.judge import JudgeRecipe

app = typer.Typer(help="The judges in the box, and how far they can be trusted.", no_args_is_help=True)

Include = Annotated[
    list[Path] | None, typer.Option("--include", help="A folder with recipes of your own; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_judges(include: Include = None, as_json: AsJson = False) -> None:
    """List the judges: name, kind, model, description."""
    from ropo_bench.recipes.files import list_recipes
    from ropo_bench.recipes.load import load_judge

    judges = [load_judge(name, include=include or []) for name in list_recipes("judges", include or [])]
    keys = ("name", "kind", "model", "description")
    rows = [{key: str(getattr(judge, key)) for key in keys} for judge in judges]
    if as_json:
        say(dump_json(rows, indent=2))
        return
    widths = [max(len(row[key]) for row in rows) for key in keys]
    for row in rows:
        say("  ".join(f"{row[key]:<{width}}" for key, width in zip(keys, widths, strict=True)).rstrip())


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A judge's name, or a recipe file.")],
    include: Include = None,
    as_json: AsJson = False,
) -> None:
    """Print a judge's recipe, and whether its key is set."""
    from ropo_bench.recipes.load import load_judge

    judge = load_judge(name, include=include or [])
    recipe = judge.model_dump(exclude_none=True)
    canaries = _canaries()
    key = None
    if judge.wanted_key is not None:
        key = {"variable": judge.wanted_key, "set": bool(os.environ.get(judge.wanted_key, "").strip())}
    if as_json:
        say(dump_json({"judge": recipe, "key": key, "canaries": canaries}, indent=2))
        return
    for key_name, value in recipe.items():
        say(f"{key_name}: {value if isinstance(value, str) else json.dumps(value)}")
    if judge.prices is None and judge.kind in ("openai", "azure"):
        say("# no prices: its cost is not estimated, and --budget-usd cannot be kept")
    if key is not None:
        say(f"# its key is {'' if key['set'] else 'not '}set in {key['variable']}")
    for kind, plan in canaries.items():
        say(
            f"# canaries {kind}: {plan['items']} items, {plan['calls']} calls; fail beyond {plan['tolerance']:g},"
            f" find a bias of {plan['detectable']:g} four times in five"
        )


def _canaries() -> dict[str, dict[str, float | None]]:
    """Of every canary of comparisons, on prompts enough: items, calls, tolerance and what bias it finds."""
    from ropo_bench.judging.canary_power import CALLS, TOLERANCES, detectable, num_items

    plans: dict[str, dict[str, float | None]] = {}
    for kind, tolerance in TOLERANCES.items():
        items = num_items(kind)
        plans[kind] = {
            "items": items,
            "calls": CALLS[kind] * items,
            "tolerance": tolerance,
            "detectable": detectable(kind, items),
        }
    return plans


@app.command()
def calibrate(
    verdicts: Annotated[Path, typer.Argument(help="Verdicts to agree with: JSONL, or alpaca_eval annotations.")],
    judge: Annotated[str | None, typer.Option("--judge", help="Ask this judge: a name or a recipe file.")] = None,
    against: Annotated[Path | None, typer.Option("--against", help="Compare with this file; asks nobody.")] = None,
    task: Annotated[str, typer.Option("--task", help="The task whose question is asked.")] = "alpaca-eval-2",
    budget_calls: Annotated[int | None, typer.Option("--budget-calls", min=0, help="Most requests.")] = None,
    budget_usd: Annotated[float | None, typer.Option("--budget-usd", min=0, help="Most dollars.")] = None,
    strict_model: Annotated[bool, typer.Option("--strict-model", help="Stop where another model answers.")] = False,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of all runs; answers are kept there.")] = Path("runs"),
    include: Include = None,
    as_json: AsJson = False,
) -> None:
    """Agreement with other verdicts, and how far order sways a judge.

    A line of JSONL: {"prompt" or "instruction", "answer_a", "answer_b", "winner": "a", "b", "tie" or null}.
    """
    from ropo_bench.judging.calibrate import read_battles
    from ropo_bench.scoring.alpaca_eval.prompt import is_switched

    if (judge is None) == (against is None):
        raise UsageError("judge calibrate: give either --judge NAME or --against FILE, to compare the verdicts with")
    reference = read_battles(verdicts, is_switched)
    if against is not None:
        others = read_battles(against, is_switched)
        calibration = _Calibration(against.name, others, others)
    else:
        from ropo_bench.recipes.load import load_judge

        assert judge is not None
        recipe = load_judge(judge, include=include or [])
        recipe = recipe.model_copy(update={"strict_model": recipe.strict_model or strict_model})
        calibration = _ask(recipe, reference, task, (budget_calls, budget_usd), runs, include or [])
    _print(calibration, verdicts.name, reference, as_json)
    problem = _problem(calibration)
    if problem is not None:
        say(f"error: judge {calibration.label}: {problem}", file=sys.stderr)
        raise typer.Exit(4)


def _problem(calibration: _Calibration) -> str | None:
    """Why the numbers of a calibration are not whole."""
    failed, unparsable = (calibration.facts.get(fact, 0) for fact in ("n_failed", "n_unparsable"))
    if failed:
        return f"{failed} calls have no answer; the same command asks them again"
    if unparsable == len(calibration.by_order) > 0:
        return f"none of its {unparsable} answers holds a verdict; correct its params"
    return None


@dataclass(frozen=True, slots=True)
class _Calibration:
    """A judge's verdicts: `by_order`, one for each order in which a battle was shown, and `single`, one a battle."""

    label: str
    by_order: Sequence[Battle]
    single: Sequence[Battle]
    facts: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()


def _ask(
    judge: JudgeRecipe,
    reference: Sequence[Battle],
    task: str,
    budget: tuple[int | None, float | None],
    runs: Path,
    include: Sequence[Path],
) -> _Calibration:
    from ropo_bench.judging.calibrate import battle_calls, both_orders, shown_battles

    if judge.kind == "function":
        raise UsageError(
            f"judge {judge.name}: an exact function grades its own prompts only; calibrate a judge that reads words"
        )
    if judge.kind == "reward-model":
        return _Calibration(judge.name, [], _grade(judge, reference))
    from ropo_bench.judging.ledger import Budget
    from ropo_bench.recipes.load import load_task
    from ropo_bench.scoring import find_judged
    from ropo_bench.stages.judges import JudgeRoom
    from ropo_bench.store import Store
    from ropo_bench.terminal.progress import Progress

    recipe = load_task(task, include=include)
    scorer = find_judged(recipe.scorer)
    probe = None if scorer is None else scorer.probe
    if probe is None or probe.num_answers != 2:
        raise UsageError(f"--task {task}: it does not ask which of two answers is better; take alpaca-eval-2, say")
    with Progress() as progress:
        room = JudgeRoom(Store(runs), progress, Budget(*budget))
        try:
            calls = battle_calls(reference, lambda prompt, a, b: probe.ask(recipe, judge, prompt, (a, b)))
            outcome = room.ask(judge, calls, "calibrate")
        finally:
            room.close()
    verdicts = shown_battles(reference, outcome.answers, lambda answer: probe.read(recipe, judge, answer))
    failed, unread = len(outcome.failed), sum(battle.preference is None for battle in verdicts)
    tally = outcome.tally
    cost = "" if tally.cost_usd is None else f", {tally.cost_usd:.2f} dollars"
    note = f"{tally.sent} requests sent{cost}; {tally.cached} answers were there"
    facts = {"n_unparsable": unread - failed, "n_failed": failed}
    notes = [note] + [
        f"{count} answers are by {name!r}, asked was {judge.model!r} (--strict-model refuses them)"
        for name, count in tally.other_models.items()
    ]
    return _Calibration(judge.name, verdicts, both_orders(verdicts), facts, notes)


def _grade(judge: JudgeRecipe, reference: Sequence[Battle]) -> list[Battle]:
    """A reward model's verdicts: the higher reward wins."""
    from dataclasses import replace

    from ropo_bench.judging.reward import RewardGrader
    from ropo_bench.scoring.arena import preference
    from ropo_bench.sources.models import model_folder
    from ropo_bench.types import Prompt

    texts = [(battle.prompt, answer) for battle in reference for answer in (battle.answer_a, battle.answer_b)]
    conversations = [(Prompt(f"battle {i // 2}", (prompt,)), [answer]) for i, (prompt, answer) in enumerate(texts)]
    rewards = [reward for (reward,) in RewardGrader(model_folder(judge.model)).grade(conversations)]
    return [
        replace(battle, preference=preference(a, b, 0.0), first=None)
        for battle, a, b in zip(reference, rewards[::2], rewards[1::2], strict=True)
    ]


def _print(judge: _Calibration, file: str, reference: Sequence[Battle], as_json: bool) -> None:
    from ropo_bench.commands.score.output import Metric, ScoreRow, print_rows
    from ropo_bench.judging.calibrate import agreement, longer_share, match_battles, position_bias

    pairs, missing = match_battles(reference, judge.single)
    if not pairs:
        raise UsageError(
            f"{file}: none of its {len(reference)} battles is in {judge.label}; compare verdicts on the same texts"
        )
    measures: dict[str, Any] = {
        **agreement(pairs),
        "position_bias": position_bias(judge.by_order),
        "longer_share": longer_share([ours for _, ours in pairs]),
        "reference_position_bias": position_bias(reference),
        "reference_longer_share": longer_share([theirs for theirs, _ in pairs]),
    }
    metrics = {name: Metric(m.value, m.n, m.n_unscored, m.standard_error) for name, m in measures.items()}
    notes = [
        *judge.notes,
        "accuracy in %; position_bias in points: p(a wins) where a was shown first, less where it was second;"
        " longer_share: wins of the longer answer in %; ± is a standard error by bootstrap over prompts",
    ]
    if missing:
        notes.append(f"{missing} of {len(reference)} verdicts in {file} have no counterpart")
    facts = {"reference": file, "n": len(pairs), "n_missing": missing, **judge.facts}
    print_rows([ScoreRow(judge.label, metrics, notes, facts)], as_json)
