"""A law: `gate RUN` says what `nightly` has said of that run, from the history that nightly wrote."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ropo_bench.gate.decision import Decision, decide
from ropo_bench.gate.evidence import Baseline
from ropo_bench.gate.history import append, as_tonight, read_history
from ropo_bench.gate.night import Column, Night, Row
from tests.gate.nights import cell

COLUMNS = {"chat.score": Column(2, "higher", True), "quiz.accuracy": Column(1, "higher", True)}
LATER = "2027-01-01T00:00:00Z"


class Nights:
    """`nightly`, night after night, with random numbers in place of training."""

    def __init__(self, draw: random.Random, path: Path, baseline: Baseline | None = None) -> None:
        self.draw, self.path = draw, path
        self.baseline = baseline or Baseline(window=draw.choice([1, 3, 14]))
        self.seeds = draw.choice([1, 3])
        self.shown: dict[str, Mapping[str, Row]] = {}

    def rows(self, block: int, loss: float) -> dict[str, Row]:
        seeds = tuple(range(block * self.seeds, (block + 1) * self.seeds))

        def values(centre: float) -> list[float]:
            return [self.draw.gauss(centre - loss, 0.1) for _ in seeds]

        return {
            name: Row("done", {"chat.score": cell(values(6.0)), "quiz.accuracy": cell(values(80.0))}, seeds=seeds)
            for name in ("ropo", "dpo")
        }

    def go(self, number: int) -> tuple[Night, Decision]:
        """One night: measured or only shown again, sometimes repeated, worse, partly failed, or a new anchor."""
        draw = self.draw
        run, loss = draw.choice(["run-a", "run-b", f"run-{number}"]), draw.choice([0.0, 0.0, 0.0, 0.4])
        rows = self.shown[run] if run in self.shown and draw.random() < 0.6 else self.rows(0, loss)
        if draw.random() < 0.1:
            rows = {**rows, "dpo": Row("failed: no memory", {})}
        self.shown[run] = rows
        repeats = [self.rows(block, loss) for block in range(1, 1 + draw.choice([0, 0, 2]))]
        time = f"2026-01-{number:02d}T03:00:00Z"
        night = Night(time, run, "pocket", COLUMNS, rows, repeats=repeats, anchor=draw.random() < 0.1)
        history = read_history(self.path, "pocket", pytest.fail)
        decision = decide(night, history, self.baseline)
        if decision.suspects:
            night = replace(night, again=self.rows(len(repeats) + 1, loss))
            decision = decide(night, history, self.baseline, again=night.again)
        append(self.path, replace(night, verdict=decision.verdict, verdicts=decision.by_row()))
        return night, decision

    def gate(self, night: Night) -> Decision:
        """What `gate` knows: the stored run, of the day when it was first made, and the history."""
        stored = Night("2025-12-24T00:00:00Z", night.run, "pocket", COLUMNS, night.rows)
        history = read_history(self.path, "pocket", pytest.fail)
        tonight = as_tonight(stored, history, LATER)
        return decide(tonight, history, self.baseline, again=tonight.again or None)


@pytest.mark.parametrize("seed", range(40))
def test_gate_after_nightly_says_the_same_to_the_last_digit(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    fixed = Night("2025-12-31T00:00:00Z", "base", "pocket", COLUMNS, Nights(draw, tmp_path).rows(0, 0.0))
    nights = Nights(draw, tmp_path / "h.jsonl", Baseline(fixed) if seed % 2 else None)
    said = {}
    for number in range(1, 25):
        night, decision = nights.go(number)
        assert nights.gate(night).cells == decision.cells
        said[night.run] = night, decision
    for night, decision in said.values():  # each run's own last night, whatever came after
        assert nights.gate(night).cells == decision.cells


@pytest.mark.slow
def test_the_verdicts_of_the_law_are_of_all_kinds(tmp_path: Path) -> None:
    """Else it would say little."""
    kinds = set()
    for seed in range(8):
        nights = Nights(random.Random(seed), tmp_path / f"{seed}.jsonl")
        kinds |= {nights.go(number)[1].verdict for number in range(1, 25)}
    assert kinds == {"GO", "REGRESSION", "INCONCLUSIVE", "INCOMPLETE"}


def test_a_run_that_is_not_in_the_history_is_tonights(tmp_path: Path) -> None:
    """Also where it was made before all of it, and where its name was another run's."""
    nights = Nights(random.Random(1), tmp_path / "h.jsonl", Baseline())
    for number in range(1, 9):
        nights.go(number)
    history = read_history(tmp_path / "h.jsonl", "pocket", pytest.fail)
    for name in ("new", history[-1].run):
        stored = Night("2025-12-24T00:00:00Z", name, "pocket", COLUMNS, nights.rows(0, 0.0))
        tonight = as_tonight(stored, history, LATER)
        assert (tonight.time, tonight.repeats, tonight.again) == (LATER, (), {})
        assert all(one.baseline is not None for one in decide(tonight, history, Baseline()).cells)
