"""`ropo-bench new`: what it writes is read, runs, and passes its own first test."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.commands.new import FILES, write
from ropo_bench.errors import UsageError
from ropo_bench.recipes.load import load_method, load_task
from ropo_bench.recipes.objects import import_code


@pytest.mark.parametrize("folder", [Path(), Path("mine")])
@pytest.mark.parametrize("part", FILES)
def test_the_files_of_a_part_are_read_and_their_test_passes(
    part: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = write(part, "my-part", folder)
    assert all(path.is_file() for path in paths)
    if part == "task":
        assert load_task("my-part", include=[folder]).columns[0].metric == "short"
    else:
        assert load_method("my-part", include=[folder]).name == "my-part"
    for path in paths:
        if path.name.startswith("test_"):
            tests = import_code(str(path))
            functions = [value for name, value in vars(tests).items() if name.startswith("test_")]
            assert functions
            for function in functions:
                function()


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    write("loss", "my-loss", tmp_path)
    with pytest.raises(UsageError, match=r"my_loss\.py is there already"):
        write("loss", "my-loss", tmp_path)
    with pytest.raises(UsageError, match="there is a method of this name"):
        write("loss", "dpo", tmp_path)
    with pytest.raises(UsageError, match="small letters"):
        write("task", "My Task", tmp_path)
