"""Several real processes on one machine (gloo on the loopback interface) make the same policy as one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file
from torch.distributed import TCPStore

from ropo_bench.errors import MethodFailed, UsageError
from ropo_bench.recipes.method import AdapterRecipe, LossRecipe, MethodRecipe, TrainRecipe
from ropo_bench.training import checkpoint
from ropo_bench.training.team.job import LOGPS, TRAINED, Job
from ropo_bench.training.team.launch import PROCESSES, WORKER, Launch, adopt, run, worker_environment
from tests.forked import python

MEMBER = Path(__file__).with_name("member_of_team.py")
WORDS = ("tell", "me", "about", "rain", "and", "sun", "please", "now", "yes", "no")
ADAPTERS = {
    "ropo": AdapterRecipe(name="ropo"),
    "lora": AdapterRecipe(name="lora", options={"r": 4, "lora_alpha": 8}),
    "full": AdapterRecipe(name="full"),
}
CASES = {  # name: (adapter, loss, sharded)
    "ropo": ("ropo", "sigmoid", False),
    "full": ("full", "sigmoid", False),
    "kto-pair": ("ropo", "kto-pair", False),
    "alpha-dpo": ("ropo", "alpha-dpo", False),
    "bco": ("full", "bco", False),
    "lora, sharded base": ("lora", "sigmoid", True),
    "full, sharded": ("full", "sigmoid", True),
    "kto-pair, sharded": ("full", "kto-pair", True),
}


def nothing(step: int, tokens: int) -> None:
    """Where nobody watches."""


class Killed(Exception):
    pass


class Bench:
    """A folder of jobs on eleven pairs of various lengths, batch 5: the last step has fewer pairs than processes."""

    def __init__(self, root: Path, base: Path) -> None:
        self.root, self.base, self.pairs = root, base, root / "pairs.jsonl"
        lines = [
            {
                "id": f"p{number}",
                "prompt": [{"role": "user", "content": " ".join(WORDS[: 1 + number % 5])}],
                "chosen": " ".join(WORDS[number % 7 :]),
                "rejected": " ".join(WORDS[: 1 + (3 * number) % 8]),
            }
            for number in range(11)
        ]
        self.pairs.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def job(self, name: str, adapter: str, loss: str, micro_batch_size: int, reference: Path | None) -> Job:
        folder = self.root / name
        folder.mkdir(parents=True)
        train = TrainRecipe(
            lr=1e-2,
            batch_size=5,
            micro_batch_size=micro_batch_size,
            schedule="constant",
            warmup_ratio=0.0,
            checkpoint_every_steps=2,
        )
        method = MethodRecipe(
            name="m", description="d", adapter=ADAPTERS[adapter], loss=LossRecipe(name=loss), train=train
        )
        return Job(
            base=self.base,
            base_name="tiny",
            pairs=self.pairs,
            folder=folder,
            train=train,
            method=method,
            reference=reference,
        )

    def reference_job(self, name: str, micro_batch_size: int) -> Job:
        return self.job(name, "full", "sigmoid", micro_batch_size, None).model_copy(update={"method": None})


class Outcome:
    """What one process (micro 5) and two (micro 1) made of the same jobs."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        alone = bench.reference_job("reference-one", 5)
        run(alone, Launch(), nothing)
        self.logps = alone.folder / LOGPS
        cases: list[tuple[Job, bool]] = []
        for name, (adapter, loss, shard) in CASES.items():
            one = bench.job(f"one/{name}", adapter, loss, 5, self.logps)
            run(one, Launch(), nothing)
            cases.append((bench.job(f"two/{name}", adapter, loss, 1, self.logps), shard))
        cases.append((self._resumed("ropo"), False))
        cases.append((self._resumed("full"), True))
        cases.append((self._diverging(), False))
        for name in ("reference-two", "reference-resumed"):
            cases.append((bench.reference_job(name, 5), False))
        first = self.logps.read_text().splitlines()[0]
        killed = bench.root / "reference-resumed" / "part-7.jsonl"  # of an attempt by more processes
        killed.write_text(first + "\n" + first[:9])
        self._run(cases)

    def _resumed(self, adapter: str) -> Job:
        """A job that one process began and left at a checkpoint after step 2."""
        job = self.bench.job(f"two/resumed {adapter}", adapter, "sigmoid", 1, self.logps)

        def kill(step: int, tokens: int) -> None:
            if step == 3:
                raise Killed

        with pytest.raises(Killed):
            run(job, Launch(), kill)
        assert (job.folder / checkpoint.NAME).exists()
        return job

    def _diverging(self) -> Job:
        """One pair's reference is not a number: in its step one of the two processes gets a loss that is none."""
        records = [json.loads(line) for line in self.logps.read_text().splitlines()]
        records = [record | ({"chosen": math.nan} if record["id"] == "p3" else {}) for record in records]
        path = self.bench.root / "broken.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return self.bench.job("two/diverging", "ropo", "sigmoid", 1, path)

    def _run(self, cases: list[tuple[Job, bool]]) -> None:
        """By the members of one team, that meet as the workers of a launch do."""
        file = self.bench.root / "cases.json"
        file.write_text(json.dumps([{"job": json.loads(j.model_dump_json()), "shard": s} for j, s in cases]))
        store = TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
        script = MEMBER.read_text()
        team = [python(script, str(file), **worker_environment(rank, Launch(2), store.port)) for rank in (0, 1)]
        for member in team:
            _, errors = member.communicate(timeout=240)
            assert member.returncode == 0, errors[-3000:]

    def endings(self, name: str) -> list[str]:
        return [(self.bench.root / name / f"ending-{rank}").read_text() for rank in (0, 1)]


