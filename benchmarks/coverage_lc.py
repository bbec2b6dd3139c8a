"""Do 95 % intervals of length-controlled win rates hold? python -m benchmarks.coverage_lc [--tables 2000] [--cells]
[--json]

Tables are drawn from a model of judged battles, with figures like those of published annotations. Truth is what the
same estimator gives on 262,144 prompts. Two worlds: `pocket`, 240 prompts, verdicts won, lost or tied; `alpaca`, 805
prompts, weighted verdicts, 1,610 gamed annotations. With one seed the truth is that seed's (the interval is about a
checkpoint), with more it is the mean over all seeds there could be. Estimates are the exact optimum, 200 bootstrap
replicates a table. --cells: instead, one checkpoint's cells as a table has them, where they are hard.
Shapes: S seeds, C prompts, R replicates, T tables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.interpolate import CubicSpline
from scipy.special import gammaincinv, logit, ndtri, stdtrit
from scipy.stats.qmc import Sobol

from ropo_bench.scoring.length_control import Array, C, Gamed, logistic, win_rates
from ropo_bench.statistics.crossed import bootstrap_parts

REPLICATES = 200
LARGE = 1 << 18


@dataclass(frozen=True, slots=True)
class World:
    """Where battles come from. Logits: constant, length (of tanh(delta/std)), ease (of difficulty).

    num_prompts: of a table. shift: mean length delta in its standard deviations. prompt, own: standard deviations of
    what a prompt adds to the logit under every seed, and under one seed. tie: share of ties; None is a weighted
    verdict. gamed: annotations that hold the length term in place.
    """

    name: str
    num_prompts: int
    constant: float
    length: float
    ease: float
    shift: float
    prompt: float = 0.7
    own: float = 0.5
    tie: float | None = None
    gamed: Gamed | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What is simulated. ratio: standard deviation of seeds over the standard error of prompts, of one seed.

    seed_counts: intervals from so many seeds of a table, the first ones. paired: instead, the difference of two rows
    of one seed, half a logit apart, on the same prompts.
    """

    world: World
    ratio: float = 0.0
    seed_counts: tuple[int, ...] = (1, 3, 5)
    paired: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """Coverage in percent, intervals wholly above or below the truth in percent, widths in points.

    width: the mean interval's; ideal_width: 2 * 1.96 standard deviations of the estimates about the truth.
    """

    world: str
    num_prompts: int
    num_seeds: int
    ratio: float
    paired: bool
    tables: int
    truth: float
    bias: float
    coverage: float
    above: float
    below: float
    width: float
    ideal_width: float


def battles(world: World, theta_S: Array, u_7SC: Array) -> tuple[Array, Array, Array]:
    """Preferences (S, C), length deltas (S, C) and difficulties (C,) of rows with these constants, same prompts.

    u_7SC: uniform draws; what belongs to a prompt is taken from the first row's.
    """
    difficulty_C = 1.5 * (gammaincinv(8, u_7SC[0, 0]) - 8) / np.sqrt(8)
    shared_C, own_SC = stdtrit(6, u_7SC[1, 0]), stdtrit(6, u_7SC[2])
    delta_SC = world.shift + (np.sqrt(0.6) * shared_C + np.sqrt(0.4) * own_SC) / np.sqrt(1.5) - 0.1 * difficulty_C
    z_SC = theta_S[:, None] + world.length * np.tanh(delta_SC) + world.ease * difficulty_C
    z_SC = z_SC + world.prompt * ndtri(u_7SC[3, 0]) + world.own * ndtri(u_7SC[4])
    leaning_SC = z_SC + logit(u_7SC[5])
    if world.tie is None:
        return logistic(4 * leaning_SC), 800 * delta_SC, difficulty_C
    return np.where(u_7SC[6] < world.tie, 0.5, leaning_SC > 0), 40 * delta_SC, difficulty_C


def rates(world: World, weight_RC: Array, table: tuple[Array, Array, Array], c: float = C) -> Array:
    """Length-controlled win rates (R, S) under cluster weights."""
    preferences_SC, delta_SC, difficulty_C = table
    columns = [
        win_rates(weight_RC, preferences_SC[s], delta_SC[s], difficulty_C, gamed=world.gamed, c=c)
        for s in range(len(preferences_SC))
    ]
    return np.stack(columns, axis=1)


def large_sample(world: World, width: float) -> CubicSpline:
    """The estimator's large-sample value as a function of a row's constant, within 5 widths of the world's.

    Weights of n/N on N prompts, for n of a table: gamed annotations and regularisation stay in proportion. Prompts
    are Sobol points, whose error is far below that of as many random ones.
    """
    u_7SC = np.moveaxis(Sobol(7, rng=1).random(LARGE), -1, 0)[:, None]
    weights = np.full((1, LARGE), world.num_prompts / LARGE)
    grid = world.constant + max(width, 0.02) * np.linspace(-5, 5, 15 if width else 3)
    values = [rates(world, weights, battles(world, np.array([theta]), u_7SC))[0, 0] for theta in grid]
    return CubicSpline(grid, values)


def resampled(world: World, theta_S: Array, draw: np.random.Generator) -> tuple[Array, Array]:
    """One table: its estimates (S,), and bootstrap replicates (R, S) of them."""
    n = world.num_prompts
    places = draw.integers(n, size=(REPLICATES, n)) + n * np.arange(REPLICATES)[:, None]
    drawn_RC = np.bincount(places.ravel(), minlength=REPLICATES * n).reshape(REPLICATES, n)
    weight_RC = np.concatenate([np.ones((1, n)), drawn_RC])
    found_RS = rates(world, weight_RC, battles(world, theta_S, draw.random((7, len(theta_S), n))))
    return found_RS[0], found_RS[1:]


