"""What a process of a team does for a stage: everything that it needs is in its job, so that it can be sent one."""

from __future__ import annotations

from collections.abc import Callable

from ropo_bench.training.team.job import Job


def run(job: Job, on_step: Callable[[int, int], None]) -> None:
    """Do the job as a member of the team that the environment describes; on_step(steps or pairs done, tokens)."""
    if job.method is None:
        from ropo_bench.training.reference import make_reference

        make_reference(job, on_step)
    else:
        from ropo_bench.training.policy import train

        train(job, job.method, on_step)
