"""Installed packages that add to ropo-bench: their recipes, and the sections that they give to reports.

A package says so with an entry point of the group `ropo_bench` that names one of its packages. What lies in
`methods/`, `tasks/`, `suites/` and `judges/` beside that package's code is found by name, as the project's own
recipes are; they name losses, adapters, scorers and graders as `module:object`.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.store.source import find_module

GROUP = "ropo_bench"


@cache
def plugin_packages() -> dict[str, str]:
    """The package of every installed plugin, by the plugin's name, sorted; none of them is imported."""
    points = sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)
    return {point.name: point.value.partition(":")[0] for point in points}


def plugin_folders() -> dict[str, Path]:
    """The folder of every installed plugin's package, by the plugin's name; raises UsageError where one is broken."""
    folders = {}
    for name, package in plugin_packages().items():
        spec = find_module(package)
        if spec is None or spec.origin is None:
            raise UsageError(f"plugin {name}: its entry point names {package}, which is no module; install it again")
        folders[name] = Path(spec.origin).parent
    return folders
