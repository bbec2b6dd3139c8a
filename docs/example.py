"""From Python: run two methods, look at the table, ask who is better and by how much, read the answers.

python docs/example.py [--methods ropo,dpo] [--suite pocket] [--include FOLDER] [--runs FOLDER]
"""

from __future__ import annotations

import argparse

import ropo_bench as rb

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--methods", default="ropo,dpo")
parser.add_argument("--suite", default="pocket")
parser.add_argument("--include", nargs="*", default=[])
parser.add_argument("--runs", default="runs")
options = parser.parse_args()

run = rb.run(methods=options.methods, suite=options.suite, include=options.include, runs=options.runs)
table = run.table()  # a pandas DataFrame, in full precision
print(table.xs("value", axis=1, level="part").round(1))

first, second = options.methods.split(",")
print(run.compare(first, second)[["estimate", "low", "high", "p_value", "adjusted"]].round(3))

task = next(task.name for task in run.record.request.tasks if task.prompts is not None)
for answer in run.completions(task, first).head(3).itertuples():
    print(f"{answer.prompt_id}: {answer.turns[-1]!r}")

print("merged weights:", run.model(first, seed=0))
