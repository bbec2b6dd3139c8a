"""Does the nightly gate keep its promises? Simulated nights, the real decision: python -m benchmarks.gate [--json]

Alarms: unchanged nights, one drawn from each of many independent histories. An alarm is a suspicion by the test or
the CUSUM, before any re-run; `confirmed` is what a re-run with fresh seeds leaves of them (REGRESSION).
Power: a loss of 1 MDE in one cell from night 21 on, caught (REGRESSION) by night 22; a loss that grows by 0.2 MDE a
night, in one cell or in all of them, caught by its night 10. MDE: the gate's own margin (`detectable`) at the
true variances and the degrees that it has then. Unchanged nights before the ones that count are not judged: none of
them is left out as a regression.

Worlds: `benchmarks/gate_worlds.py`. Prompts are the same every night and cancel. A re-run has the seeds after the
night's own, as `nightly` gives it: those of the first repeat, where the first night or the baseline was repeated.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any, Literal

from benchmarks.gate_worlds import METRICS, Setting, World
from ropo_bench.gate.autocorrelation import Autocorrelation
from ropo_bench.gate.cell_numbers import detectable
from ropo_bench.gate.comparison import floors
from ropo_bench.gate.decision import Decision, decide
from ropo_bench.gate.evidence import Baseline, evidence
from ropo_bench.gate.maths import Noise
from ropo_bench.gate.night import Night

WARM_UP = 20  # unchanged nights before a planted loss
Loss = Literal["step", "drift", "common"]
KINDS: dict[Loss, str] = {
    "step": "1 MDE within 2 nights",
    "drift": "0.2 MDE a night by night 10",
    "common": "the same in all cells",
}


class History:
    """A gate that is run night after night, as `nightly` does it."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self.world = World(setting, seed)
        self.nights: list[Night] = []
        self.is_fixed = setting.baseline == "fixed"
        self.baseline = Baseline(self.world.night(0, {}, setting.repeats) if self.is_fixed else None)

    def measure(self, losses: Mapping[tuple[str, str], float]) -> Night:
        """The next night."""
        number = len(self.nights) + 1
        repeats = self.world.setting.repeats if number == 1 and not self.is_fixed else 0
        return self.world.night(number, losses, repeats)

    def judge(self, night: Night, losses: Mapping[tuple[str, str], float]) -> tuple[Decision, Decision]:
        """What the gate says at first, and after the re-run of what it suspects."""
        first = final = decide(night, self.nights, self.baseline)
        if first.suspects:
            again = self.world.rows_of(len(night.repeats) + 1, losses)
            final = decide(night, self.nights, self.baseline, again=again)
        return first, final

    def go(self, losses: Mapping[tuple[str, str], float]) -> Decision:
        """One night, judged and remembered."""
        night = self.measure(losses)
        _, final = self.judge(night, losses)
        self.nights.append(replace(night, verdict=final.verdict, verdicts=final.by_row()))
        return final

    def effect(self, row: str, column: str) -> float:
        """1 MDE of a cell tonight."""
        setting = self.world.setting
        night = self.world.night(len(self.nights) + 1, {})
        found, cell = evidence(row, column, night, self.nights, self.baseline), night.cell(row, column)
        assert cell is not None
        learned = floors(found, cell, night.columns[column], Autocorrelation())
        assert learned is not None
        seed = (setting.noise * METRICS[column].sd) ** 2
        grid = 100 / METRICS[column].items if column.endswith("accuracy") else 0.0  # a share of items
        tau = (seed * (1 - setting.recurring + setting.nightly**2) + grid**2 / 12) / setting.seeds
        true = learned._replace(seeds=Noise(seed, learned.seeds.degrees), nights=Noise(tau, learned.nights.degrees))
        return detectable(true, found, setting.seeds, setting.methods * setting.columns)


def alarms(setting: Setting, histories: int, nights: int = 30) -> dict[str, Any]:
    """Unchanged nights: one at random out of each history, by its kind of verdict."""
    counts = {"suspected": 0, "by_drift": 0, "confirmed": 0, "go": 0}
    for number in range(histories):
        history = History(setting, number)
        for _ in range(random.Random(-1 - number).randint(2, nights) - 1):
            history.nights.append(history.measure({}))
        first, final = history.judge(history.measure({}), {})
        counts["suspected"] += bool(first.suspects)
        counts["by_drift"] += any("drifted" in cell.reason for cell in first.suspects)
        counts["confirmed"] += final.verdict == "REGRESSION"
        counts["go"] += final.verdict == "GO"
    shares = {name: count / histories for name, count in counts.items()}
    return {"nights": histories, **shares, "bounds_95": bounds(counts["suspected"], histories)}


