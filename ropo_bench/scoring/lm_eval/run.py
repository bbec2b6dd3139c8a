"""lm-eval's own evaluation of a task or group with its switches, over a model that is already loaded."""

from __future__ import annotations

import random
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from ropo_bench.errors import UsageError, first_line
from ropo_bench.recipes.lm_eval.definition import Definition
from ropo_bench.recipes.lm_eval.index import index
from ropo_bench.recipes.lm_eval.options import LmEvalOptions
from ropo_bench.scoring.lm_eval.lm import quiet

SEED, OTHER_SEED = 0, 1234  # the seeds of lm-eval's command: of Python's random, and of all others
SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")


def load_tasks(options: LmEvalOptions, definition: Definition, model: Path) -> dict[str, Any]:
    """lm-eval's tasks and groups (TaskManager.load) with options set as simple_evaluate sets them.

    Raises UsageError where data or a Python package cannot be had.
    """
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._factory import TaskFactory
    from lm_eval.tasks._index import Entry, Kind

    kinds = {"task": Kind.TASK, "group": Kind.GROUP, "tag": Kind.TAG}
    metadata = {"pretrained": str(model)} | options.metadata
    with quiet():
        # Without lm-eval's own index, which takes ten seconds.
        manager = TaskManager(include_defaults=False, metadata=metadata)
        for name, entry in index(options.include_path).items():
            path = None if entry.path is None else Path(entry.path)
            manager.task_index[name] = Entry(name, kinds[entry.kind], path, tags=set(entry.members))
        changes = deepcopy(options.overrides) | (_splits(definition, options) if definition.members is None else {})
        try:
            built = TaskFactory(meta=metadata).build(
                manager.task_index[options.task], overrides=changes or None, registry=manager.task_index
            )
            loaded: dict[str, Any] = manager.load(built if isinstance(built, list) else [built])
        except ImportError as error:
            raise UsageError(
                f"lm-eval task {options.task}: it needs a Python package ({first_line(error)}); install it and repeat"
            ) from error
        except Exception as error:  # the hub client and other people's definitions raise whatever they like
            raise UsageError(
                f"lm-eval task {options.task}: its data cannot be had ({type(error).__name__}: {first_line(error)});"
                " repeat with a network connection, or give files with options.dataset_path: json and"
                " options.dataset_kwargs: {data_files: {SPLIT: FILE}}"
            ) from error
        for task in loaded["tasks"].values():
            _set(task, options)
    return loaded


def _splits(task: Definition, options: LmEvalOptions) -> dict[str, None]:
    """Splits that local files do not have, left out where no example is drawn from them."""
    files = options.dataset_kwargs.get("data_files")
    shots = options.num_fewshot if task.config.get("num_fewshot") != 0 else 0
    if not isinstance(files, dict) or (task.config.get("num_fewshot") if shots is None else shots):
        return {}
    return {split: None for split in SPLITS if (name := task.config.get(split)) and name not in files}


def _set(task: Any, options: LmEvalOptions) -> None:
    """As lm_eval.evaluator.simple_evaluate does, which asks pip for every package and is therefore not called."""
    if options.gen_kwargs and task.get_config("output_type") == "generate_until":
        task.set_config(key="generation_kwargs", value=dict(options.gen_kwargs), update=True)
    own = task.get_config("num_fewshot")
    if options.num_fewshot is not None and own != 0:  # a task that sets none can have none
        task.set_config(key="num_fewshot", value=options.num_fewshot)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=OTHER_SEED)


def evaluate(lm: Any, loaded: Mapping[str, Any], options: LmEvalOptions) -> dict[str, Any]:
    """lm-eval's results with its samples; raises UsageError for what it refuses."""
    import torch
    from lm_eval import evaluator

    unsafe = [name for name, task in loaded["tasks"].items() if getattr(task, "UNSAFE_CODE", False)]
    if unsafe and not options.confirm_run_unsafe_code:
        raise UsageError(
            f"lm-eval task {unsafe[0]} runs code that the model writes; set options.confirm_run_unsafe_code: true,"
            " and HF_ALLOW_CODE_EVAL=1, in a place where that may be done"
        )
    images = [name for name, task in loaded["tasks"].items() if getattr(task, "MULTIMODAL", False)]
    if images:
        raise UsageError(f"lm-eval task {images[0]} shows images or plays sounds; only tasks of text can be run")
    random.seed(SEED)
    np.random.seed(OTHER_SEED)
    torch.manual_seed(OTHER_SEED)
    multiturn = options.fewshot_as_multiturn
    with quiet():
        results: dict[str, Any] = evaluator.evaluate(
            lm,
            dict(loaded),
            limit=options.limit,
            bootstrap_iters=0,
            log_samples=True,
            system_instruction=options.system_instruction,
            apply_chat_template=options.apply_chat_template,
            fewshot_as_multiturn=bool(options.apply_chat_template) if multiturn is None else multiturn,
            confirm_run_unsafe_code=options.confirm_run_unsafe_code,
        )
    return results
