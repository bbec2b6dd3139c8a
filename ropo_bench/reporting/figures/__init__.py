"""The figures of a report: pure functions of its data, drawn with matplotlib's objects."""

from ropo_bench.reporting.figures.all import figures
from ropo_bench.reporting.figures.saving import FORMATS, file_bytes, inline, inline_svg

__all__ = ["FORMATS", "figures", "file_bytes", "inline", "inline_svg"]