def caught(setting: Setting, trials: int, kind: Loss) -> dict[str, Any]:
    """A planted loss: caught in time, and the night on which it was."""
    on = []
    for number in range(trials):
        history = History(setting, 10_000 + number)
        for _ in range(WARM_UP):
            history.nights.append(history.measure({}))
        world = history.world
        cells = [(row, column) for row in world.rows for column in world.columns]
        chosen = cells[number % len(cells)]
        effects = {cell: history.effect(*cell) for cell in (cells if kind == "common" else [chosen])}
        for night in range(1, 3 if kind == "step" else 11):
            share = 1.0 if kind == "step" else 0.2 * night
            final = history.go({cell: share * effect for cell, effect in effects.items()})
            if final.by_row()[chosen[0]][chosen[1]] == "REGRESSION":
                on.append(night)
                break
    return {
        "trials": trials,
        "caught": len(on) / trials,
        "bounds_95": bounds(len(on), trials),
        "mean_night": fmean(on) if on else None,
    }


def bounds(count: int, total: int) -> tuple[float, float]:
    """The two-sided 95 % Clopper-Pearson interval."""
    from scipy.stats import beta

    low = 0.0 if count == 0 else float(beta.ppf(0.025, count, total - count + 1))
    return low, 1.0 if count == total else float(beta.ppf(0.975, count + 1, total - count))


RECURRING = [
    Setting(baseline, seeds, recurring, repeats)
    for baseline in ("fixed", "rolling:14")
    for seeds, repeats in ((1, 6), (3, 0), (3, 5))
    for recurring in (0.0, 0.5, 0.9, 0.98, 1.0)
]
POWERED = [setting for setting in RECURRING if setting.recurring in (0.0, 0.98)]
SHAPES: list[dict[str, Any]] = [
    {"methods": 1, "columns": 1},
    {"methods": 8, "columns": 4},
    {"methods_correlation": 0.0},
    {"methods_correlation": 0.94},
    {"noise": 0.2},
    {"shape": "tails"},
    {"shape": "skewed"},
    {"nightly": 0.7},
    {"nightly": 0.7, "ar": 0.8},
    {"slow": 0.7, "ar": 0.8},
]
VARIED = [Setting(baseline, 3, **changes) for changes in SHAPES for baseline in ("fixed", "rolling:14")]
VARIED += [Setting("fixed", 1, repeats=6, shape=shape) for shape in ("tails", "skewed")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--nights", type=int, default=2000, help="unchanged nights of a setting")
    parser.add_argument("--trials", type=int, default=500, help="planted steps; a fifth of it of each drift")
    parser.add_argument("--part", choices=("recurring", "varied"), help="one half of the settings")
    asked = parser.parse_args()
    found = []
    settings = {"recurring": RECURRING, "varied": VARIED}
    for setting in settings[asked.part] if asked.part else [*RECURRING, *VARIED]:
        started = time.monotonic()
        result: dict[str, Any] = {"setting": asdict(setting), "alarms": alarms(setting, asked.nights)}
        if setting in POWERED or setting in VARIED[:2]:
            trials = {kind: asked.trials if kind == "step" else asked.trials // 5 for kind in KINDS}
            result |= {kind: caught(setting, count, kind) for kind, count in trials.items()}
        result["seconds"] = time.monotonic() - started
        found.append(result)
        if not asked.json:
            print(line(result), flush=True)
    if asked.json:
        print(json.dumps({"schema": 2, "results": found}, indent=1))


def line(result: Mapping[str, Any]) -> str:
    """A setting and what it gave; what is not said of it is as in `Setting`."""
    alarm, usual = result["alarms"], asdict(Setting("", 0))
    setting = {name: value for name, value in result["setting"].items() if value != usual[name]}
    low, high = alarm["bounds_95"]
    text = (
        f"{' '.join(f'{k}={v}' for k, v in setting.items())}: suspected {100 * alarm['suspected']:.2f} %"
        f" [{100 * low:.2f}, {100 * high:.2f}], by drift {100 * alarm['by_drift']:.2f} %, confirmed"
        f" {100 * alarm['confirmed']:.2f} %, GO {100 * alarm['go']:.1f} %"
    )
    for kind, what in KINDS.items():
        if kind in result:
            low, high = result[kind]["bounds_95"]
            text += f"; {what}: {100 * result[kind]['caught']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{text} ({result['seconds']:.0f} s)"


if __name__ == "__main__":
    main()
