"""Definitions in lm-eval's language with their data files, in the style of its real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHOICE = """
task: tiny_choice
dataset_path: json
dataset_kwargs: {{data_files: {{train: {data}/choice_train.jsonl, test: {data}/choice.jsonl}}, cache_dir: {cache}}}
output_type: multiple_choice
training_split: train
fewshot_split: train
test_split: test
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
num_fewshot: 2
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
  - metric: brier_score
    aggregation: brier_score
    higher_is_better: false
"""
MATHS = """
task: tiny_maths
dataset_path: json
dataset_kwargs: {{data_files: {{train: {data}/maths_train.jsonl, test: {data}/maths.jsonl}}, cache_dir: {cache}}}
output_type: generate_until
training_split: train
fewshot_split: train
test_split: test
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{answer}}}}"
num_fewshot: 1
generation_kwargs: {{until: ["Question:", "q"], do_sample: false, temperature: 0.0, max_gen_toks: 40}}
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    regexes_to_ignore: [",", "(?s).*#### "]
filter_list:
  - name: strict-match
    filter: [{{function: regex, regex_pattern: "(?s)(.+)"}}, {{function: take_first}}]
  - name: flexible-extract
    filter: [{{function: regex, group_select: -1, regex_pattern: "([a-zA-Z])|([0-9])"}}, {{function: take_first}}]
"""
PART = """
task: tiny_{part}
include: _part_yaml
dataset_kwargs: {{data_files: {{test: {data}/{part}.jsonl}}, cache_dir: {cache}}}
"""
PART_TEMPLATE = """
dataset_path: json
output_type: multiple_choice
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
GROUP = """
group: tiny_group
task: [tiny_east, tiny_west]
aggregate_metric_list: [{metric: acc, weight_by_size: false}]
"""
TEXTS = """
task: tiny_texts
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}/texts.jsonl}}, cache_dir: {cache}}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
"""
ORDERS = """
task: tiny_orders
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}/orders.jsonl}}, cache_dir: {cache}}}
output_type: generate_until
test_split: test
doc_to_text: order
doc_to_target: 0
generation_kwargs: {{until: [], do_sample: false, max_gen_toks: 12}}
process_results: !function orders.process_results
metric_list:
  - {{metric: prompt_level_strict_acc, aggregation: mean, higher_is_better: true}}
  - {{metric: inst_level_strict_acc, aggregation: !function orders.of_all, higher_is_better: true}}
"""
ORDERS_PY = """
def process_results(doc, results):
    followed = [letter in results[0] for letter in doc["letters"]]
    return {"prompt_level_strict_acc": all(followed), "inst_level_strict_acc": followed}


def of_all(items):
    flat = [item for part in items for item in part]
    return sum(flat) / len(flat)
"""
NOUNS = ("cat", "river", "stone", "window", "garden", "letter", "winter", "bridge", "market")


def write(folder: Path) -> Path:
    """All definitions in folder/tasks, their data in folder/data; the folder of the definitions."""
    tasks, data, cache = folder / "tasks", folder / "data", folder / "cache"
    tasks.mkdir(parents=True)
    data.mkdir()
    places = {"data": data, "cache": cache}
    for text, name in ((CHOICE, "choice"), (MATHS, "maths"), (TEXTS, "texts"), (ORDERS, "orders")):
        (tasks / f"{name}.yaml").write_text(text.format(**places))
    for part in ("east", "west"):
        (tasks / f"{part}.yaml").write_text(PART.format(part=part, **places))
    (tasks / "_part_yaml").write_text(PART_TEMPLATE)
    (tasks / "group.yaml").write_text(GROUP)
    (tasks / "orders.py").write_text(ORDERS_PY)
    rows(data / "choice.jsonl", questions(0, 7))
    rows(data / "choice_train.jsonl", questions(20, 5))
    rows(data / "east.jsonl", questions(40, 5))
    rows(data / "west.jsonl", questions(60, 9))
    rows(data / "maths.jsonl", sums(0, 6))
    rows(data / "maths_train.jsonl", sums(30, 4))
    rows(data / "texts.jsonl", [{"text": " ".join(NOUNS[(i + j) % 9] for j in range(3 + 45 * i))} for i in range(4)])
    letters = [["e"], ["a", "t", "x"], ["o", "i"], ["e", "z", "u"]]
    rows(data / "orders.jsonl", [{"order": f"Write {NOUNS[i]}.", "letters": one} for i, one in enumerate(letters)])
    return tasks


def rows(path: Path, values: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


def questions(start: int, number: int) -> list[dict[str, Any]]:
    return [
        {
            "question": f"What is beside the {NOUNS[i % 9]} of number {i}?",
            "choices": [f"a {NOUNS[(i + 1) % 9]}", f"the {NOUNS[(3 * i + 2) % 9]} over there"],
            "answer": i * i % 3 % 2,
        }
        for i in range(start, start + number)
    ]


def sums(start: int, number: int) -> list[dict[str, Any]]:
    return [
        {"question": f"What is {i} + {2 * i + 1}?", "answer": f"Added up.\n#### {3 * i + 1}"}
        for i in range(start, start + number)
    ]
