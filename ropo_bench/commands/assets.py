"""`ropo-bench assets list|fetch|verify`: the external benchmark files, where they are, and whether they are right."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropo_bench.errors import UsageError
from ropo_bench.store.bounded import dump_json
from ropo_bench.terminal.screen import say

if TYPE_CHECKING:
    from ropo_bench.sources.assets import Entry

app = typer.Typer(help="The external benchmark files: list, fetch, verify.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(help="Names or folders of them, as `list` shows (default: all).")]
Mirror = Annotated[Path | None, typer.Option("--assets", help="Mirror folder (default: ROPO_BENCH_ASSETS).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list")
def list_assets(names: Names = None, assets: Mirror = None, as_json: AsJson = False) -> None:
    """List the files.

    Where each is now, its size, licence, source and what it is for.
    """
    from ropo_bench.sources.assets import find

    rows = []
    for entry in _choose(names, assets):
        place = find(entry)
        rows.append({**_describe(entry), "place": place[0] if place else "absent"})
    if as_json:
        _print_json(rows)
    elif sys.stdout.isatty():
        _print_table(rows)
    else:
        for row in rows:
            where = "" if row["downloadable"] else "; from a mirror only"
            say(f"{row['place']:<6}  {row['bytes']:>9,}  {row['name']}  {row['purpose']} ({row['licence']}{where})")


@app.command()
def fetch(names: Names = None, assets: Mirror = None, as_json: AsJson = False) -> None:
    """Have the files here and verified.

    From the mirror, the cache, or downloaded into the cache.
    """
    from ropo_bench.sources.assets import fetch, find
    from ropo_bench.sources.assets.download import Unreachable

    rows: list[dict[str, Any]] = []
    for entry in _choose(names, assets):
        here = find(entry) is not None
        if not here and not names and entry.url is None:
            rows.append(_row(entry, "left out", "from a mirror only, `assets list --json` says why"))
            continue
        try:
            rows.append(_row(entry, "present" if here else "downloaded", str(fetch(entry))))
        except UsageError as error:
            if isinstance(error.__cause__, Unreachable) and error.__cause__.offline:
                raise  # the others would wait for the same network
            rows.append(_row(entry, "failed", str(error)))
    _report(rows, as_json, "fetched")


@app.command()
def verify(names: Names = None, assets: Mirror = None, as_json: AsJson = False) -> None:
    """Hold the files that are here to the registry's sha256.

    Exits 2 where none is here; nothing is downloaded.
    """
    from ropo_bench.sources.assets import cache_folder, find, mirror_folder
    from ropo_bench.sources.assets.lookup import verify

    rows: list[dict[str, Any]] = []
    for entry in _choose(names, assets):
        place = find(entry)
        if place is None:
            reason = f"asset {entry.name}: neither in the mirror nor in the cache; `assets fetch` may have it"
            rows.append(_row(entry, "failed" if names else "absent", reason))
            continue
        try:
            verify(entry, place[1])
            rows.append(_row(entry, "verified", str(place[1])))
        except UsageError as error:
            rows.append(_row(entry, "failed", str(error)))
    here = [row for row in rows if row["state"] != "absent"]
    if not here and not as_json:
        rows = []  # one line says it all
    _report(rows, as_json, "verified")
    absent = f"neither in the mirror ({mirror_folder() or 'none set'}) nor in the cache ({cache_folder()})"
    if not here:
        raise UsageError(f"nothing to verify: the assets are {absent}; give --assets DIR, or run `assets fetch`")
    if not as_json:
        where = f"; {len(rows) - len(here)} are {absent}" if len(here) < len(rows) else ""
        say(f"{len(here)} of {len(rows)} assets verified{where}")


def _choose(names: Sequence[str] | None, assets: Path | None) -> Sequence[Entry]:
    """The registered files with these names or in these folders of the registry; without names, all."""
    from ropo_bench.sources.assets import entries, entry, use_mirror

    if assets is not None:
        use_mirror(assets)
    chosen: dict[str, Entry] = {}
    for name in names or [""]:
        folder = f"{name.rstrip('/')}/" if name else ""
        below = [listed for listed in entries() if listed.name.startswith(folder)]
        chosen |= {listed.name: listed for listed in below or [entry(name.removesuffix(".gz"))]}
    return list(chosen.values())


def _describe(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "bytes": entry.num_bytes,
        "sha256": entry.sha256,
        "licence": entry.licence,
        "purpose": entry.purpose,
        "source": entry.source,
        "change": entry.change,
        "official_source": entry.official_source,
        "official_sha256": entry.official_sha256,
        "downloadable": entry.url is not None,
        "instead": entry.instead,
    }


def _row(entry: Entry, state: str, detail: str) -> dict[str, Any]:
    return {"name": entry.name, "state": state, "detail": detail}


def _print_json(rows: Sequence[dict[str, Any]]) -> None:
    say(dump_json({"schema": 1, "assets": rows}))


def _report(rows: Sequence[dict[str, Any]], as_json: bool, done: str) -> None:
    """Print what became of each file; raises UsageError if one failed, with its reason where it is the only one."""
    failed = [row for row in rows if row["state"] == "failed"]
    if as_json:
        _print_json(rows)
    for row in rows:
        if not as_json and [row] != failed:
            say(f"{row['state']:<10}  {row['name']}  {row['detail']}")
    if failed[1:]:
        raise UsageError(f"{len(failed)} of {len(rows)} assets could not be {done}: the output above says why")
    if failed:
        raise UsageError(failed[0]["detail"])


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ropo_bench.terminal.console import Screen

    table = Table("place", "bytes", "name", "for", "licence", box=None, header_style="bold")
    for row in rows:
        place = row["place"] if row["place"] != "absent" or row["downloadable"] else "absent, from a mirror only"
        table.add_row(place, f"{row['bytes']:,}", *(escape(row[key]) for key in ("name", "purpose", "licence")))
    Screen().print(table)