@pytest.fixture(scope="module")
def outcome(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return Outcome(Bench(tmp_path_factory.mktemp("jobs"), base_folder))


def policy(folder: Path) -> dict[str, Any]:
    """The saved tensors of a policy."""
    (path,) = (folder / "policy").glob("*.safetensors")
    return load_file(path)


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


def assert_same(one: Path, two: Path) -> None:
    """The policies agree to fp32 rounding, after steps of 1e-2 each, and so do loss, gradient norm and metrics.

    On the whole: Adam divides a gradient by its own size, also one that is nothing but rounding.
    """
    a, b = policy(one), policy(two)
    assert a.keys() == b.keys()
    for name in a:
        difference = a[name] - b[name]
        assert difference.square().mean().sqrt() <= 2e-6, name
        assert difference.abs().max() <= 1e-3, name
    assert [record["step"] for record in log(two)] == [1, 2, 3]
    for left, right in zip(log(one), log(two), strict=True):
        assert left.keys() == right.keys()
        for key in left.keys() - {"seconds"}:
            assert left[key] == pytest.approx(right[key], rel=1e-4, abs=1e-5), key
    told = [json.loads((folder / TRAINED).read_text()) for folder in (one, two)]
    for key in ("num_steps", "num_tokens", "num_pairs", "trainable_params", "total_params"):
        assert told[0][key] == told[1][key]


@pytest.mark.parametrize("name", CASES)
def test_two_processes_with_micro_1_are_one_process(outcome: Outcome, name: str) -> None:
    assert outcome.endings(f"two/{name}") == ["done", "done"]
    assert_same(outcome.bench.root / "one" / name, outcome.bench.root / "two" / name)


@pytest.mark.parametrize(("resumed", "whole"), [("ropo", "ropo"), ("full", "full, sharded")])
def test_what_one_process_began_two_finish(outcome: Outcome, resumed: str, whole: str) -> None:
    assert_same(outcome.bench.root / "one" / whole, outcome.bench.root / "two" / f"resumed {resumed}")


def test_a_loss_that_is_no_number_on_one_process_ends_all_with_the_same_error(outcome: Outcome) -> None:
    first, second = outcome.endings("two/diverging")
    assert first == second
    assert first.startswith("TrainingDiverged: training: loss nan")
    assert "p3" in first


@pytest.mark.parametrize("name", ["reference-two", "reference-resumed"])
def test_the_reference_pass_is_shared_out_and_joined(outcome: Outcome, name: str) -> None:
    folder = outcome.bench.root / name
    one = {r["id"]: r for r in map(json.loads, outcome.logps.read_text().splitlines())}
    two = [json.loads(line) for line in (folder / LOGPS).read_text().splitlines()]
    assert {record["id"]: record for record in two} == one  # the same batches, so the same bits
    assert len(two) == 11
    assert not list(folder.glob("part-*"))


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if WORKER in child.cmdline()]


@pytest.mark.slow
def test_a_killed_process_ends_the_team_and_the_next_goes_on(
    outcome: Outcome, tmp_path: Path, base_folder: Path
) -> None:
    job = Bench(tmp_path, base_folder).job("launched", "ropo", "sigmoid", 1, outcome.logps)

    def kill_one(step: int, tokens: int) -> None:
        if step == 1:
            next(w for w in workers() if w.environ()["RANK"] == "1").kill()

    with pytest.raises(MethodFailed, match=r"process 2 of 2 was killed by SIGKILL.*repeat the command"):
        run(job, Launch(2), kill_one)
    assert not workers()
    steps: list[int] = []
    run(job, Launch(2), lambda step, tokens: steps.append(step))
    assert steps[-1] == 3
    assert not workers()
    assert_same(outcome.bench.root / "one" / "ropo", job.folder)


def test_of_a_launchers_processes_the_first_is_the_command() -> None:
    launched = {"WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "1", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "x"}
    kept = {"ACCELERATE_USE_FSDP": "true", "LOCAL_SCRATCH": "/fast"}
    first = {**launched, **kept, "RANK": "0", "LOCAL_RANK": "0"}
    assert adopt(first)
    assert first == {**kept, PROCESSES: "4"}
    assert not adopt({**launched, "RANK": "3"})
    alone = {"HOME": "/"}
    assert adopt(alone)
    assert alone == {"HOME": "/"}
    with pytest.raises(UsageError, match="several machines"):
        adopt({**launched, "RANK": "0", "GROUP_WORLD_SIZE": "2"})


def test_a_worker_does_not_inherit_the_launchers_own_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("GROUP_RANK", "0")
    monkeypatch.setenv("FSDP_OFFLOAD_PARAMS", "true")
    found = worker_environment(1, Launch(2, shard=True), 4711)
    assert {"RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "4711", "FSDP_VERSION": "2"}.items() <= found.items()
    assert found["FSDP_OFFLOAD_PARAMS"] == "true"
    assert not {"TORCHELASTIC_RUN_ID", "GROUP_RANK"} & found.keys()
