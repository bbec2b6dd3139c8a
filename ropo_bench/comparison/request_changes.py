"""Two requests side by side: what a run of the second under the first one's name would lose of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ropo_bench.comparison.rows import differing
from ropo_bench.errors import UsageError
from ropo_bench.recipes.method import MethodRecipe, Recipe
from ropo_bench.recipes.rates import Rates
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.request import Request
from ropo_bench.runs.reading import open_run
from ropo_bench.runs.record import RequestRecord
from ropo_bench.store import Store

GROWS = {"tasks", "seeds"}  # of a suite: told of the request itself
SHOWN = {"description"}  # is no setting


def what_is_lost(before: RequestRecord, now: RequestRecord) -> str | None:
    """The first thing of a request that another one has not, or has otherwise; None: nothing.

    More methods, checkpoints, tasks or seeds are no loss, and neither are canaries that were not asked for before.
    """
    changed = _setting("suite", before.suite.model_dump(exclude=GROWS), now.suite.model_dump(exclude=GROWS))
    changed = changed or _part("task", _by_name(before.tasks), _by_name(now.tasks))
    changed = changed or _part("method", _by_name(before.methods), _by_name(now.methods))
    changed = changed or _part("judge", before.judges, now.judges)
    changed = changed or _part("checkpoint", before.checkpoints, now.checkpoints)
    changed = changed or _seeds(before, now)
    if changed is None and before.canaries and not now.canaries:
        changed = "canaries yes | no"
    return changed or _rates(before.rates, now.rates)


def _by_name(recipes: Sequence[TaskRecipe] | Sequence[MethodRecipe]) -> dict[str, TaskRecipe | MethodRecipe]:
    return {recipe.name: recipe for recipe in recipes}


def _part(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first named part that is not there any more, or is another."""
    for name, value in before.items():
        if name not in now:
            return f"it has {what} {name}, this has not"
        changed = _setting(f"{what} {name}", value, now[name])
        if changed is not None:
            return changed
    return None


def _setting(what: str, before: Any, now: Any) -> str | None:
    before, now = (_settings(value) for value in (before, now))
    return None if before == now else f"{what}: {differing(before, now)}"


def _settings(value: Any) -> Any:
    """A recipe without what is only shown of it; another value as it is."""
    fields = value.model_dump() if isinstance(value, Recipe) else value
    return {key: item for key, item in fields.items() if key not in SHOWN} if isinstance(fields, Mapping) else fields


def _seeds(before: RequestRecord, now: RequestRecord) -> str | None:
    first, last = before.first_seed, before.first_seed + before.seeds - 1
    now_first, now_last = now.first_seed, now.first_seed + now.seeds - 1
    if not before.methods or (now_first <= first and last <= now_last):
        return None
    return f"seeds {first} to {last} | {now_first} to {now_last}"


def _rates(before: Rates | None, now: Rates | None) -> str | None:
    """How learning rates were chosen; rows beside a chosen rate are methods, and told there.

    At the suite's rates a record of tuning is only shown. Elsewhere that of every method that was there must stay.
    """
    how, now_how = (None if rates is None else rates.how for rates in (before, now))
    if how != now_how:
        return f"rates {how} | {now_how}"
    tuned, now_tuned = (
        {} if rates is None or rates.tuning is None else rates.tuning.methods for rates in (before, now)
    )
    lost = [name for name in tuned if how not in (None, "suite") and tuned[name] != now_tuned.get(name)]
    return f"rates of {lost[0]}: tuned otherwise" if lost else None


def refuse_another_request(store: Store, name: str, request: Request) -> None:
    """Raise UsageError where a run of this name is there whose record this request would replace.

    The same request goes on; one that asks for more (methods, checkpoints, seeds, tasks) keeps all that is there.
    """
    path = store.run_folder(name) / "run.json"
    if not path.exists():
        return
    difference = what_is_lost(open_run(store, name).record.request, request.record())
    if difference is not None:
        raise UsageError(
            f"--name {name}: there is a run of this name, of another request ({difference}); give another --name, or "
            f"delete {path} to replace it (`run --replace` does)"
        )
