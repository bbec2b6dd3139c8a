"""One process of a team: `python -m ropo_bench.training.team.worker`, started by launch.py.

The environment tells its rank, the first line of standard input its job; the end of standard input is the end of
its parent, and its own. On standard output it tells, as JSON lines, {"step", "tokens"} and, when it fails,
{"error", "message"}.
"""

from __future__ import annotations

import os
import sys

from ropo_bench.errors.failures import as_expected
from ropo_bench.terminal.channel import end_with_parent, open_channel


def main() -> None:
    """Do the job; exit code 1 after an error, which is told."""
    tell = open_channel()
    line = sys.stdin.readline()
    end_with_parent()
    from ropo_bench.training import work
    from ropo_bench.training.team import devices
    from ropo_bench.training.team.job import Job

    try:
        work.run(Job.model_validate_json(line), lambda step, tokens: tell(step=step, tokens=tokens))
        devices.leave()
    except (Exception, SystemExit) as error:
        expected = as_expected(error)
        tell(error=type(expected).__name__, message=str(expected))
        os._exit(1)  # without a farewell to the others, who may wait for this process


if __name__ == "__main__":
    main()
