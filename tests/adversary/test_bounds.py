"""Versions have both ends and the installed ones lie between; sizes have an end, and passing it is one line."""

from __future__ import annotations

import gzip
import io
import json
import resource
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ropo_bench.doctor import machine
from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import parse_yaml
from ropo_bench.sources.assets import read_given
from ropo_bench.store import bounded

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [Requirement(text) for text in PROJECT["dependencies"]]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_every_dependency_is_bounded_at_both_ends_and_installed_within(requirement: Requirement) -> None:
    operators = {specifier.operator for specifier in requirement.specifier}
    assert operators >= {">=", "<"}
    assert requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)


def test_doctor_names_the_package_outside_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "requires", lambda name: ["accelerate>=1.15,<1.16", "rich>=13.9"])
    monkeypatch.setattr(metadata, "version", lambda name: "1.14.0" if name == "accelerate" else real(name))
    line = machine.versions()
    assert line.state == "problem"
    assert "accelerate 1.14.0 is not <1.16,>=1.15" in line.text
    assert line.mend == "pip install 'accelerate<1.16,>=1.15'"
    assert "512 MiB" in machine.limits().text


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Room for 200 MiB more than this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (200 << 20), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux")
def test_a_gzip_bomb_is_refused_before_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little_memory: None
) -> None:
    monkeypatch.setattr("ropo_bench.store.bounded.gunzip.__defaults__", (4 << 20,))
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as file:
        for _ in range(1024):
            file.write(bytes(1 << 20))
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(out.getvalue())
    with pytest.raises(UsageError, match=r"bomb\.json\.gz: expands to more than 4 MiB"):
        read_given(path, "a file")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested more than 64 deep"),
        ("[" * 70 + "]" * 70, "nested more than 64 deep"),
        ('{"a": 1e400}', "a number is too large: 1e400"),
        ('{"a": ' + "9" * 30 + "}", "a number is too large: 99999999999999999999..."),
        ('{"a": -Infinity}', "-Infinity is no number"),
    ],
)
def test_json_beyond_its_bounds(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace(".", r"\.")):
        bounded.parse_json(text)
    assert bounded.parse_json("[" * 60 + "]" * 60)


def test_json_that_is_printed_is_json() -> None:
    text = bounded.dump_json({"a": [float("nan"), {"b": float("inf")}, 1.5], "c": (float("-inf"),)})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": [None, {"b": None}, 1.5], "c": [None]}


def test_cells_of_any_length_are_read() -> None:
    long = "x" * 200_000
    assert list(bounded.read_csv(f"a,{long}\n")) == [(1, ["a", long])]


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + below] * 9)}]\n" for below, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, r"more than 10,000 values \(aliases count where they are used\)"),
        ("a: &a [*a]", "nested more than 8 deep"),
        ("[" * 50_000, "nested more than 8 deep"),
        ("a: !!int abc", "x:1: .abc. is no tag"),
        ("b: 1\na: 2026-13-45", "x:2: .2026-13-45. is no tag"),
        ("a: 1e400", "is not a number that can be used"),
        ("a: 99999999999999999999", "is not a number that can be used"),
        ("a: x\n" * 5000, "5,000 lines and commas"),
        ("a: " + "x" * 70_000, "70,003 characters"),
    ],
)
def test_yaml_beyond_its_bounds(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_yaml(text, lambda line: f"x:{line}")


def test_merge_keys_and_aliases_are_read() -> None:
    data, _ = parse_yaml("a: &x {b: 1}\nc: {<<: *x, d: 2}\ne: *x\n", lambda line: "x")
    assert data == {"a": {"b": 1}, "c": {"b": 1, "d": 2}, "e": {"b": 1}}
