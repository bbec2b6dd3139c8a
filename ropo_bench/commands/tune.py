"""`ropo-bench tune`: every method's score against its learning rate, and the rate that is chosen, by one search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.recipes.load import load_methods, load_suite, load_task, settings
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.rates import Tuned, TuningRecord, read_tuning, write_tuning
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.stages import completions
from ropo_bench.stages.bench import Bench
from ropo_bench.store import Store, atomic_write_text, content_key
from ropo_bench.store.locks import SHARED
from ropo_bench.terminal.progress import Progress
from ropo_bench.terminal.screen import say
from ropo_bench.tuning.grid import grid_around, grid_between
from ropo_bench.tuning.search import Search


@dataclass(frozen=True, slots=True)
class TuneAsked:
    """What the command line said. grid: LOWEST:HIGHEST, None: around the first guesses. write: a suite file that gets
    the rates as overrides. out: a file of records, whose other methods stay."""

    methods: str
    suite: str
    seeds: int
    grid: str | None = None
    workers: int = 1
    write: Path | None = None
    out: Path | None = None
    include: Sequence[Path] = ()


def tune_command(asked: TuneAsked, runs: Path, json: bool) -> None:
    """Run the trials, record them as they come, print the choice, and write it where that is asked for."""
    recipe = load_suite(asked.suite, include=asked.include)
    if recipe.validation is None:
        raise UsageError(f"suite {recipe.name}: it names no validation task, which tune selects by; add validation:")
    task = load_task(recipe.validation, include=asked.include)
    methods = load_methods(asked.methods, suite=recipe, include=asked.include)
    before = read_tuning(asked.out) if asked.out is not None and asked.out.exists() else None
    grid = _grid(asked.grid, recipe, methods, before)
    if asked.write is not None and not asked.write.is_file():
        raise UsageError(f"--write {asked.write}: no such file; give the suite's YAML file, which gets the overrides")
    store = Store(runs)
    path = store.run_folder(_name(recipe, methods, grid, asked.seeds)) / "tune.json"
    with store.use.hold(SHARED), Progress() as progress, Bench(store, recipe, progress) as bench:
        search = Search(
            bench, task, methods, grid, asked.seeds, asked.workers, lambda record: write_tuning(path, record)
        )
        if before is not None:
            _refuse_another_search(asked.out, before, search)
        record = search.run()
        progress.note(f"record: {path}")
    say(record.model_dump_json(indent=1) if json else "\n".join(choice_lines(record)))
    if asked.out is not None:
        others = {} if before is None else before.methods
        write_tuning(asked.out, record.model_copy(update={"methods": others | record.methods}))
    if asked.write is not None:
        write_overrides(asked.write, {name: t.lr for name, t in record.methods.items() if t.lr is not None})


def _grid(
    given: str | None, suite: SuiteRecipe, methods: Sequence[MethodRecipe], before: TuningRecord | None
) -> list[float]:
    """The grid that is asked for, else that of the record which the methods join, else around the known rates."""
    if given is None and before is not None:
        return list(before.grid)
    if given is None:
        rates = [float(change["train.lr"]) for change in suite.overrides.values() if "train.lr" in change]
        return grid_around([*rates, *(method.train.lr for method in methods)])
    try:
        low, high = map(float, given.split(":"))
    except ValueError:
        raise UsageError(f"--grid {given}: give LOWEST:HIGHEST, such as 4e-6:6e-2") from None
    points = grid_between(low, high) if 0 < low < high else []
    if len(points) < 3:
        raise UsageError(f"--grid {given}: fewer than 3 factors of 2 between them; give LOWEST:HIGHEST, 4e-6:6e-2")
    return points


def _name(suite: SuiteRecipe, methods: Sequence[MethodRecipe], grid: Sequence[float], seeds: int) -> str:
    inputs: dict[str, Any] = {
        "suite": suite.model_dump(),
        "rows": [settings(method) for method in methods],
        "grid": list(grid),
        "seeds": seeds,
    }
    return f"tune-{suite.name}-{content_key('tune', inputs)[:8]}"


def _refuse_another_search(path: Path | None, before: TuningRecord, search: Search) -> None:
    """Raise UsageError where a file's methods were chosen in another way: they could not stand side by side."""
    completions.make(search.bench, search.bench.base, search.task, "SFT")
    if not before.same_search(search.record()):
        raise UsageError(
            f"--out {path}: it holds another search (other grid, seeds, prompts, base or data); "
            "choose another file, or tune all methods anew into a new one"
        )


def choice_lines(record: TuningRecord) -> list[str]:
    """What was chosen, a line a method, with its curve below it."""
    lines = [
        f"{record.metric} on {record.task}, {record.num_prompts} prompts: grid of {len(record.grid)} rates over "
        f"{record.decades:.1f} decades, {len(record.seeds)} seeds around the peak"
    ]
    width = max(map(len, record.methods))
    for name, tuned in record.methods.items():
        lines.append(f"{name:<{width}}  {_choice(tuned)}")
        lines.append(f"{'':<{width}}  " + "  ".join(_point(point.lr, point.value) for point in tuned.points))
    return lines


def _choice(tuned: Tuned) -> str:
    if tuned.lr is None or tuned.value is None:
        return "no rate: every trial failed"
    chosen = next(point for point in tuned.points if point.lr == tuned.lr)
    error = "" if chosen.standard_error is None else f" ± {chosen.standard_error:.1f}"
    corrected = (
        "" if tuned.corrected is None else f", {tuned.corrected:.1f} on prompts and seeds that did not choose it"
    )
    others = ", ".join(f"{p.lr:g} {100 * p.share:.0f} %" for p in tuned.points if p.share >= 0.05 and p is not chosen)
    edge = "; the peak lies at an end of the grid: widen it with --grid" if tuned.at_edge else ""
    return (
        f"lr {tuned.lr:g}: {tuned.value:.1f}{error}{corrected}; chosen in {100 * chosen.share:.0f} % of draws"
        + (f" (else {others})" if others else "")
        + edge
    )


def _point(lr: float, value: float | None) -> str:
    return f"{lr:g}: {'failed' if value is None else format(value, '.1f')}"


def write_overrides(path: Path, rates: Mapping[str, float]) -> None:
    """Put the learning rates into a suite file's overrides, keeping everything else as it is."""
    import io

    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 118
    document = yaml.load(path.read_text())
    for name, rate in rates.items():
        document.setdefault("overrides", {}).setdefault(name, {})["train.lr"] = rate
    out = io.StringIO()
    yaml.dump(document, out)
    atomic_write_text(path, out.getvalue())
