"""Print the content key of every stage of a small request, as JSON, whenever a line is read; no torch is loaded.

Run by test_code_in_keys.py with the folder of a tiny suite, over a copy of the package on PYTHONPATH. Every answer is
by a process of its own, which imports the package as it is then: only other packages are imported before the fork.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy  # noqa: F401
import pydantic  # noqa: F401
import rich.progress  # noqa: F401
import ruamel.yaml  # noqa: F401


def keys(folder: Path) -> dict[str, str]:
    from ropo_bench.request import Asked, resolve
    from ropo_bench.stages import canaries, completions, merged, pairs, policy, reference, scores
    from ropo_bench.stages.bench import Bench
    from ropo_bench.store import Store
    from ropo_bench.terminal.progress import Progress

    request = resolve(Asked("ropo,dpo", "tiny", include=[folder], backend="hf"))
    bench = Bench(Store(folder / "runs"), request.suite, Progress(), judges=request.judges)
    found = {"pairs": pairs.stage(bench).key, "reference": reference.stage(bench, request.methods[0].train).key}
    for method in request.methods:
        trained = policy.stage(bench, method, 0)
        whole = merged.stage(bench, trained.key)
        model = merged.model(whole, 0)
        found |= {f"policy {method.name}": trained.key, f"merged {method.name}": whole.key}
        for task in request.tasks:
            if task.prompts is not None:
                found[f"completions {method.name} {task.name}"] = completions.stage(bench, model, task).key
            found[f"scores {method.name} {task.name}"] = scores.stage(bench, model, task).key
    for task in request.tasks:
        if task.prompts is not None:
            found[f"completions SFT {task.name}"] = completions.stage(bench, bench.base, task).key
        found[f"scores SFT {task.name}"] = scores.stage(bench, bench.base, task).key
        if task.name in request.judges:
            found[f"canaries {task.name}"] = canaries.stage(bench, task).key
    return found


for _ in sys.stdin:
    assert not any(name.partition(".")[0] == "ropo_bench" for name in sys.modules)
    child = os.fork()
    if not child:
        answer = json.dumps(keys(Path(sys.argv[1])))
        assert "torch" not in sys.modules
        print(answer, flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit("no keys")