def seed_width(world: World, ratio: float) -> float:
    """Standard deviation of the constant over seeds that spreads win rates by `ratio` standard errors of prompts."""
    if not ratio:
        return 0.0
    draw = np.random.default_rng(2)
    errors = [resampled(world, np.array([world.constant]), draw)[1].std(ddof=1) for _ in range(20)]
    slope = large_sample(world, 0.0)(world.constant, 1)
    return float(ratio * np.mean(errors) / slope)


def intervals(setting: Setting, tables: int) -> Iterator[Array]:
    """Of each table, for each seed count (K, 3): truth, estimate minus truth, half the width of the interval."""
    world = setting.world
    width = seed_width(world, setting.ratio)
    large = large_sample(world, 0.2 if setting.paired else width)
    nodes, masses = hermegauss(15)
    over_seeds = float(masses @ large(world.constant + width * nodes) / masses.sum())
    for table in range(tables):
        draw = np.random.default_rng([7, int(2 * setting.ratio), setting.paired, world.num_prompts, table])
        if setting.paired:
            theta_S = world.constant + np.array([0.5, 0.0])
            estimates_S, drawn_RS = (-np.diff(found, axis=-1) for found in resampled(world, theta_S, draw))
            truths = [float(large(theta_S[0]) - large(theta_S[1]))]
        else:
            theta_S = world.constant + width * draw.normal(size=max(setting.seed_counts))
            estimates_S, drawn_RS = resampled(world, theta_S, draw)
            truths = [float(large(theta_S[0])) if S == 1 else over_seeds for S in setting.seed_counts]
        lines = []
        for truth, S in zip(truths, setting.seed_counts, strict=True):
            parts = bootstrap_parts(estimates_S[:S], drawn_RS[:, :S], world.num_prompts)
            lines.append((truth, float(estimates_S[:S].mean()) - truth, float(parts.half_width())))
        yield np.array(lines)


def simulate(setting: Setting, tables: int) -> list[Line]:
    """Coverage in one setting, a line for each seed count."""
    truth_KT, error_KT, half_KT = np.stack(list(intervals(setting, tables)), axis=-1).swapaxes(0, 1)
    return [
        Line(
            setting.world.name,
            setting.world.num_prompts,
            num_seeds,
            setting.ratio,
            setting.paired,
            tables,
            float(truth_T.mean()),
            float(error_T.mean()),
            100 * float((np.abs(error_T) <= half_T).mean()),
            100 * float((error_T > half_T).mean()),
            100 * float((error_T < -half_T).mean()),
            2 * float(half_T.mean()),
            2 * 1.96 * float(error_T.std()),
        )
        for num_seeds, truth_T, error_T, half_T in zip(setting.seed_counts, truth_KT, error_KT, half_KT, strict=True)
    ]


def gamed_annotations() -> Gamed:
    """Like the published ones: the baseline told to be verbose, and told to be concise, on 805 prompts each."""
    draw = np.random.default_rng(3)
    delta_X = np.concatenate([draw.normal(-0.7, 1, 805), draw.normal(1.4, 1, 805)])
    difficulty_X = 1.5 * (draw.gamma(8.0, size=1610) - 8) / np.sqrt(8)
    z_X = -1.3 * np.tanh(delta_X) + 0.3 * difficulty_X
    return Gamed(logistic(4 * (z_X + draw.logistic(size=1610))), delta_X, difficulty_X)


POCKET = World("pocket", 240, constant=0.3, length=-0.8, ease=0.8, shift=-0.3, tie=0.15)
ALPACA = World("alpaca", 805, constant=-2.0, length=-2.0, ease=1.0, shift=1.5, gamed=gamed_annotations())
SETTINGS = (
    *(Setting(POCKET, ratio) for ratio in (0.0, 0.5, 3.0)),
    Setting(POCKET, seed_counts=(1,), paired=True),
    *(Setting(ALPACA, ratio) for ratio in (0.0, 0.5, 3.0)),
    Setting(ALPACA, seed_counts=(1,), paired=True),
)


def markdown(lines: Sequence[Line]) -> str:
    """The table of docs/statistics.md."""
    rows = [
        "| battles | prompts | seeds | seed/prompt ratio | tables | truth | bias | coverage % | above / below % "
        "| width | ideal width |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in lines:
        seeds = "2 rows, paired" if one.paired else str(one.num_seeds)
        rows.append(
            f"| {one.world} | {one.num_prompts} | {seeds} | {one.ratio:g} | {one.tables:,} | {one.truth:.1f} "
            f"| {one.bias:+.2f} | {one.coverage:.1f} | {one.above:.1f} / {one.below:.1f} "
            f"| {one.width:.1f} | {one.ideal_width:.1f} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=2000, help="of each setting")
    parser.add_argument("--cells", action="store_true", help="near the scale's end, and far from equal lengths")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.cells:
        from benchmarks._lc_cells import WORLDS, cells_markdown, simulate_cells

        found = [simulate_cells(world, options.tables) for world in WORLDS]
        print(json.dumps([asdict(line) for line in found], indent=1) if options.json else cells_markdown(found))
        return
    lines = [line for setting in SETTINGS for line in simulate(setting, options.tables)]
    print(json.dumps([asdict(one) for one in lines], indent=1) if options.json else markdown(lines))


if __name__ == "__main__":
    main()
