"""A table with comparisons that were worked by hand, for the tests of what is said about it."""

from __future__ import annotations

from ropo_bench.leaderboard.board import Column, Leaderboard, Row
from ropo_bench.types import Comparison, Measurement

WIN_RATE = ("arena", "win_rate")
ENERGY = ("energy", "drift")


def compared(a: str, b: str, estimate: float, adjusted: float, key: tuple[str, str] = WIN_RATE) -> Comparison:
    low, high = estimate - 4.0, estimate + 4.0
    return Comparison(*key, a, b, estimate, 2.0, 120.0, low, high, adjusted / 6, 160, "crossed t", adjusted)


def row(name: str, win_rate: float, drift: float, reference: bool = False) -> Row:
    cells = [
        Measurement(*WIN_RATE, win_rate, 1.5, 160, 0, 2, 120.0, win_rate - 3, win_rate + 3, {"prompts": 20.0}),
        Measurement(*ENERGY, drift, None, 12, 0, 2),
    ]
    found = {(cell.task, cell.metric): cell for cell in cells}
    return Row(name, (0, 1), 1000, 0.5, 12.5, 1 << 30, found, reference=reference)


BOARD = Leaderboard(
    title="worked",
    columns=(Column(*WIN_RATE, "WR %", 1, tested=True), Column(*ENERGY, "HE drift", 4, "lower")),
    rows=(row("ropo", 61.0, 0.0), row("dpo", 55.0, 0.02), row("oft", 53.0, 0.001), row("SFT", 50.0, 0.0, True)),
    footers=("seeds: 0, 1",),
    comparisons=(
        compared("SFT", "ropo", -11.0, 0.0006),
        compared("SFT", "dpo", -5.0, 0.04),
        compared("SFT", "oft", -3.0, 0.3),
        compared("ropo", "dpo", 6.0, 0.03),
        compared("ropo", "oft", 8.0, 0.002),
        compared("dpo", "oft", 2.0, 0.9),
    ),
    provenance={"packages": {"torch": "2.13.0"}, "code": {"commit": "0" * 40, "dirty": False}},
)
"""Best first: ropo, separated from all; dpo and oft are not separated, nor are oft and SFT; dpo and SFT are."""
