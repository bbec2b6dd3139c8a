"""What a run would find done and what it would do, step by step, from content keys alone; nothing is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from ropo_bench.models.size import anatomy
from ropo_bench.planning import num_steps, reads_reference
from ropo_bench.planning.explain import reason
from ropo_bench.planning.judge_requests import canary_requests, requests
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.request import Request
from ropo_bench.runs.provenance import hardware
from ropo_bench.runs.record import SFT
from ropo_bench.sources.models import local_model
from ropo_bench.sources.pairs import data_source
from ropo_bench.sources.prompt_files import PROMPT_SETS
from ropo_bench.sources.prompts import read_prompts
from ropo_bench.stages import canaries, completions, merged, pairs, policy, reference, scores
from ropo_bench.stages.bench import Bench, Model
from ropo_bench.stages.judges import num_unanswered
from ropo_bench.store import Stage, Store, canonical_json
from ropo_bench.terminal.progress import Progress
from ropo_bench.types import JudgeCall

DONE, BEGUN, TO_DO = "cached", "begun", "to do"


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of one row: its state, and the seconds that it took (cached) or may take (None: no basis).

    calls_left: requests that a judge has not answered; None where there are no answers yet to ask about. because: why
    it is to be made, empty where that cannot be said yet.
    """

    row: str
    seed: int
    stage: str
    what: str
    state: str
    seconds: float | None = None
    calls_left: int | None = None
    because: str = ""


