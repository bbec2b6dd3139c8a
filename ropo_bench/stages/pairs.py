"""pairs: the preference data as checked pairs, with what was left out and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ropo_bench.preferences.marks import special_tokens
from ropo_bench.sources.pairs import pinned_data
from ropo_bench.stages.bench import Bench
from ropo_bench.store import Stage, Store, atomic_write_text, file_hash
from ropo_bench.store.source import code_of

VERSION = 1
SHOWN_PAIRS = 5
SHOWN_KEYS = 12


def find(store: Store, data: str, base: Path | None, ask: bool = True) -> Stage:
    """The stage of a data set's pairs, by its key alone.

    base: the folder of the base model, whose special tokens no pair may hold; None where it is not on this machine.
    ask: whether the hub may be asked which commit the data's revision means.
    """
    source = pinned_data(data, ask)
    return store.stage_of(
        "pairs",
        {
            "data": file_hash(Path(source)) if Path(source).is_file() else source,
            "code": code_of(VERSION, __name__, beside=__package__),
            "special_tokens": [] if base is None else special_tokens(base),
        },
    )


def stage(bench: Bench) -> Stage:
    """The pairs of the suite's data."""
    pairs: Stage = bench.once("pairs", lambda: find(bench.store, bench.suite.data, bench.base.folder))
    return pairs


def make(bench: Bench) -> Stage:
    """Read the pairs, unless that was done, and tell what a user should know of them."""
    pairs: Stage = bench.once("pairs made", lambda: _make(bench))
    return pairs


def _make(bench: Bench) -> Stage:
    pairs = stage(bench)
    with bench.begin(pairs, "pairs", "data") as todo:
        if todo:
            write(pairs, pinned_data(bench.suite.data), special_tokens(bench.base.folder))
            for line in notes(pairs):
                bench.progress.note(line)
    return pairs


def write(stage: Stage, source: str, special: Sequence[str] = ()) -> None:
    """Read, check and normalise preference data; special: tokens of the base's template, which no text may hold."""
    from ropo_bench.preferences import read_pairs

    read = read_pairs(source, special)
    lines = "".join(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in read.pairs)
    atomic_write_text(stage.path / "pairs.jsonl", lines)
    stage.finish(
        {
            "num_pairs": len(read.pairs),
            "left_out": [{"id": item.id, "reason": item.reason} for item in read.left_out],
            "sha256": read.sha256,
            "counts": dict(read.counts),
            "unread_keys": dict(read.unread),
        }
    )


def notes(stage: Stage) -> list[str]:
    """What a user should know of freshly read pairs: what was left out, what is odd, what nobody reads."""
    left_out, counts, unread = (stage.manifest[key] for key in ("left_out", "counts", "unread_keys"))
    lines = [f"pair {pair['id']} left out: {pair['reason']}" for pair in left_out[:SHOWN_PAIRS]]
    if len(left_out) > SHOWN_PAIRS:
        lines.append(f"{len(left_out) - SHOWN_PAIRS} pairs more left out; all are in {stage.path}")
    total = stage.manifest["num_pairs"]
    lines += [f"pairs: {count:,} of {total:,} {what}" for what, count in counts.items()]
    if unread:
        texts = ", ".join(f"{key[:40]} ({count:,})" for key, count in list(unread.items())[:SHOWN_KEYS])
        more = f", and {len(unread) - SHOWN_KEYS} more" if len(unread) > SHOWN_KEYS else ""
        lines.append(f"pairs: keys that are not read, with their rows: {texts}{more}")
    return lines
