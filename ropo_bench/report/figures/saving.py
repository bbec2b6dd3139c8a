"""Figures as files: the same figure gives the same bytes."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from ropo_bench.report.figures.style import INK, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
PNG_DPI = 200
# What would differ from day to day, or name the version of matplotlib.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
# Text is drawn with the reader's own sans-serif font, whose letters are no wider than those of the layout.
_FONTS = re.compile(r"'DejaVu Sans'(, [^;\"]*)?")
_REFERENCES = re.compile(r'((?<= )id="|url\(#|href="#)')
_SIZE = re.compile(r' width="[^"]*pt" height="[^"]*pt"', flags=re.ASCII)


def file_bytes(figure: Figure, name: str, kind: str) -> bytes:
    """The figure as svg, pdf or png."""
    data = _save(figure, name, kind)
    return _FONTS.sub("sans-serif", data.decode()).encode() if kind == "svg" else data


def inline_svg(figure: Figure, name: str) -> str:
    """The figure as an element of an HTML page (see inline)."""
    return inline(file_bytes(figure, name, "svg"), name)


def inline(svg: bytes, name: str) -> str:
    """An SVG file as an element of an HTML page: in the page's own ink, ids of its own, as wide as there is room."""
    text = svg.decode()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    return _SIZE.sub(f' class="figure" role="img" aria-label="{name}"', _REFERENCES.sub(rf"\g<1>{name}-", text), 1)


def _save(figure: Figure, name: str, kind: str) -> bytes:
    """Drawn by the canvas itself: Figure.savefig draws everything twice."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    canvas: Any = {"svg": FigureCanvasSVG, "pdf": FigureCanvasPdf, "png": FigureCanvasAgg}[kind](figure)
    style = {**STYLE, "svg.hashsalt": name}
    out = io.BytesIO()
    dpi = figure.dpi
    with matplotlib.rc_context(style):
        if kind == "svg":
            canvas.print_svg(out, metadata=_METADATA[kind])
        elif kind == "pdf":
            canvas.print_pdf(out, metadata=_METADATA[kind])
        else:
            figure.dpi = PNG_DPI
            canvas.print_png(out, metadata=_METADATA[kind])
    figure.dpi = dpi
    return out.getvalue()