class Inventory:
    """A request against a store. nothing_because: why no stage can be there; None where they were looked up."""

    def __init__(self, request: Request, store: Store) -> None:
        self.request, self.store = request, store
        self.base = local_model(request.suite.base)
        self.anatomy = anatomy(request.suite)
        # The folder in place of a hub id, which would be asked for at the hub.
        here = {} if self.base is None else {"base": str(self.base)}
        self.bench = Bench(store, request.suite.model_copy(update=here), Progress(), judges=request.judges)
        self.pairs = pairs.find(store, request.suite.data, self.base, ask=False)
        self.nothing_because: str | None = None
        if self.base is None:
            self.nothing_because = f"the base model {request.suite.base} is not on this machine"
        elif not any(store.root.glob("cache/*/*/manifest.json")):
            self.nothing_because = f"nothing is finished in {store.root}"  # and no 16 GB need be hashed to know it

    def steps(self) -> list[Step]:
        """Every stage of every row in the order of the run; shared ones once, with their first row."""
        steps = [*self._reference(), *self._row(SFT, 0, None, self._base_model()), *self._canaries()]
        for label, name in self.request.checkpoints.items():
            steps += self._row(label, 0, None, self._checkpoint(name))
        for method in self.request.methods:
            for seed in self.request.training_seeds:
                steps += self._row(method.name, seed, method, None)
        return self._with_seconds(steps)

    def _base_model(self) -> Model | None:
        return None if self.nothing_because else self.bench.base

    def _checkpoint(self, name: str) -> Model | None:
        """A checkpoint that is here and whole; an adapter's merged model is not looked up."""
        folder = None if self.nothing_because else local_model(name)
        if folder is None or (folder / "adapter_config.json").is_file():
            return None
        return self.bench.checkpoint(str(folder))

    def _reference(self) -> Iterator[Step]:
        seen = set()
        for method in self.request.methods:
            train = method.train
            settings = (train.max_length, train.max_prompt_length, train.dtype)
            if not reads_reference(method) or settings in seen:
                continue
            seen.add(settings)
            what = f"{train.max_length} tokens, {train.dtype}"
            yield self._step(
                SFT, 0, "reference", what, reference.stage(self.bench, train) if self._trained_here() else None
            )

    def _canaries(self) -> Iterator[Step]:
        """The check of every task's judge; its row is the judge."""
        for task in self.request.tasks:
            judge = self.request.judges.get(task.name)
            if judge is not None and self.request.canaries:
                stage = None if self.nothing_because else canaries.stage(self.bench, task)
                step = self._step(judge.name, 0, "canaries", task.name, stage)
                calls = canary_requests(self.bench, task) if stage is not None and step.state != DONE else None
                yield replace(step, calls_left=self._left(judge, calls))

    def is_trained(self, method: MethodRecipe, seed: int) -> bool:
        """Whether the policy that this method trains with this seed is stored already."""
        return self._trained_here() and policy.stage(self.bench, method, seed).done

    def _trained_here(self) -> bool:
        """Whether a training may be stored: its key needs the pairs, which are the first thing that it makes."""
        return self.nothing_because is None and self.pairs.done

    def _row(self, name: str, seed: int, method: MethodRecipe | None, model: Model | None) -> Iterator[Step]:
        if method is not None:
            here = self._trained_here()
            trained = policy.stage(self.bench, method, seed) if here else None
            whole = None if trained is None else merged.stage(self.bench, trained.key)
            yield self._step(name, seed, "train", method.name, trained)
            yield self._step(name, seed, "merge", method.name, whole)
            model = None if whole is None else merged.model(whole, seed)
        drawn = set()
        for task in self.request.tasks:
            if task.decoding is None:
                continue
            answers = canonical_json([task.prompts, task.decoding.model_dump()])
            if answers not in drawn:  # tasks with the same prompts and decoding share their answers
                drawn.add(answers)
                stage = None if model is None else completions.stage(self.bench, model, task)
                yield self._step(name, seed, "generate", task.name, stage)
        for task in self.request.tasks:
            stage = None if model is None else scores.stage(self.bench, model, task)
            step = self._step(name, seed, "judge" if task.name in self.request.judges else "score", task.name, stage)
            failed = model is not None and step.state == DONE and not scores.are_final(self.bench, model, task)
            step = replace(step, state=BEGUN) if failed else step
            judge = self.request.judges.get(task.name)
            if judge is not None and model is not None and step.state != DONE:
                step = replace(step, calls_left=self._left(judge, requests(self.bench, model, task)))
            yield step

    def _left(self, judge: JudgeRecipe, calls: Sequence[JudgeCall] | None) -> int | None:
        if calls is None or not judge.chats:
            return None
        return num_unanswered(self.store, judge, calls)

    def _step(self, row: str, seed: int, stage: str, what: str, result: Stage | None) -> Step:
        if result is None:
            return Step(row, seed, stage, what, TO_DO)
        if result.done:
            return Step(row, seed, stage, what, DONE, result.manifest.get("seconds"))
        why = reason(self.store, result)
        return Step(row, seed, stage, what, BEGUN if result.path.exists() else TO_DO, because=why)

    def _with_seconds(self, steps: list[Step]) -> list[Step]:
        """The steps, with the seconds expected of those not done: the mean over other rows and runs of the store."""
        seconds: dict[tuple[str, str], list[float]] = {}
        for step in steps:
            if step.state == DONE and step.seconds is not None and step.stage != "train":
                seconds.setdefault((step.stage, step.what), []).append(step.seconds)
        for method in self.request.methods:
            seconds["train", method.name] = list(self._trainings(method))
        return [
            step
            if step.state == DONE or not seconds.get((step.stage, step.what))
            else replace(step, seconds=fmean(seconds[step.stage, step.what]))
            for step in steps
        ]

    def _trainings(self, method: MethodRecipe) -> Iterator[float]:
        """Seconds that finished trainings of the method imply: same size of model, kind of machine, and lengths."""
        num_pairs = self.num_pairs()
        if num_pairs is None or self.anatomy is None:
            return
        here = _machine(hardware())
        for training in self.store.finished("policy"):
            content = training.manifest
            same = content["method"] == method.name and content["total_params"] == self.anatomy.num_parameters
            if same and _machine(content["made_with"]["hardware"]) == here:
                yield content["seconds"] / content["num_steps"] * num_steps(num_pairs, method.train)

    def num_pairs(self) -> int | None:
        """Preference pairs: counted before, counted now in a local file, or as the suite says."""
        if self.pairs.done:
            return int(self.pairs.manifest["num_pairs"])
        source = data_source(self.request.suite.data)
        if Path(source).is_file():
            from ropo_bench.preferences import read_pairs

            return len(read_pairs(source).pairs)
        return self.request.suite.num_pairs


def num_turns(task: TaskRecipe) -> tuple[int, int]:
    """(prompts, turns of all prompts) of a task; the public sets need not be here."""
    assert task.prompts is not None
    if task.prompts in PROMPT_SETS:
        return PROMPT_SETS[task.prompts].num_prompts, PROMPT_SETS[task.prompts].num_turns
    prompts = read_prompts(task.prompts)
    return len(prompts), sum(len(prompt.turns) for prompt in prompts)


def _machine(hardware: Mapping[str, Any]) -> Any:
    return hardware["cpu"], hardware["cores"], hardware["gpus"]
