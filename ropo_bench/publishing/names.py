"""What may not be published: paths of the machine that made a run, and texts that look like keys."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

KEYS = re.compile(
    r"\b(?:sk|pk|rk)-[\w-]{16,}|\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{30,}|\bxox[abprs]-[\w-]{10,}|(?i:\bbearer\s+[\w.~+/-]{16,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\b\w+://[^\s/:@]+:[^\s/@]+@|\beyJ[\w-]{10,}\.[\w-]{10,}\."
)
"""Of model providers, hubs, code hosts, clouds and chats; bearer tokens; private keys; web addresses with a
password; signed web tokens."""

PATHS = re.compile(r"(?<![\w/.~-])~?/[\w.@-]+/[\w./@-]*|\bfile://\S+|\b[A-Za-z]:\\[\w\\]+")
"""Absolute paths of two parts and more; not the path of a web address."""


def keys_in(text: str) -> list[str]:
    """What looks like a key, by its first characters only: a report of a key must not spread it."""
    return [f"{match.group()[:6]}..." for match in KEYS.finditer(text)]


def paths_in(text: str) -> list[str]:
    """Absolute paths in a text."""
    return [match.group() for match in PATHS.finditer(text)]


def is_local(text: str) -> bool:
    """Whether a name in a recipe is a file or folder of this machine, not of the package or of a hub."""
    if not text or "\n" in text or len(text) > 1000:
        return False
    if text.startswith(("/", "~", "./", "../")) or re.match(r"[A-Za-z]:\\", text):
        return True
    return ("/" in text or "." in text) and os.path.exists(text)  # of pathlib's, a long sentence is an OSError


OWN_SERVER = "a server of one's own"
_INSIDE = (".local", ".internal", ".intranet", ".lan", ".corp", ".home", ".arpa", ".localdomain")


def is_own_server(text: str) -> bool:
    """Whether a web address names a host that nobody else can ask: no public name, or an IP address."""
    if not re.fullmatch(r"https?://\S+", text):
        return False
    host = urlsplit(text).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_INSIDE)
    return True


def public_name(text: str) -> str | None:
    """What stands for a path or an address of this machine; None for a text that may be published as it is."""
    if is_own_server(text):
        return OWN_SERVER
    return (Path(text).name or "base") if is_local(text) else None


def strings(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, with the keys that lead to it."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(item, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            # A task or a method is known by its name, not by its place.
            name = item.get("name", number) if isinstance(item, Mapping) else number
            yield from strings(item, f"{where}.{name}".lstrip("."))


def without(value: Any, names: Mapping[str, str]) -> Any:
    """A JSON value with every path of `names` replaced by its name, longest first, wherever it stands in a text."""
    if isinstance(value, str):
        for path in sorted(names, key=len, reverse=True):
            value = value.replace(path, names[path])
        return value
    if isinstance(value, Mapping):
        return {key: without(item, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without(item, names) for item in value]
    return value
