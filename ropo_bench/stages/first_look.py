"""A look at the merge after a training's first steps: what cannot pass the certificate is found after minutes.

No stage of its own: it makes no number, and its passing is noted in the folder of the policy.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ropo_bench.errors import CertificateFailed
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.suite import MergeRecipe
from ropo_bench.stages import merged
from ropo_bench.stages.bench import Bench
from ropo_bench.store import Stage, atomic_write_json, read_json
from ropo_bench.store.files import TEMPORARY_PREFIX
from ropo_bench.training.team.job import EARLY

STEPS = 50
"""Optimizer steps before the look. A training of fewer than twice so many is over before one would pay."""
NUM_PROBES = 8
PASSED = "first_look.json"


def step_of(bench: Bench, policy: Stage, total: int) -> int | None:
    """The step after which a training of so many steps stops for a look; None where none is wanted, or it passed."""
    return None if total < 2 * STEPS or _has_passed(policy, bench.suite.merge) else STEPS


def _has_passed(policy: Stage, merge: MergeRecipe) -> bool:
    """Whether a first look passed, at the same dtype and limits."""
    path = policy.path / PASSED
    return path.is_file() and bool(read_json(path)["merge"] == merge.model_dump())


def look(bench: Bench, policy: Stage, method: MethodRecipe, step: int, total: int) -> None:
    """Certify a merge of the policy as it is after its first steps; raises CertificateFailed.

    A config, a tokenizer, an adapter or a dtype that cannot pass is found after minutes. An update that is still
    small is no failure: what the cast will keep is asked of an update as large as the rest of the schedule can make
    it, if all steps go the same way.
    """
    from ropo_bench.merging.certificate import measure, shown_failures
    from ropo_bench.training.loop import learning_rate

    rates = [learning_rate(method.train, total, i) for i in range(total)]
    growth = sum(rates) / sum(rates[:step]) if any(rates[:step]) else 1.0
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=policy.path) as name:
        folder = Path(name) / "model"
        folder.mkdir()
        trained, probes, texts = merged.merge_policy(bench, policy.path / EARLY, folder, NUM_PROBES)
        certificate = measure(trained, bench.base.folder, folder, probes, bench.suite.merge, texts, growth)
    shutil.rmtree(policy.path / EARLY)
    if certificate["failures"]:
        raise CertificateFailed(
            f"first look at {method.name} after {step} of {total} steps: {shown_failures(certificate)} (what is "
            "trained is kept: mend that, and the same command goes on)"
        )
    atomic_write_json(policy.path / PASSED, {"step": step, "merge": bench.suite.merge.model_dump()})
