"""What is odd about preference data is said on the screen, once, with its count."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ropo_bench.stages import pairs
from ropo_bench.stages.policy import cut_note
from ropo_bench.store import Store


def test_unread_keys_and_odd_pairs_are_told_with_their_counts(tmp_path: Path) -> None:
    data = tmp_path / "a.jsonl"
    row = '{"prompt": "2+2?", "chosen": "4", "rejected": "4", "source": "web", "margin": 1.5}\n'
    data.write_text(row * 2)
    stage = Store(tmp_path / "runs").stage("pairs", "k")
    with stage.begin() as todo:
        assert todo
        pairs.write(stage, str(data))
    assert stage.manifest["unread_keys"] == {"margin": 2, "source": 2}
    assert pairs.notes(stage) == [
        "pairs: 1 of 2 the same as an earlier one",
        "pairs: 2 of 2 with equal chosen and rejected",
        "pairs: keys that are not read, with their rows: margin (2), source (2)",
    ]


def test_cut_prompts_and_completions_are_told() -> None:
    def note(prompts: int, completions: int) -> str:
        manifest = {"num_pairs": 8, "num_truncated_prompts": prompts, "num_truncated_completions": completions}
        stage: Any = SimpleNamespace(manifest=manifest)
        return cut_note(stage)

    assert note(0, 0) == ""
    assert note(8, 0) == "cut to the length limits: 8 of 8 prompts (train.max_prompt_length)"
    assert note(8, 3).endswith("8 of 8 prompts (train.max_prompt_length) and 3 of 16 completions (train.max_length)")
