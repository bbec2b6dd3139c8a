"""One thing that was examined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Line:
    """What was found, and how to mend it; a problem keeps the suite from running, a warning does not."""

    name: str
    state: State
    text: str
    mend: str = ""
