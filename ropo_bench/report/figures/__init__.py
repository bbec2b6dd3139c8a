"""The figures of a report: pure functions of its data, drawn with matplotlib's objects."""

from ropo_bench.report.figures.all import figures
from ropo_bench.report.figures.saving import FORMATS, file_bytes, inline, inline_svg

__all__ = ["FORMATS", "figures", "file_bytes", "inline", "inline_svg"]
