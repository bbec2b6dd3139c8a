"""What goes into the page whole: data as a JSON block, figures as elements, the script by its hash."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

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
    return _UNSAFE_IN_SCRIPT.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def drawing(name: str, svg: str, label: str) -> Drawing:
    """A figure of figures.saving.inline_svg with a label that says what it shows, and its width from its view box."""
    match = _VIEW_BOX.search(svg)
    assert match is not None
    text = svg.replace(f'aria-label="{name}"', f'aria-label="{label}"', 1)
    return Drawing(text, round(PIXELS_PER_POINT * float(match[1])))


def script_hash(script: str) -> str:
    """A script's entry in a Content-Security-Policy: only this text runs."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
