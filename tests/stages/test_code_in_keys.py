"""What of the code stands in which key: an edit makes again what depends on it, and nothing else.

In a checkout keys hold the source, without comments, docstrings and formatting, of the modules that a stage's making
imports; in an installed release they hold the stages' versions alone.
"""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

import ropo_bench
from tests import tiny_suite

ROOT = Path(ropo_bench.__file__).parents[1]
DOWNSTREAM_OF_TRAINING = ("policy", "merged", "completions ropo", "completions dpo", "scores ropo", "scores dpo")
"""Beginnings of the names of keys; the SFT model's own stages are not among them."""
EVALUATED = ("completions", "scores", "canaries")

EDITS: Mapping[str, tuple[str, ...]] = {
    "training/core/products.py": ("reference", *DOWNSTREAM_OF_TRAINING),
    "adapters/ropo/kernels/cpu.c": ("reference", *DOWNSTREAM_OF_TRAINING),
    "losses/dpo.py": DOWNSTREAM_OF_TRAINING,
    "training/loop.py": DOWNSTREAM_OF_TRAINING,
    "merging/merge.py": ("merged", "completions ropo", "completions dpo", "scores ropo", "scores dpo"),
    "generation/hf.py": EVALUATED,
    "preferences/formats.py": ("pairs", "reference", *DOWNSTREAM_OF_TRAINING, *EVALUATED),
    "scoring/energy.py": ("scores * energy",),
    "scoring/arena.py": ("scores * tiny-arena", "scores * tiny-judged", "canaries"),
    "judging/runtime.py": ("scores * tiny-judged", "canaries"),
    "judging/canary_power.py": ("canaries",),
    "statistics/estimators.py": (),
    "commands/run.py": (),
    "store/lines.py": (),
}
"""File in which one operator becomes another -> beginnings of the names of the keys that change."""


@pytest.fixture
def suite(base_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    tiny_suite.write_judged(folder, base_folder, "http://127.0.0.1:9/v1", "NO_SUCH_KEY")
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package that looks like a checkout."""
    folder = tmp_path / "checkout"
    (folder / ".git").mkdir(parents=True)
    shutil.copytree(ROOT / "ropo_bench", folder / "ropo_bench", ignore=shutil.ignore_patterns("__pycache__"))
    for kind in ("methods", "tasks", "suites", "judges"):
        shutil.copytree(ROOT / kind, folder / kind)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def keys(checkout: Path, suite: Path) -> Iterator[Callable[[], dict[str, str]]]:
    """Ask for the keys that the checkout makes as it is now."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests/stages/keys_of_a_request.py"), str(suite)],
        env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=checkout,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def ask() -> dict[str, str]:
            print(file=server.stdin, flush=True)
            answer = server.stdout.readline() if server.stdout else ""
            assert answer, "why is on standard error"
            found: dict[str, str] = json.loads(answer)
            return found

        yield ask
        server.stdin.close()
    assert server.returncode == 0


def with_another_operator(file: str, text: str) -> str:
    """The source with its first operator turned into another one."""
    if file.endswith(".c"):
        return text.replace(" + ", " - ", 1)
    starts = [0, *itertools.accumulate(len(line.encode()) + 1 for line in text.split("\n"))]
    data = text.encode()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.BinOp):
            left, right = node.left, node.right
        elif isinstance(node, ast.Compare):
            left, right = node.left, node.comparators[0]
        elif isinstance(node, ast.BoolOp):
            left, right = node.values[:2]
        else:
            continue
        begin, end = starts[left.end_lineno - 1] + left.end_col_offset, starts[right.lineno - 1] + right.col_offset
        other = b" or " if b" or " not in data[begin:end] else b" and "
        changed = (data[:begin] + other + data[end:]).decode()
        with contextlib.suppress(SyntaxError):
            compile(changed, file, "exec")
            return changed
    raise AssertionError(f"no operator in {file}")


def edit(checkout: Path, file: str, change: Callable[[str], str]) -> None:
    path = checkout / "ropo_bench" / file
    text = path.read_text()
    assert change(text) != text, f"nothing was changed in {file}"
    path.write_text(change(text))


def matches(name: str, beginning: str) -> bool:
    return re.match(re.escape(beginning).replace(r"\*", r"\w+"), name) is not None


@pytest.mark.slow
def test_an_edit_changes_the_keys_downstream_of_it_and_no_other(
    checkout: Path, keys: Callable[[], dict[str, str]]
) -> None:
    before = keys()
    wrong = {}
    for file, downstream in EDITS.items():
        source = (checkout / "ropo_bench" / file).read_text()
        edit(checkout, file, partial(with_another_operator, file))
        after = keys()
        (checkout / "ropo_bench" / file).write_text(source)
        changed = {name for name in before if before[name] != after[name]}
        expected = {name for name in before if any(matches(name, beginning) for beginning in downstream)}
        if changed != expected:
            wrong[file] = {"not expected": sorted(changed - expected), "not changed": sorted(expected - changed)}
    assert wrong == {}


def test_comments_docstrings_and_formatting_change_no_key(checkout: Path, keys: Callable[[], dict[str, str]]) -> None:
    before = keys()
    for path in (checkout / "ropo_bench").rglob("*.py"):
        text = path.read_text()
        text = re.sub(r'^( *)"""', r'\1"""Said otherwise. ', text, count=1, flags=re.MULTILINE)
        path.write_text(f"# A comment.\n{text}\n\n# Another.\n")
    assert keys() == before


def test_in_a_release_the_version_of_a_stage_stands_for_its_code(
    checkout: Path, keys: Callable[[], dict[str, str]]
) -> None:
    (checkout / ".git").rmdir()
    before = keys()
    for file in EDITS:
        edit(checkout, file, partial(with_another_operator, file))
    assert keys() == before
    edit(checkout, "stages/scores.py", lambda text: text.replace("VERSION = 1", "VERSION = 2"))
    after = keys()
    assert {name for name in before if before[name] != after[name]} == {n for n in before if n.startswith("scores")}


def test_a_users_module_and_what_it_imports_beside_it_are_in_the_key_also_in_a_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ropo_bench.store.source import sources

    (tmp_path / "my_loss.py").write_text("import json\nfrom my_maths import double\n")
    (tmp_path / "my_maths.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(sources(["my_loss"])) == {"my_loss", "my_maths"}


def test_a_users_file_and_what_lies_beside_it(tmp_path: Path) -> None:
    from ropo_bench.recipes.objects import module_of, resolve_object
    from ropo_bench.store.source import sources

    (tmp_path / "own_loss.py").write_text("from own_maths import double\n\ndef loss(x):\n    return double(x)\n")
    (tmp_path / "own_maths.py").write_text("def double(x):\n    return 2 * x\n")
    name = f"{tmp_path}/own_loss.py:loss"
    assert resolve_object(name, {}, "loss")(3) == 6
    assert resolve_object(name, {}, "loss") is resolve_object(name, {}, "loss")
    module = module_of(name)
    assert module == f"{tmp_path}/own_loss.py"
    before = sources([module])
    assert set(before) == {"own_loss.py", "own_maths.py"}
