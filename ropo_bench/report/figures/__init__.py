"""What the figures of a report share: their style, names beside points, forest plots, and how they are saved."""

from ropo_bench.report.figures.saving import FORMATS, file_bytes, inline, inline_svg

__all__ = ["FORMATS", "file_bytes", "inline", "inline_svg"]
