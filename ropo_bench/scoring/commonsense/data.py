"""The eight commonsense tasks: lm-eval's bundled definitions, over local files or over the hub's data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ropo_bench.errors import UsageError, first_line
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.lm_eval.lm import quiet
from ropo_bench.sources import assets

Data = Literal["auto", "local", "hub"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a task is from.

    folder: of its definition, below lm_eval's tasks. split: what is evaluated. file: the asset with those rows.
    hub: the data set that lm-eval reads otherwise.
    """

    folder: str
    split: str
    file: str
    hub: str


TASKS: Mapping[str, Source] = {
    "boolq": Source("super_glue/boolq", "validation", "boolq/validation.jsonl", "aps/super_glue"),
    "piqa": Source("piqa", "validation", "piqa/validation.jsonl", "baber/piqa"),
    "social_iqa": Source("siqa", "validation", "social_iqa/validation.jsonl", "lighteval/siqa"),
    "hellaswag": Source("hellaswag", "validation", "hellaswag/validation_0000_1999.jsonl", "Rowan/hellaswag"),
    "winogrande": Source("winogrande", "validation", "winogrande/validation.jsonl", "allenai/winogrande"),
    "arc_easy": Source("arc", "test", "arc_easy/test.jsonl", "allenai/ai2_arc"),
    "arc_challenge": Source("arc", "test", "arc_challenge/test.jsonl", "allenai/ai2_arc"),
    "openbookqa": Source("openbookqa", "test", "openbookqa/test.jsonl", "allenai/openbookqa"),
}


def asset_name(task: str) -> str:
    """Name in the asset registry of a task's evaluated rows."""
    return f"commonsense/{TASKS[task].file}"


def chosen_tasks(recipe: TaskRecipe) -> list[str]:
    """Names in options.tasks, all eight without it; raises UsageError for an unknown one."""
    given = recipe.options.get("tasks", list(TASKS))
    names = [given] if isinstance(given, str) else list(given)
    unknown = [name for name in names if name not in TASKS]
    if unknown or not names or len(set(names)) < len(names):
        raise UsageError(
            f"task {recipe.name}: options.tasks must name some of {', '.join(TASKS)}, each once; given {given!r}"
        )
    return names


def data_of(recipe: TaskRecipe) -> dict[str, str]:
    """Where each task's rows come from here and now: "commonsense/..." is an asset, "hub:..." the hub's data set.

    options.data: auto takes local files (mirror or cache) where they are and the hub's data elsewhere. Few-shot
    examples are in no local file. Raises UsageError for local where a file is missing. Belongs to content keys:
    the local HellaSwag is a part of the hub's.
    """
    choice = recipe.options.get("data", "auto")
    if choice not in get_args(Data):
        raise UsageError(f"task {recipe.name}: options.data must be auto, local or hub, given {choice!r}")
    few_shot = bool(recipe.options.get("num_fewshot", 0))
    if few_shot and choice == "local":
        raise UsageError(
            f"task {recipe.name}: options.num_fewshot takes examples from the training split, which local files"
            " do not have; set options.data to hub"
        )
    if choice == "local":
        for task in chosen_tasks(recipe):
            assets.asset(asset_name(task))  # verified, or says where it could be had
    return {task: _place(task, hub_only=few_shot or choice == "hub") for task in chosen_tasks(recipe)}


def _place(task: str, hub_only: bool) -> str:
    here = not hub_only and assets.find(assets.entry(asset_name(task))) is not None
    return asset_name(task) if here else f"hub:{TASKS[task].hub}"


def load_tasks(data: Mapping[str, str], num_fewshot: int = 0) -> dict[str, Any]:
    """lm-eval's task objects, by name, over the rows that `data_of` found.

    Raises UsageError where the hub's data are needed and cannot be had.
    """
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False, include_path=[str(path) for path in definition_folders(data)])
    loaded: dict[str, Any] = {}
    for task, place in data.items():
        member = {"task": task, "num_fewshot": num_fewshot, **({} if place.startswith("hub:") else _local(task))}
        try:
            with quiet():
                # A member of a group, because a bare dict is not merged with the bundled definition.
                loaded |= manager.load([{"group": f"local_{task}", "task": [member]}])["tasks"]
        except Exception as error:  # the hub client raises a dozen unrelated types
            if not place.startswith("hub:"):
                raise
            raise UsageError(
                f"commonsense task {task}: {place.removeprefix('hub:')} cannot be had from the hub"
                f" ({type(error).__name__}: {first_line(error)}); repeat with a network connection, or give a mirror"
                f" that has {asset_name(task)} with --assets DIR"
            ) from error
    return loaded


def definition_folders(tasks: Mapping[str, Any] | Sequence[str]) -> list[Path]:
    """Folders of the installed lm_eval that hold these tasks; only they are indexed, the whole takes ten seconds."""
    import lm_eval

    root = Path(lm_eval.__file__).parent / "tasks"
    return [root / folder for folder in dict.fromkeys(TASKS[task].folder for task in tasks)]


def _local(task: str) -> dict[str, Any]:
    """What a bundled definition is overridden with to read an asset."""
    from datasets import Dataset, DatasetDict

    source, rows = TASKS[task], assets.read_jsonl(asset_name(task))
    splits = {
        "training_split": None,
        "validation_split": None,
        "test_split": None,
        f"{source.split}_split": source.split,
    }
    # In memory: no cache in anyone's home, and no look at the hub.
    return {"custom_dataset": lambda **_: DatasetDict({source.split: Dataset.from_list(rows)}), **splits}
