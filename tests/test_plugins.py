"""A package that others install brings a method, a loss, a scorer and a section of the report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import tiny_suite
from tests.forked import python
from tests.test_pipeline import finish

FILES: Mapping[str, str] = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "example-plugin"
version = "1.0"

[project.entry-points.ropo_bench]
example = "example_plugin"

[tool.hatch.build.targets.wheel]
packages = ["example_plugin"]
""",
    "example_plugin/__init__.py": """
from ropo_bench.report.sections.section import Section
from ropo_bench.report.sections.tables import Line, PlainTable


def gather(run):
    return [model.row for model in run]


SECTION = Section(
    "roll-call", "Roll call", "Who is there.", gather, lambda run, rows: None,
    tables=lambda rows: [PlainTable("Rows", ["row"], [Line(row, []) for row in rows])],
)
SECTIONS = [SECTION]
""",
    "example_plugin/losses.py": """
from ropo_bench.losses import Loss, logratios


def linear(logps, recipe):
    chosen, rejected = logratios(logps)
    return -recipe.beta * (chosen - rejected)


LINEAR = Loss(linear, uses_reference=True)
""",
    "example_plugin/scoring.py": """
from ropo_bench.types import Score


def score(task, prompts, completions, baseline):
    return [Score(a.prompt_id, a.prompt_id, "words", float(len(a.turns[-1].split()))) for a in completions]
""",
    "example_plugin/methods/linear-dpo.yaml": """description: a linear loss
inherit: dpo
loss: {name: "example_plugin.losses:LINEAR"}
""",
    "example_plugin/tasks/word-count.yaml": """description: words of an answer
prompts: PROMPTS
decoding: {max_new_tokens: 8}
scorer: "example_plugin.scoring:score"
columns:
  - {metric: words, header: words, decimals: 1, better: none}
""",
}


@pytest.fixture(scope="module")
def installed(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where pip put the plugin, and a tiny suite."""
    folder = tmp_path_factory.mktemp("plugin")
    tiny_suite.write(folder / "suite", base_folder)
    for name, text in FILES.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("PROMPTS", str(folder / "suite/prompts.jsonl")))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder / "site")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(folder / "source")], check=True)
    return folder / "site", folder / "suite"


def command(site: Path, cwd: Path, *arguments: str) -> str:
    """The output of a command where the plugin is installed."""
    script = f"import sys; sys.path.insert(0, {str(site)!r}); from ropo_bench.commands.app import main; main()"
    code, out, err = finish(python(script, *arguments, cwd=cwd))
    assert code == 0, err
    return out


@pytest.mark.slow
def test_what_it_brings_is_listed_run_and_reported(installed: tuple[Path, Path], tmp_path: Path) -> None:
    site, suite = installed
    assert "linear-dpo" in command(site, tmp_path, "methods")
    options = ["--suite", "tiny", "--include", str(suite), "--tasks", "tiny-arena,word-count", "--name", "tiny"]
    table = json.loads(command(site, tmp_path, "run", "--methods", "linear-dpo", *options, "--json"))
    assert [row["name"] for row in table["rows"]] == ["SFT", "linear-dpo"]
    assert {column["task"] for column in table["columns"]} == {"tiny-arena", "word-count"}
    [report] = json.loads(command(site, tmp_path, "report", "tiny", "--json"))["reports"]
    assert "Roll call" in Path(report["page"]).read_text("utf-8")


def test_its_code_is_in_the_key(installed: tuple[Path, Path], tmp_path: Path) -> None:
    site, suite = installed
    options = ["--suite", "tiny", "--include", str(suite), "--methods", "linear-dpo", "--tasks", "word-count"]
    command(site, tmp_path, "run", *options)
    losses = site / "example_plugin/losses.py"
    losses.write_text(losses.read_text().replace("-recipe.beta", "-2 * recipe.beta"))
    plan = command(site, tmp_path, "plan", *options)
    assert "why train linear-dpo: code of example_plugin.losses" in plan
