"""What longer fuzzing found: each kind with the one line that it gets now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropo_bench.errors import MESSAGE_CHARACTERS, StorageError, UsageError
from ropo_bench.gate.history import read_history
from ropo_bench.recipes.load import load_method
from ropo_bench.sources.prompt_files import read_prompt_file
from ropo_bench.store import JsonLines


@pytest.mark.parametrize("name", [r'"\ud800"', r'"a\uDFFF"', r'"\U0000d900"'])
def test_half_a_character_in_a_recipe_is_no_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"inherit: dpo\ndescription: d\nadapter: {{name: {name}}}\n")
    with pytest.raises(UsageError, match=r"own\.yaml:1: half of a character"):
        load_method(path)
    with pytest.raises(UsageError, match="half of a character"):
        load_method("dpo", sets=[f"adapter.name={name}"])
    path.write_text('inherit: dpo\ndescription: "\\ud83d\\ude00 \\ud7ff"\n')
    with pytest.raises(UsageError, match="half of a character"):  # YAML has no pairs of halves either
        load_method(path)


def test_half_a_character_in_a_prompt_is_told_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    whole = {"id": "a", "turns": ["a grin \U0001f600"]}
    path.write_text(
        "".join(json.dumps(record) + "\n" for record in (whole, whole | {"id": "b", "turns": ["\ud83d"]}))
    )
    with pytest.raises(UsageError, match=r"p\.jsonl, line 2: is no prompt .*half a surrogate pair"):
        read_prompt_file(path)
    path.write_text(json.dumps(whole))
    assert read_prompt_file(path)[0].turns == ("a grin \U0001f600",)


def test_a_line_that_is_nested_without_end_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    path.write_text("[" * 200_000 + "\n")
    with pytest.raises(StorageError, match=r"l\.jsonl, line 1: not a JSON record"):
        list(JsonLines(path))


def test_a_message_is_cut_in_its_middle_and_keeps_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text(json.dumps({"schema": 1, "x" * 200_000: 1}) + "\n")
    with pytest.raises(UsageError) as failure:
        read_history(path, "pocket", lambda line: None)
    message = str(failure.value)
    assert len(message) <= MESSAGE_CHARACTERS
    assert "h.jsonl, line 1: not a night" in message
    assert message.endswith("or give another --history")
