"""The report as one HTML file: style, scripts, figures and data inside, and nothing from any network.

Model text reaches the document in two ways only: through the template (escaped by jinja2) and through a JSON block
that matching.js and samples.js read and show as textContent.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import jinja2

from ropo_bench.report.data import SECTIONS, ReportData
from ropo_bench.report.page.board import shown_board
from ropo_bench.report.page.embed import battles_json, drawing, script_hash
from ropo_bench.report.page.findings import comparison_table, findings
from ropo_bench.report.page.plain import tables
from ropo_bench.report.page.provenance import facts

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
    return environment.get_template("page.html").render(
        data=data,
        board=shown_board(data.board),
        findings=findings(data.board),
        comparisons=comparison_table(data.board),
        sections=SECTIONS,
        drawings={name: drawing(name, svg, SECTIONS[name].title) for name, svg in svgs.items()},
        tables=tables(data),
        facts=facts(data.board),
        battles=battles_json(data.battles) if data.battles else "",
        choices=_choices(data),
        css=(here / "page.css").read_text("utf-8"),
        script=script,
        script_hash=script_hash(script),
    )


def _choices(data: ReportData) -> dict[str, list[str]]:
    """What the filters of the samples offer, in the order of the data."""
    answers = [answer for battle in data.battles for answer in battle.answers]
    return {
        "task": list(dict.fromkeys(battle.task for battle in data.battles)),
        "category": sorted({battle.category for battle in data.battles if battle.category}),
        "row": list(dict.fromkeys(answer.row for answer in answers)),
        "seed": [str(seed) for seed in sorted({answer.seed for answer in answers})],
        "first": [row.name for row in data.board.ordered_rows if not row.reference][:1],
    }
