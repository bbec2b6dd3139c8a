"""Print the content key of every stage of a small request, as JSON; nothing is made and no torch is loaded.

Run by test_code_in_keys.py with the folder of a tiny suite, over a copy of the package on PYTHONPATH.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ropo_bench.request import Asked, resolve
from ropo_bench.stages import canaries, completions, merged, pairs, policy, reference, scores
from ropo_bench.stages.bench import Bench
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress

folder = Path(sys.argv[1])
request = resolve(Asked("ropo,dpo", "tiny", include=[folder], backend="hf"))
bench = Bench(Store(folder / "runs"), request.suite, Progress(), judges=request.judges)
keys = {"pairs": pairs.stage(bench).key, "reference": reference.stage(bench, request.methods[0].train).key}
for method in request.methods:
    trained = policy.stage(bench, method, 0)
    whole = merged.stage(bench, trained.key)
    model = merged.model(whole, 0)
    keys |= {f"policy {method.name}": trained.key, f"merged {method.name}": whole.key}
    for task in request.tasks:
        if task.prompts is not None:
            keys[f"completions {method.name} {task.name}"] = completions.stage(bench, model, task).key
        keys[f"scores {method.name} {task.name}"] = scores.stage(bench, model, task).key
for task in request.tasks:
    if task.prompts is not None:
        keys[f"completions SFT {task.name}"] = completions.stage(bench, bench.base, task).key
    keys[f"scores SFT {task.name}"] = scores.stage(bench, bench.base, task).key
    if task.name in request.judges:
        keys[f"canaries {task.name}"] = canaries.stage(bench, task).key
assert "torch" not in sys.modules
print(json.dumps(keys))
