"""One process of a team: does the jobs of a file, one after another, and writes down how each ended.

Run by test_processes.py, with the file as its argument and its place in the team in the environment.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from ropo_bench.errors import RopoBenchError
from ropo_bench.training import work
from ropo_bench.training.team import devices
from ropo_bench.training.team.job import Job

torch.set_num_threads(1)
for case in json.loads(Path(sys.argv[1]).read_text()):
    os.environ["ACCELERATE_USE_FSDP"], os.environ["FSDP_VERSION"] = str(case["shard"]).lower(), "2"
    todo = Job.model_validate_json(json.dumps(case["job"]))
    ending = "done"
    try:
        work.run(todo, lambda step, tokens: None)
    except RopoBenchError as error:
        ending = f"{type(error).__name__}: {error}"
    (todo.folder / f"ending-{devices.team().rank}").write_text(ending)
devices.leave()
