"""The one way to a terminal: names, answers of models and errors are shown, never obeyed.

A control character (ESC, CR, BEL, a C1 code) or one that turns the direction of text is shown as the escape that JSON
and Python have for it, \\u001b: a JSON text means the same with it.
"""

from __future__ import annotations

import re
import sys
from typing import TextIO

# Line feeds and tabs are what programs print; U+2028 and U+2029 end lines, the marks around them reorder text.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The text with every character that a terminal would obey written out."""
    return _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def say(text: object = "", *, end: str = "\n", file: TextIO | None = None) -> None:
    """Print a text (to standard output, or to `file`) for people and programs to read."""
    print(visible(str(text)), end=end, file=sys.stdout if file is None else file)
