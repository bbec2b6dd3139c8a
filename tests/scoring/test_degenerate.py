"""Answers that are none are told beside the row that they score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ropo_bench.scoring.degenerate import find_degenerate, repeated_piece
from ropo_bench.types import Completion
from tests import tiny_suite
from tests.cases.model_folders import copy_folder, edit_weights
from tests.test_pipeline import finish, ropo_bench

SOUND = ["One.", "Two, and three.", "It is so: four!", "Five", "Six of them", "7", "Eight", "Nine.", "Ten?", "None"]


def answers(texts: Sequence[str], truncated: bool = False) -> list[Completion]:
    return [Completion(f"p{i}", 0, (text,), (len(text),), truncated) for i, text in enumerate(texts)]


def test_sound_answers_need_no_word() -> None:
    assert find_degenerate(answers(SOUND)) == []
    assert find_degenerate(answers(SOUND, truncated=True)) == []
    assert find_degenerate([]) == []


def test_empty_answers_are_told_from_a_tenth_on() -> None:
    assert find_degenerate(answers([*SOUND, "  \n"])) == []  # 1 of 11
    assert find_degenerate(answers([*SOUND[:9], " \n"])) == ["1 of 10 answers are empty"]
    assert find_degenerate(answers([""] * 4)) == ["4 of 4 answers are empty"]
    turns = [Completion(f"p{i}", 0, ("yes", ""), (3, 0)) for i in range(2)]
    assert find_degenerate(turns) == ["2 of 2 answers are empty"]


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("well, aaaaaaaaaaaa", "a"),
        ("no no no no no no no no no no no ", "no "),
        ("x" + "to be or not, " * 10, "to be or not, "),
        ("a" * 9, None),
        ("A sentence that goes on and on, and was cut", None),
        ("\n" * 40, None),  # which is an empty answer
    ],
)
def test_one_piece_for_ever(text: str, piece: str | None) -> None:
    [cut] = answers([text], truncated=True)
    assert repeated_piece(cut) == piece
    [ended] = answers([text])
    assert repeated_piece(ended) is None  # an answer of ten exclamation marks may end


def test_looping_and_equal_answers_are_told() -> None:
    looping = answers(["la " * 30, "lo " * 30, "la " * 20, *SOUND], truncated=True)
    assert find_degenerate(looping) == ["3 of 13 answers repeat one piece to their end, most often 'la '"]
    assert find_degenerate(answers(["Yes."] * 3)) == ["all 3 answers are the same text ('Yes.')"]
    assert find_degenerate(answers(["Yes."] * 2)) == []
    draws = [Completion("p0", sample, ("Yes.",), (4,)) for sample in range(5)]
    assert find_degenerate(draws) == []  # of one prompt


def test_the_table_tells_of_a_model_that_says_one_word_for_ever(base_folder: Path, tmp_path: Path) -> None:
    def one_word(tensors: dict) -> None:  # type: ignore[type-arg]
        """Attention and MLP silent; the last norm keeps one feature, in which one word is far ahead."""
        for name, weight in tensors.items():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()
        tensors["model.embed_tokens.weight"][:, 0] = 1.0
        tensors["model.embed_tokens.weight"][100, 0] = 1e4
        tensors["model.norm.weight"].zero_()
        tensors["model.norm.weight"][0] = 1e3

    model = edit_weights(copy_folder(base_folder, tmp_path / "model"), one_word)
    options = tiny_suite.write(tmp_path / "suite", base_folder)
    code, out, err = finish(ropo_bench("eval", str(model), "--name", "mine", *options, cwd=tmp_path))
    assert code == 0, err
    told = [line for line in out.splitlines() if "tiny-arena, mine: " in line]
    assert any("4 of 4 answers repeat one piece to their end" in line for line in told), out
    assert any("all 4 answers are the same text" in line for line in told), out
    assert not any("tiny-arena, SFT: " in line for line in out.splitlines())
