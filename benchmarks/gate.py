"""Does the nightly gate keep its promises? Simulated nights, the real decision: python -m benchmarks.gate [--json]

Alarms: unchanged nights, one drawn from each of many independent histories. An alarm is a suspicion by the test or
the CUSUM, before any re-run; `confirmed` is what a re-run with fresh seeds leaves of them (REGRESSION).
Power: a loss of 1 MDE in one cell from night 21 on, caught (REGRESSION) by night 22; a loss that grows by 0.2 MDE a
night, caught by its night 10. MDE: `maths.detectable` at the true noise and the degrees that the gate has then.

A night of a cell is one draw a seed: an effect of the trained model, shared by the columns of a row (correlation
0.5), its own sampling noise, and where the column is a share of few items, the grid of it. Prompts are the same
every night and cancel. With one seed the first night is repeated six times (`--repeat-seeds 6`).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

from ropo_bench.gate.decision import ALPHA_NIGHT, POWER, Decision, decide
from ropo_bench.gate.evidence import Baseline, evidence
from ropo_bench.gate.maths import detectable
from ropo_bench.gate.night import Cell, Column, Night, Row

WARM_UP = 20  # unchanged nights before a planted loss
CORRELATION = 0.5  # of the columns of one row


class Metric(NamedTuple):
    """A column: its usual value, decimals shown, items a seed, standard deviation of one seed's value."""

    centre: float
    decimals: int
    items: int
    sd: float


METRICS = {
    "chat.score": Metric(6.5, 2, 160, 0.08),
    "arena.win_rate": Metric(60.0, 1, 200, 1.5),
    "facts.accuracy": Metric(82.0, 1, 500, 1.0),
    "diversity.distinct_2": Metric(55.0, 1, 60, 0.8),
}


@dataclass(frozen=True)
class Setting:
    """noise: standard deviation of one seed's value, as a multiple of its metric's.

    tails: draws from a t with 5 degrees. nightly: what nights differ by beyond their seeds (a hosted judge), as a
    multiple of what the seeds do to a night.
    """

    baseline: str
    seeds: int
    methods: int = 4
    columns: int = 4
    noise: float = 1.0
    tails: bool = False
    nightly: float = 0.0


class World:
    """Draws nights of one setting."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self.setting = setting
        self.draw = random.Random(seed)
        self.rows = [f"method-{i}" for i in range(setting.methods)]
        self.columns = list(METRICS)[: setting.columns]
        self.count = 0

    def night(self, number: int, losses: Mapping[tuple[str, str], float]) -> Night:
        columns = {name: Column(METRICS[name].decimals, "higher", True) for name in self.columns}
        return Night(f"{number:05d}", "sim", "sim", columns, self.rows_of(losses))

    def rows_of(self, losses: Mapping[tuple[str, str], float]) -> dict[str, Row]:
        return {row: self._row(row, losses) for row in self.rows}

    def _row(self, row: str, losses: Mapping[tuple[str, str], float]) -> Row:
        models = [self._gauss() for _ in range(self.setting.seeds)]
        return Row("done", {name: self._cell(name, models, losses.get((row, name), 0.0)) for name in self.columns})

    def _cell(self, column: str, models: list[float], loss: float) -> Cell:
        metric = METRICS[column]
        sd = self.setting.noise * metric.sd
        shared, own = math.sqrt(CORRELATION), math.sqrt(1 - CORRELATION)
        night = self.setting.nightly * sd / math.sqrt(len(models)) * self._gauss()
        values = [metric.centre - loss + night + sd * (shared * model + own * self._gauss()) for model in models]
        if column.endswith("accuracy"):
            values = [round(value * metric.items / 100) * 100 / metric.items for value in values]
        self.count += 1
        mean, num = sum(values) / len(values), len(values)
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (num - 1)) if num > 1 else None
        return Cell(mean, len(values), metric.items, str(self.count), None, spread)

    def _gauss(self) -> float:
        """Unit variance; with tails, of a t with 5 degrees."""
        if not self.setting.tails:
            return self.draw.gauss(0, 1)
        return self.draw.gauss(0, 1) / math.sqrt(self.draw.gammavariate(2.5, 2) / 5) * math.sqrt(3 / 5)


class History:
    """A gate that is run night after night, as `nightly` does it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.nights: list[Night] = []
        fixed = world.setting.baseline == "fixed"
        self.baseline = Baseline(world.night(0, {}) if fixed else None)
        self.number = 0

    def go(self, losses: Mapping[tuple[str, str], float]) -> tuple[Decision, Decision]:
        """One night: what it says at first, and after the re-run of what it suspects."""
        self.number += 1
        night = self.world.night(self.number, losses)
        if self.number == 1 and self.world.setting.seeds == 1:
            night = replace(night, repeats=[self.world.rows_of(losses) for _ in range(6)])
        first = final = decide(night, self.nights, self.baseline)
        if first.suspects:
            final = decide(night, self.nights, self.baseline, again=self.world.rows_of(losses))
        self.nights.append(replace(night, verdict=final.verdict, verdicts=final.by_row()))
        return first, final

    def effect(self, row: str, column: str) -> float:
        """1 MDE of a cell tonight: at the true noise, and the degrees and the baseline that the gate has."""
        setting = self.world.setting
        night = self.world.night(self.number + 1, {})
        found = evidence(row, column, night, self.nights, self.baseline)
        assert found.noise is not None
        assert found.baseline is not None
        sd = setting.noise * METRICS[column].sd
        error = sd * math.sqrt(1 / setting.seeds + found.baseline.factor)
        return detectable(error, found.noise.degrees, ALPHA_NIGHT / (setting.methods * setting.columns), POWER)


