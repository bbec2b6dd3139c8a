"""The report as one HTML file: style, scripts, figures and data inside, and nothing from any network.

Model text reaches the document in two ways only: through the template (escaped by jinja2) and through a JSON block
that matching.js and samples.js read and show as textContent.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import jinja2

from ropo_bench.report.page.board import shown_board
from ropo_bench.report.page.embed import json_block, script_hash
from ropo_bench.report.page.findings import comparison_table, findings
from ropo_bench.report.page.provenance import facts
from ropo_bench.report.page.sections import shown_sections
from ropo_bench.report.sections.section import ReportData

SCRIPTS = ("theme.js", "board.js", "matching.js", "samples.js", "main.js")


def page(data: ReportData, svgs: Mapping[str, str]) -> str:
    """The page; svgs: section -> its figure as an element, as figures.saving.inline_svg makes it."""
    here = files(__package__)
    scripts = "\n".join((here / name).read_text("utf-8") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{scripts}}})();'
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ropo_bench.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json_block"] = json_block
    return environment.get_template("page.html").render(
        title=data.board.title,
        board=shown_board(data.board),
        findings=findings(data.board),
        comparisons=comparison_table(data.board),
        sections=shown_sections(data, svgs),
        facts=facts(data.board),
        css=(here / "page.css").read_text("utf-8"),
        script=script,
        script_hash=script_hash(script),
    )
