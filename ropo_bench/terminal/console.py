"""rich's console behind the one way to a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ropo_bench.terminal.screen import visible

PLAIN_WIDTH = 120


class Screen(Console):
    """rich's console for texts that others wrote: its own colours are obeyed, codes inside the texts are shown."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The segments of a renderable, those of text made visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def page_screen() -> Screen:
    """A screen as wide as the terminal, or as a page where standard output is none."""
    return Screen(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
