"""What goes into the page whole: battles as a JSON block, figures as elements, the script by its hash."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ropo_bench.report.data import Battle, is_win_rate

_UNSAFE_IN_SCRIPT = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
_VIEW_BOX = re.compile(r'viewBox="0 0 ([0-9.]+) ')
PIXELS_PER_POINT = 1.5  # a figure's letters of 9 points are then as large as a table's


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure as an element, and how wide it may become in CSS pixels."""

    svg: str
    width: int


def json_block(value: Any) -> str:
    """JSON that may stand inside a script element: no character of it can end the element or open a comment.

    Lone surrogates, which UTF-8 cannot hold, stay escaped.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _UNSAFE_IN_SCRIPT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def battles_json(battles: Sequence[Battle]) -> str:
    """The data block that matching.js describes."""
    return json_block([_battle(battle) for battle in battles])


def _battle(battle: Battle) -> dict[str, Any]:
    answers = [
        {
            "row": each.row, "seed": each.seed, "turns": each.turns, "tokens": each.num_tokens,
            "value": each.value, "grades": each.grades, "status": each.status, "verdict": each.verdict,
        }
        for each in battle.answers
    ]  # fmt: skip
    return {
        "task": battle.task, "id": battle.prompt_id, "category": battle.category, "prompt": battle.prompt,
        "metric": battle.metric, "decimals": 1 if is_win_rate(battle.metric) else 2,
        "opponent": battle.opponent, "opponentTurns": battle.opponent_turns, "answers": answers,
    }  # fmt: skip


def drawing(name: str, svg: str, label: str) -> Drawing:
    """A figure of figures.saving.inline_svg with a label that says what it shows, and its width from its view box."""
    found = _VIEW_BOX.search(svg)
    assert found is not None
    text = svg.replace(f'aria-label="{name}"', f'aria-label="{label}"', 1)
    return Drawing(text, round(PIXELS_PER_POINT * float(found[1])))


def script_hash(script: str) -> str:
    """A script's entry in a Content-Security-Policy: only this text runs."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
