"""Names and texts that others wrote: no path, no formula, no markup, no order to a terminal."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.text import Text

import ropo_bench
from ropo_bench.commands.app import _describe, app
from ropo_bench.errors import UsageError
from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.formats import to_csv
from ropo_bench.leaderboard.latex import to_latex
from ropo_bench.leaderboard.markdown import to_markdown
from ropo_bench.recipes.files import check_row_name
from ropo_bench.recipes.load import load_judge, load_methods, load_suite, load_task
from ropo_bench.request import Asked, resolve
from ropo_bench.store import Store
from ropo_bench.store.csv_cells import csv_cell
from ropo_bench.terminal.console import Screen
from ropo_bench.terminal.progress import Progress
from ropo_bench.terminal.screen import say
from tests.leaderboard.board_example import BOARD

BAD_NAMES = [
    "", ".", "..", "../../ESCAPED", "/etc/passwd", "a/b", "a\\b", ".hidden", "-rf", "_x", "+1", "a b", "a\n",
    "a\x1b[2J", "=1+1", "@SUM(A1)", "a|b", "a`b", "ropo\u202egnp", "é", "a" * 65, "a\0b", "$HOME", "a;b", "a%2e",
]  # fmt: skip
GOOD_NAMES = ["a", "7b", "ropo-lr1e-4", "Llama-3.1_8B", "a+b", "x" * 64]
ORDERS = ["\x1b[2J", "\x1b]0;title\x07", "\r", "\b", "\x9b31m", "\u202e", "\u2066", "\u2028", "\x00", "\x7f"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_checkpoint_has_no_such_name(name: str, base_folder: Path) -> None:
    with pytest.raises(UsageError, match="--checkpoint"):
        resolve(Asked("", "pocket", checkpoints=[f"{name}={base_folder}"]))


@pytest.mark.parametrize("name", ["../../ESCAPED", "a=b", "=1+1", "a\x1b[2J", "SFT", "", "a" * 65])
def test_no_evaluated_model_is_called_so(name: str, base_folder: Path) -> None:
    with pytest.raises(UsageError, match="--name: "):
        app(["eval", str(base_folder), f"--name={name}"], standalone_mode=False)


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_checkpoint_may_be_called_so(name: str, base_folder: Path) -> None:
    assert list(resolve(Asked("", "pocket", checkpoints=[f"{name}={base_folder}"])).checkpoints) == [name]


@pytest.mark.parametrize("name", [*BAD_NAMES[1:], "SFT"])
def test_no_row_is_called_so(name: str) -> None:
    with pytest.raises(UsageError, match="where: "):
        check_row_name(name, "where")


@pytest.mark.parametrize("stem", ["-x", "a b", "=a", "a\x1b", "é", "a" * 65, "a.b", "\u202ex"])
def test_no_recipe_file_is_called_so(stem: str, tmp_path: Path) -> None:
    for kind, load in [("methods", load_methods), ("tasks", load_task), ("suites", load_suite)]:
        path = tmp_path / kind / f"{stem}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text("description: x\n")
        with pytest.raises(UsageError, match="a recipe's file name is its name"):
            load([path] if kind == "methods" else path)  # type: ignore[operator]


def test_no_method_is_the_base_model(tmp_path: Path) -> None:
    path = tmp_path / "SFT.yaml"
    path.write_text("inherit: dpo\ndescription: trained, and shown in the base model's row\n")
    with pytest.raises(UsageError, match="SFT is the base model's own row"):
        load_methods([path])


def test_no_judge_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "judges").mkdir()
    path = tmp_path / "judges" / "a b.yaml"
    path.write_text("description: x\nmodel: y\n")
    with pytest.raises(UsageError, match="file name is its name"):
        load_judge(path)


@pytest.mark.parametrize("name", ["../x", "a/b", "cache", "\x1b", "a" * 101, "=x"])
def test_no_run_is_called_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run name"):
        Store(tmp_path).run_folder(name)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_in_a_csv_file_is_no_formula(text: str) -> None:
    shown = "'" + text.replace("\r", " ")
    assert csv_cell(text) == shown
    board = replace(BOARD, rows=[replace(row, state=text) for row in BOARD.rows])
    rows = list(csv.DictReader(io.StringIO(to_csv(board))))
    assert {row["state"] for row in rows} == {shown}


def test_a_models_name_in_others_annotations_is_no_formula(tmp_path: Path) -> None:
    made = {"instruction": "a", "output_1": "b", "generator_1": "base", "output_2": "c", "preference": 2.0}
    rows = [{**made, "instruction": str(n), "generator_2": "=HYPERLINK(1)"} for n in range(3)]
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    out = tmp_path / "leaderboard.csv"
    app(
        ["score", "alpaca-eval", str(tmp_path / "annotations.json"), "--leaderboard", str(out)], standalone_mode=False
    )
    [_, line] = csv.reader(io.StringIO(out.read_text()))
    assert line[0] == "'=HYPERLINK(1)"


@pytest.mark.parametrize(
    "arguments", [["table", "--\x1b[2J\u202e"], ["\x1b[2J\u202e"], ["run", "--seeds", "\x1b\u202e"]]
)
def test_a_wrong_command_line_is_shown_and_not_obeyed(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        app(arguments, standalone_mode=False)
    assert _describe(caught.value) == (2, "")
    told = capsys.readouterr().err
    assert "Error: " in told
    assert not {"\x1b", "\u202e"} & set(told)


@pytest.mark.parametrize("value", [-1.5, 0, None, True, "ropo", "1e-4", "a=b"])
def test_numbers_and_other_texts_stay_as_they_are(value: object) -> None:
    assert csv_cell(value) == value
    assert type(csv_cell(value)) is type(value)


def named(name: str) -> Leaderboard:
    first, *others = BOARD.rows
    return replace(BOARD, rows=(replace(first, name=name), *others), comparisons=())


def test_markup_in_names_is_text() -> None:
    text = to_markdown(named("a|b*c*[d](e)<b>`f`_g_&amp;$h$"))
    assert r"| a\|b\*c\*\[d\](e)\<b\>\`f\`\_g\_\&amp;\$h\$ |" in text
    latex = to_latex(named(r"\input{x} 50% $a_b$ #~^&"))
    assert r"\textbackslash{}input\{x\} 50\% \$a\_b\$ \#\textasciitilde{}\textasciicircum{}\&" in latex


@pytest.mark.parametrize("order", ORDERS)
def test_nothing_is_an_order_to_the_terminal(order: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"before{order}after"
    say(text)
    printed = capsys.readouterr().out
    shown = "".join(f"\\u{ord(c):04x}" if not c.isprintable() or c in "\u202e\u2066" else c for c in order)
    assert printed == f"before{shown}after\n"
    stream = io.StringIO()
    Screen(file=stream, width=200).print(Text(text))
    assert not {order, "\x1b"} & set(stream.getvalue())
    with Progress(stream, 200) as progress:
        progress.note(text)
    assert order not in stream.getvalue()


def test_colours_of_our_own_are_obeyed_and_those_of_others_are_not() -> None:
    stream = io.StringIO()
    Screen(file=stream, force_terminal=True, color_system="standard", width=80).print(
        Text("a\x1b[31mb", style="green")
    )
    assert "\x1b[32m" in stream.getvalue()
    assert "\x1b[31m" not in stream.getvalue()
    assert r"\u001b[31m" in stream.getvalue()


def test_json_means_the_same_behind_the_seam(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"answer": "a\x1b[2J\u202eb\u2028\x9bc", "plain": "é – 漢字\n\t🙂"}
    say(json.dumps(value, ensure_ascii=False))
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert not set("\x1b\u202e\u2028\x9b") & set(printed)
    assert "é – 漢字" in printed


def test_there_is_one_way_to_the_terminal() -> None:
    package = Path(ropo_bench.__file__).parent
    ours = {
        "terminal/screen.py",
        "terminal/console.py",
        "generation/vllm_worker.py",  # speaks to its parent
        "errors/streams.py",  # a process's last line, which commands/app.py made visible
    }
    other_ways = re.compile(r"(?<![\w.])print\(|typer\.echo\(|(?<!\w)Console\(|std(out|err)\.write\(")
    found = {
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.relative_to(package).as_posix() not in ours
        for line in path.read_text().splitlines()
        if other_ways.search(line) and not line.lstrip().startswith("def ")
    }
    assert not found
