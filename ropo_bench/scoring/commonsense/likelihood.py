"""Eight commonsense tasks by log-likelihood, with lm-eval's prompt forms and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.commonsense.data import chosen_tasks, data_of, load_tasks
from ropo_bench.scoring.lm_eval.lm import make_lm, run_tasks
from ropo_bench.types import Score
from ropo_bench.types.engines import Subject


def score(task: TaskRecipe, subject: Subject) -> list[Score]:
    """`accuracy/TASK` (0 or 100 an item), `accuracy_norm/TASK` where lm-eval gives acc_norm, and `accuracy`.

    `accuracy` holds every item again, with its task in detail: the estimator macro_mean gives the unweighted
    mean of the tasks. detail of accuracy/TASK: prediction and target (index of a choice), logps (summed
    log-probability of each choice, nats), data (an asset's name, or hub:NAME).
    Options: tasks (all eight), num_fewshot (0), data (auto, local or hub), limit (rows of each task), batch_size
    (1, as lm-eval's own command; more is faster on a GPU and may change a log-probability's last digits).
    Plain text without a chat template, cut from the left where the context is too short, as lm-eval does.
    Raises UsageError for a wrong option, and for data that cannot be had.
    """
    options = task.options
    data = data_of(task)
    loaded = load_tasks(data, int(options.get("num_fewshot", 0)))
    samples = run_tasks(make_lm(subject, int(options.get("batch_size", 1))), loaded, options.get("limit"))
    return [
        one
        for name in chosen_tasks(task)
        for sample in samples[name]
        for one in _item_scores(name, sample, loaded[name], data[name])
    ]


def _item_scores(name: str, sample: Mapping[str, Any], definition: Any, data: str) -> Iterator[Score]:
    item = f"{name}:{sample['doc_id']}"
    logps = [float(logp) for logp, _ in sample["filtered_resps"]]
    prediction = int(np.argmax(logps))
    # WinoGrande has one context a choice; there lm-eval keeps the right one's index as the text of the item.
    target = int(definition.doc_to_text(sample["doc"]) if definition.multiple_input else sample["target"])
    assert (prediction == target) == bool(sample["acc"])
    detail = {
        "prediction": prediction,
        "target": target,
        "logps": [round(logp, 5) for logp in logps],
        "data": data,
    }
    value = 100.0 * sample["acc"]
    yield Score(item, item, "accuracy", value, detail={"task": name})
    yield Score(item, item, f"accuracy/{name}", value, detail=detail)
    if "acc_norm" in sample:
        yield Score(item, item, f"accuracy_norm/{name}", 100.0 * sample["acc_norm"])
