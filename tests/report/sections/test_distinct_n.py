"""Diversity beside the length of answers."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.report.sections.distinct_n import cut_to_shortest, gather
from tests.report.stored_example import answer, stored, task


def test_answers_are_cut_to_the_shortest_at_their_place() -> None:
    a, b = ("p0", 0, 0), ("p0", 1, 0)
    rows = {
        "SFT": [{a: ["x", "y", "z"], b: ["one"]}],
        "dpo": [{a: ["u", "v"], b: ["two", "words"]}, {a: ["1", "2", "3", "4"]}],
    }
    assert cut_to_shortest(rows) == {"SFT": [{a: ["x", "y"]}], "dpo": [{a: ["u", "v"]}, {a: ["1", "2"]}]}
    assert cut_to_shortest({}) == {}


def test_matched_length_takes_the_penalty_of_long_answers_away(tmp_path: Path) -> None:
    recipe = task("diverse", "distinct_1", scorer="diversity", prompts="p", decoding={"max_new_tokens": 8})
    both = stored(tmp_path, recipe, {"SFT": [[]], "dpo": [[]]})
    long = "a b c d a b c d"
    answer(both, recipe, {("SFT", 0): [["a b c d"], ["a b c d"]], ("dpo", 0): [[long], [long]]})
    found = {(each.row, each.n): each for each in gather(both) or []}
    assert found["dpo", 1].whole.value == 50.0
    assert found["dpo", 1].matched.value == found["SFT", 1].matched.value == 100.0
    assert (found["dpo", 2].num_words, found["dpo", 2].whole_words) == (4.0, 8.0)