def alarms(setting: Setting, histories: int, nights: int = 30) -> dict[str, Any]:
    """Unchanged nights: one at random out of each history, by its kind of verdict."""
    counts = {"suspected": 0, "by_drift": 0, "confirmed": 0, "go": 0}
    for number in range(histories):
        world = World(setting, number)
        history = History(world)
        chosen = random.Random(-1 - number).randint(2, nights)
        for night in range(1, chosen + 1):
            first, final = history.go({})
            if night == chosen:
                counts["suspected"] += bool(first.suspects)
                counts["by_drift"] += any("drifted" in cell.reason for cell in first.suspects)
                counts["confirmed"] += final.verdict == "REGRESSION"
                counts["go"] += final.verdict == "GO"
    shares = {name: count / histories for name, count in counts.items()}
    return {"nights": histories, **shares, "upper_95": upper(counts["suspected"], histories)}


def caught(setting: Setting, trials: int, drift: bool) -> dict[str, Any]:
    """A planted loss in one cell: caught in time, and the night on which it was."""
    hits, on = 0, []
    for number in range(trials):
        world = World(setting, 10_000 + number)
        history = History(world)
        for _ in range(WARM_UP):
            history.go({})
        cell = (world.rows[number % len(world.rows)], world.columns[number % len(world.columns)])
        effect = history.effect(*cell)
        for night in range(1, 11 if drift else 3):
            loss = 0.2 * night * effect if drift else effect
            _, final = history.go({cell: loss})
            if final.by_row()[cell[0]][cell[1]] == "REGRESSION":
                hits += 1
                on.append(night)
                break
    return {"trials": trials, "caught": hits / trials, "mean_night": fmean(on) if on else None}


def upper(count: int, total: int) -> float:
    """Upper end of the two-sided 95 % Clopper-Pearson interval."""
    from scipy.stats import beta

    return 1.0 if count == total else float(beta.ppf(0.975, count + 1, total - count))


MAIN = [Setting(baseline, seeds) for baseline in ("fixed", "rolling:14") for seeds in (1, 3)]
VARIED = [
    Setting("rolling:14", 3, methods=1, columns=1),
    Setting("rolling:14", 3, methods=8, columns=4),
    Setting("fixed", 3, methods=8, columns=4),
    Setting("rolling:14", 3, noise=0.2),
    Setting("rolling:14", 3, tails=True),
    Setting("fixed", 1, tails=True),
    Setting("rolling:14", 3, nightly=0.7),
    Setting("fixed", 3, nightly=0.7),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--nights", type=int, default=2000, help="unchanged nights of a main setting")
    parser.add_argument("--trials", type=int, default=500, help="planted losses of a kind")
    asked = parser.parse_args()
    found = []
    for setting in [*MAIN, *VARIED]:
        started = time.monotonic()
        result: dict[str, Any] = {
            "setting": asdict(setting),
            "alarms": alarms(setting, asked.nights if setting in MAIN else asked.nights // 2),
        }
        if setting in MAIN:
            result |= {"step": caught(setting, asked.trials, False), "drift": caught(setting, asked.trials, True)}
        result["seconds"] = time.monotonic() - started
        found.append(result)
        if not asked.json:
            print(line(result), flush=True)
    if asked.json:
        print(json.dumps({"schema": 1, "results": found}, indent=1))


def line(result: Mapping[str, Any]) -> str:
    setting, alarm = Setting(**result["setting"]), result["alarms"]
    kind = f"{' heavy tails' if setting.tails else ''}{' nights differ' if setting.nightly else ''}"
    text = (
        f"{setting.baseline:<10} S={setting.seeds} {setting.methods}x{setting.columns} noise x{setting.noise:g}"
        f"{kind}: suspected {100 * alarm['suspected']:.2f} % (upper 95 % bound {100 * alarm['upper_95']:.2f} %, drift"
        f" {100 * alarm['by_drift']:.2f} %), confirmed {100 * alarm['confirmed']:.2f} %, GO {100 * alarm['go']:.1f} %"
    )
    for name, what in (("step", "1 MDE within 2 nights"), ("drift", "0.2 MDE a night by night 10")):
        if name in result:
            text += f"; {what}: {100 * result[name]['caught']:.1f} %"
    return f"{text} ({result['seconds']:.0f} s)"


if __name__ == "__main__":
    main()
