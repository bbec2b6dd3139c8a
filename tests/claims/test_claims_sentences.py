"""A file of claims: its sentences, and where its mistakes are."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ropo_bench.claims import read_claims
from ropo_bench.errors import UsageError

INF = math.inf


def written(folder: Path, text: str) -> Path:
    path = folder / "claims.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("sentence", "other", "region"),
    [
        ("ropo > dpo on a.m", "dpo", (0, INF)),
        ("ropo > dpo on a.m by >= 2", "dpo", (2, INF)),
        ("ropo < dpo on a.m by >= 2.5", "dpo", (-INF, -2.5)),
        ("ropo >= dpo on a.m within 3", "dpo", (-3, INF)),
        ("ropo <= dpo on a.m within 3", "dpo", (-INF, 3)),
        ("ropo = dpo on a.m within 0.5", "dpo", (-0.5, 0.5)),
        ("ropo on a.m >= 7", None, (7, INF)),
        ("ropo on a.m < -1e-3", None, (-INF, -0.001)),
        ("ropo>dpo on a.m by>=2", "dpo", (2, INF)),
    ],
)
def test_a_sentence_says_where_a_number_lies(
    tmp_path: Path, sentence: str, other: str | None, region: tuple[float, float]
) -> None:
    (claim,) = read_claims(written(tmp_path, f"- {sentence}\n"))
    assert (claim.row, claim.other, claim.task, claim.metric) == ("ropo", other, "a", "m")
    assert claim.region == region


def test_an_entry_may_have_an_id_and_a_reason(tmp_path: Path) -> None:
    text = '- {claim: "ropo on commonsense.accuracy/boolq >= 60", id: bool, why: it is above chance}\n'
    (claim,) = read_claims(written(tmp_path, text))
    assert (claim.metric, claim.id, claim.why) == ("accuracy/boolq", "bool", "it is above chance")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("- ropo ~ dpo on a.m\n", ":1:8", "unknown operator '~'"),
        ("- ropo > dpo at a.m\n", ":1:14", "expected `on`"),
        ("# first\n- ropo > dpo on a\n", ":2:17", "TASK.METRIC"),
        ("- ropo > dpo on a.m by 2\n", ":1:24", "expected `>=`"),
        ("- ropo > dpo on a.m within 2\n", ":1:21", "'>' is followed by `by >= MARGIN`"),
        ("- ropo >= dpo on a.m\n", ":1:21", "needs `within MARGIN`"),
        ("- ropo = dpo on a.m within 0\n", ":1:28", "above 0"),
        ("- ropo > dpo on a.m by >= two\n", ":1:27", "must be a number"),
        ("- ropo > dpo on a.m by >= -2\n", ":1:27", "of 0 or more"),
        ("- ropo > dpo on a.m by >= 2 points\n", ":1:29", "nothing may follow"),
        ("- ropo >\n", ":1:9", "ends where a row is expected"),
        ("- ropo > ropo on a.m\n", ":1:10", "with itself"),
        ('- claim: "ropo >> dpo on a.m"\n', ":1:16", "unknown operator '>>'"),
        ("- ropo > on a.m\n", ":1:10", "expected a row, given 'on'"),
        ("- {claim: ropo > dpo on a.m, ids: x}\n", ":1", "unknown key 'ids'; did you mean 'id'?"),
        ("- {id: x}\n", ":1", "missing key 'claim'"),
        ("- 7\n", ":1", "a claim is a sentence"),
        ("claims: []\n", ":1", "must be a list of claims"),
        ("", ":1", "must be a list of claims"),
        ("- {claim: a > b on t.m, id: x}\n- {claim: b > a on t.m, id: x}\n", ":2", "two claims have the id 'x'"),
        ("- [\n", ":", "not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, place: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_claims(written(tmp_path, text))
    assert f"claims.yaml{place}" in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_claims(tmp_path / "claims.yaml")
