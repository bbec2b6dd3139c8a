"""Where the context ends, an answer ends; a chat that fills it has an empty answer."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.generation.base import num_new_tokens
from ropo_bench.generation.hf_engine import HFEngine
from ropo_bench.recipes.task import Decoding
from ropo_bench.types import Prompt


def test_room_is_what_the_context_leaves() -> None:
    assert [num_new_tokens(n, 10, 100) for n in (50, 90, 95, 100, 120)] == [10, 10, 5, 0, 0]
    assert num_new_tokens(10**6, 10, None) == 10


def test_long_chats_are_cut_or_empty_and_change_no_other_answer(base_folder: Path) -> None:
    engine = HFEngine(base_folder, "float32")
    room = engine.model.config.max_position_embeddings
    short = Prompt("short", ("hello",))
    tight, full = (Prompt(name, ("x" * (room - spare),)) for name, spare in (("tight", 9), ("full", 0)))
    decoding = Decoding(max_new_tokens=16, batch_size=1)
    alone = [c for group in engine.generate([short], decoding) for c in group]
    together = [
        c
        for group in engine.generate([short, tight, full], decoding.model_copy(update={"batch_size": 3}))
        for c in group
    ]
    found = {c.prompt_id: c for c in together}
    assert found["short"] == alone[0]
    assert found["full"].turns == ("",)
    assert found["full"].truncated
    assert found["full"].num_tokens == (0,)
    assert 0 < found["tight"].num_tokens[0] < 9
    engine.close()
