"""Broken versions of a valid file: seeded, bounded, of every kind that a disk, an editor or an enemy makes."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

DEEP = 100_000
JUNK: list[Any] = [
    None, True, 0, -1, 10**400, 1.5, float("nan"), float("inf"), "", "x", "1e400", "\ud800", "\0", "=cmd()", [], {},
    [[]], ["x"], {"x": 1}, [None], -(10**30), "\u202e" * 5, "../../x", {"": {"": {}}}, [1, "x", None],
]  # fmt: skip
WORDS = [
    b"NaN", b"-Infinity", b"1e400", b"9" * 5000, b"[" * DEEP, b'{"a":' * 3000, b"{a: " * 3000, b"!!int abc",
    b"\0", b"null", b"&a [*a, *a]", b"\xff\xfe", b'"', b"\r", b"\xef\xbb\xbf", b"- - - - ", 
    b"!!python/object:os.system x",
    b"x" * 200_000, b"2026-13-45",
    b"*", b"<<: *a", b"? ", b"\t", b"\xed\xa0\x80", b"\\ud800", b"-9", b"true", b"{}", b"[]",
]  # fmt: skip


def mutant(valid: bytes, chance: random.Random) -> bytes:
    """One broken version of a file."""
    kinds: list[Callable[[bytes, random.Random], bytes]] = [
        _flip, _cut, _insert, _replace, _repeat, _recode, _number, _swap, _swap, _swap, _drop,
    ]  # fmt: skip
    for _ in range(chance.choice((1, 1, 2))):
        valid = chance.choice(kinds)(valid, chance)
    return valid


def _place(data: bytes, chance: random.Random) -> int:
    return chance.randrange(len(data) + 1)


def _flip(data: bytes, chance: random.Random) -> bytes:
    flipped = bytearray(data or b"x")
    for _ in range(chance.choice((1, 3, 20))):
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: _place(data, chance)]


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + chance.choice(WORDS) + data[at:]


def _replace(data: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + chance.choice(WORDS) + data[at + chance.choice((1, 5, 50)) :]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    line = chance.choice(lines)
    return data + line * chance.choice((1, 2, 50))


def _recode(data: bytes, chance: random.Random) -> bytes:
    return data.decode(errors="replace").encode(chance.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7")), "replace")


def _number(data: bytes, chance: random.Random) -> bytes:
    numbers = list(re.finditer(rb"\d+(?:\.\d+)?", data))
    if not numbers:
        return data
    at = chance.choice(numbers)
    return (
        data[: at.start()]
        + chance.choice((b"-1", b"1e400", b"9" * 400, b"NaN", b"0", b"''", b"[]"))
        + data[at.end() :]
    )


def _swap(data: bytes, chance: random.Random) -> bytes:
    """Put something of another type in the place of a value: of a JSON value, or behind a colon or a comma."""
    lines = data.split(b"\n")
    which = chance.randrange(len(lines))
    for number, text in ((None, data), (which, lines[which])):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            continue
        swapped = json.dumps(_swapped(value, chance)).encode()
        return swapped if number is None else b"\n".join([*lines[:number], swapped, *lines[number + 1 :]])
    places = list(re.finditer(rb"(?<=[:,]) *[^,\n]*", data))
    at = chance.choice(places) if places else None
    junk = json.dumps(chance.choice(JUNK)).encode()
    return data if at is None else data[: at.start()] + b" " + junk + data[at.end() :]


def _swapped(value: Any, chance: random.Random) -> Any:
    value = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        part = stack.pop()
        keys = part.keys() if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
        places += [(part, key) for key in keys]
        stack += [part[key] for key in keys]
    if not places:
        return chance.choice(JUNK)
    part, key = chance.choice(places)
    if isinstance(part, dict) and chance.random() < 0.3:
        if chance.random() < 0.5:
            del part[key]
        else:
            part[chance.choice(("", "0", "x", "\0"))] = part.pop(key)
    else:
        part[key] = chance.choice(JUNK)
    return value


def _drop(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    if len(lines) > 1:
        del lines[chance.randrange(len(lines))]
    return b"".join(lines)
