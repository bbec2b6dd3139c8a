"""Commands that judge: what is no verdict is no success, who answers is told, what is missing is found first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.judging.calibrate import read_battles
from ropo_bench.recipes.load import load_judge, load_task
from ropo_bench.scoring.mt_bench.single import SINGLE
from ropo_bench.stages.preflight import rehearse
from tests import tiny_suite
from tests.judging.asking import row, write_lines
from tests.judging.judge_answers import Body, Response, completion
from tests.judging.judge_server import JudgeServer
from tests.test_pipeline import finish, ropo_bench

KEY_ENV = "ROPO_BENCH_TEST_KEY"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.delenv(KEY_ENV, raising=False)  # an endpoint on loopback needs none
    with JudgeServer() as running:
        yield running


def says(text: str, **changes: Any) -> Any:
    """A server's answer to whatever it is asked."""

    def respond(body: Body, headers: dict[str, str]) -> Response:
        return 200, {}, json.dumps({**completion(body, text), **changes}).encode()

    return respond


def evaluate(base: Path, folder: Path, url: str, *more: str) -> tuple[int | None, str, str]:
    """`eval` of the base model itself, decoded otherwise, by the judged task of the tiny suite."""
    options = tiny_suite.write_judged(folder / "suite", base, url, KEY_ENV)
    command = ["eval", str(base), "--name", "mine", *options, "--no-canaries", "--json", *more]
    return finish(ropo_bench(*command, cwd=folder))


def test_a_judge_that_says_nothing_readable_leaves_the_run_incomplete(
    server: JudgeServer, base_folder: Path, tmp_path: Path
) -> None:
    server.respond = says("I cannot say.")
    code, out, err = evaluate(base_folder, tmp_path, server.url)
    assert code == 4, err
    states = {row["name"]: row["state"] for row in json.loads(out)["rows"]}
    assert all(
        state.startswith("incomplete: the judge gave no verdict that can be read") for state in states.values()
    )
    sent = server.counts.sent.total()
    again = finish(
        ropo_bench("eval", str(base_folder), "--name", "mine", "--suite", "tiny", "--include", "suite", "--tasks",
                   "tiny-judged", "--no-canaries", "--json", cwd=tmp_path)
    )  # fmt: skip
    assert again[0] == 4
    assert server.counts.sent.total() == sent  # what it said is paid for, and says the same


@pytest.mark.parametrize("nats", [float("nan"), float("inf"), "nan"])
def test_log_probabilities_that_are_none_are_no_win_rate(
    server: JudgeServer, base_folder: Path, tmp_path: Path, nats: Any
) -> None:
    def respond(body: Body, headers: dict[str, str]) -> Response:
        answer = completion(body, "m")
        for entry in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
            entry["logprob"] = nats
        return 200, {}, json.dumps(answer).encode()

    server.respond = respond
    code, out, err = evaluate(base_folder, tmp_path, server.url)
    assert code == 4, err
    assert "Traceback" not in err
    json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} in the table"))
    table = finish(ropo_bench("table", cwd=tmp_path))
    assert "Traceback" not in table[2]


def test_another_model_is_told_under_the_table_and_refused_where_asked(
    server: JudgeServer, base_folder: Path, tmp_path: Path
) -> None:
    server.respond = says("m", model="judge-1-mini")
    (tmp_path / "told").mkdir()
    code, out, err = evaluate(base_folder, tmp_path / "told", server.url)
    assert code == 0, err
    assert "answers are by 'judge-1-mini', asked was 'judge-1'" in " ".join(json.loads(out)["notes"])
    (tmp_path / "refused").mkdir()
    code, _, err = evaluate(base_folder, tmp_path / "refused", server.url, "--strict-model")
    assert code == 2
    assert "'judge-1' was asked and 'judge-1-mini' answered" in err.splitlines()[-1]


def test_a_judge_is_given_to_every_judged_task(server: JudgeServer, base_folder: Path, tmp_path: Path) -> None:
    options = tiny_suite.write_judged(tmp_path / "suite", base_folder, server.url, KEY_ENV)
    task = tmp_path / "suite" / "tasks" / "tiny-judged.yaml"
    task.write_text(task.read_text().replace("judge: test-judge", "judge: null"))
    command = ["eval", str(base_folder), "--name", "mine", *options, "--no-canaries", "--json"]
    code, _, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 2
    assert "needs a judge" in err
    code, _, err = finish(ropo_bench(*command, "--judge", "test-judge", cwd=tmp_path))
    assert code == 0, err
    assert server.counts.sent.total()


def test_a_missing_asset_is_found_before_anything_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> list[dict[str, Any]]:
        raise UsageError(f"{name} is not here")

    (tmp_path / "mine.jsonl").write_text('{"id": "a", "turns": ["Say hi."]}\n')
    task = load_task("mt-bench").model_copy(update={"prompts": str(tmp_path / "mine.jsonl")})
    monkeypatch.setattr("ropo_bench.scoring.mt_bench.templates.read_jsonl", missing)
    with pytest.raises(UsageError, match=r"mt_bench/judge_prompts\.jsonl is not here"):
        rehearse(SINGLE, task, load_judge("gpt-4"))


# -- calibrate ---------------------------------------------------------------------------------------------------


def calibrate(folder: Path, url: str) -> tuple[int | None, str, str]:
    write_lines(folder / "people.jsonl", *(row(i, "a") for i in range(3)))
    (folder / "judge.yaml").write_text(
        f"description: d\nmodel: judge-1\nbase_url: {url}\nmax_attempts: 1\nkey_env: {KEY_ENV}\n"
    )
    return finish(ropo_bench("judge", "calibrate", "people.jsonl", "--judge", "judge.yaml", "--json", cwd=folder))


def test_calls_that_fail_are_no_calibration(server: JudgeServer, tmp_path: Path) -> None:
    server.respond = lambda *_: (500, {}, b"{}")
    code, _, err = calibrate(tmp_path, server.url)
    assert code == 4
    assert "6 calls have no answer" in err.splitlines()[-1]


def test_answers_that_say_nothing_are_none_either(server: JudgeServer, tmp_path: Path) -> None:
    server.respond = says("perhaps")
    code, _, err = calibrate(tmp_path, server.url)
    assert code == 4
    assert "none of its 6 answers holds a verdict" in err.splitlines()[-1]


OLD_TIE = [
    {"instruction": "Name a fruit.", "output_1": "Apple.", "output_2": "Pear.", "preference": 0},
    {"instruction": "Name a tree.", "output_1": "Oak.", "output_2": "An elm tree.", "preference": 1.5},
]


def test_an_old_tie_is_a_tie_in_calibrate_as_in_score(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    named = [{**each, "generator_1": "base", "generator_2": "mine", "annotator": "j"} for each in OLD_TIE]
    path.write_text(json.dumps(named))
    assert [battle.side for battle in read_battles(path)] == ["tie", "tie"]
    code, out, err = finish(
        ropo_bench("judge", "calibrate", path.name, "--against", path.name, "--json", cwd=tmp_path)
    )
    assert code == 0, err
    assert json.loads(out)
    code, out, err = finish(ropo_bench("score", "alpaca-eval", path.name, "--json", cwd=tmp_path))
    assert code == 0, err
    assert "50.0" in out


@pytest.mark.parametrize("preference", [0.5, -1, True, False, "1", 2.5])
def test_anything_else_below_one_is_no_preference(tmp_path: Path, preference: object) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([{**OLD_TIE[0], "preference": preference}]))
    with pytest.raises(UsageError, match="a preference is from 1 to 2"):
        read_battles(path)
