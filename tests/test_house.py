"""The house: imports run down and never in a circle, few doors at the top, every test file says what it holds."""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import pytest

import ropo_bench

ROOT = Path(ropo_bench.__file__).parents[1]
STAGES = ("pairs", "reference", "policy", "merged", "completions", "scores", "canaries")
MAX_ENTRIES = 36


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("ropo_bench", exclude_type_checking_imports=False, cache_dir=None)


def test_no_import_leads_back(graph: grimp.ImportGraph) -> None:
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    done: set[str] = set()
    under_way: list[str] = []

    def visit(module: str) -> None:
        assert module not in under_way, f"a circle: {' -> '.join(under_way[under_way.index(module) :])} -> {module}"
        if module in done:
            return
        under_way.append(module)
        for other in sorted(imports[module]):
            visit(other)
        done.add(under_way.pop())

    for module in sorted(imports):
        visit(module)


def test_nothing_of_the_product_imports_the_pocket_world(graph: grimp.ImportGraph) -> None:
    above = ("ropo_bench.commands", "ropo_bench.pocket")
    for module in graph.modules:
        if not module.startswith(above):
            pocket = {name for name in graph.find_modules_directly_imported_by(module) if ".pocket" in name}
            assert pocket == set(), module


def test_the_top_has_few_entries() -> None:
    entries = [path.name for path in (ROOT / "ropo_bench").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MAX_ENTRIES, sorted(entries)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_one_file_with_its_key_and_its_making(stage: str) -> None:
    tree = ast.parse((ROOT / f"ropo_bench/stages/{stage}.py").read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    names |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert {"VERSION", "stage", "make"} <= names


def test_files_and_tests_open_with_what_they_hold() -> None:
    files = [*(ROOT / "ropo_bench").rglob("*.py"), *(ROOT / "tests").rglob("test_*.py")]
    assert [str(path) for path in files if not ast.get_docstring(ast.parse(path.read_text()))] == []
