"""The stages of evaluation: completions -> scores, asking a judge between them where a task wants one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ropo_bench.making import evaluation as making
from ropo_bench.making.judging import JudgeRoom, judge_key
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.objects import resolve_object
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring import DATA
from ropo_bench.sources.assets import entries
from ropo_bench.sources.options import option_key
from ropo_bench.sources.prompts import answers_key, prompts_key
from ropo_bench.stages.training import Model, Stages, users_code
from ropo_bench.store import Stage, Store, content_key, source_hash
from ropo_bench.weights.files import is_adapter

if TYPE_CHECKING:
    from ropo_bench.judging.ledger import Budget
    from ropo_bench.types.engines import Engine

SCORING_ENGINES = ("lm-eval", "datasets", "numpy", "scikit-learn")
VARIANT_SEED = 1_000_000  # far from the seeds of trained models
FAILED = "num_failed"
CANARY_CODE = ("ropo_bench.judging.canaries", "ropo_bench.judging.canary_power")


class Evaluation:
    """Completions and scores of every model of one base and preference data set.

    judges: by the name of the task. At most one model is in memory at a time; `with` gives its memory back.
    """

    def __init__(
        self, stages: Stages, judges: Mapping[str, JudgeRecipe] | None = None, budget: Budget | None = None
    ) -> None:
        self.stages, self.store, self.suite, self.progress = stages, stages.store, stages.suite, stages.progress
        self.judges = dict(judges or {})
        self.room = JudgeRoom(self.store, self.progress, budget)
        self.scoring_versions = {name: stages.versions.get(name) for name in SCORING_ENGINES}
        self._engine: tuple[str, Engine] | None = None
        self.engine_error: float | None = None
        """Of the model in memory, where its certificate left tokens to ask for: see merging.engine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.room.close()
        self.close_engine()

    def preflight(self, tasks: Sequence[TaskRecipe]) -> None:
        """Raise UsageError for a scorer, judge or prompt set that is not there, before anything expensive."""
        making.preflight(self, tasks)

    def check_models(self, tasks: Sequence[TaskRecipe], checkpoints: Mapping[str, str], training: bool) -> None:
        """Raise UsageError for a base or a checkpoint that cannot be loaded as its folder says, before any is.

        checkpoints: folder or hub id by row. training: whether the base will be trained. What needs no loading any
        more is not looked at.
        """
        base = self.stages.base
        models = {row: self.stages.checkpoint(name) for row, name in checkpoints.items()}
        adapters = {row: model for row, model in models.items() if is_adapter(model.folder)}
        unmerged = [row for row, model in adapters.items() if not self.stages.merged_checkpoint(model).done]
        if training or unmerged or self._will_load(base, tasks):
            making.check_model(base.folder, "hf" if training or unmerged else self.backend)
        for row, model in models.items():
            if row in unmerged:
                making.check_adapter(row, base.folder, model.folder)
            elif row not in adapters and self._will_load(model, tasks):
                making.check_model(model.folder, self.backend)

    def _will_load(self, model: Model, tasks: Sequence[TaskRecipe]) -> bool:
        """Whether a model must be in memory for what is left of its tasks."""
        left = [task for task in tasks if not (self.finished(model, task) and self.answered(model, task))]
        return any(task.prompts is None or not self.completions(model, task).done for task in left)

    # -- engines ---------------------------------------------------------------------------------------------

    @property
    def backend(self) -> str:
        """The backend that generates here: the suite's, where it says auto vLLM if it can serve the base."""
        from ropo_bench.generation import choose_backend

        return choose_backend(self.stages.base.folder, self.suite.backend)

    def engine(self, model: Model) -> Engine:
        """The model in memory, in place of whatever was there; raises CertificateFailed if it answers otherwise."""
        from ropo_bench.generation import start
        from ropo_bench.merging.engine import check_engine

        if self._engine is None or self._engine[0] != model.key:
            self.room.close()
            self.close_engine()
            loaded = start(model.folder, self.backend, self.suite.merge.dtype, self.suite.vllm)
            try:
                self.engine_error = check_engine(loaded, model.folder, self.suite.merge.dtype)
            except BaseException:
                loaded.close()
                raise
            self._engine = model.key, loaded
        return self._engine[1]

    def close_engine(self) -> None:
        """Give the memory of the loaded model back."""
        if self._engine is not None:
            self._engine[1].close()
            self._engine = None

    def _engine_versions(self) -> dict[str, Any]:
        own = {"vllm": self.stages.versions.get("vllm")} if self.backend == "vllm" else {}
        return {"backend": self.backend, **self.stages.engines, **own}

    # -- completions -----------------------------------------------------------------------------------------

    def completions(self, model: Model, task: TaskRecipe) -> Stage:
        """A model's answers to a task's prompts; tasks with the same prompts and decoding share them."""
        assert task.prompts is not None
        assert task.decoding is not None
        inputs: dict[str, Any] = {
            "model": model.key,
            "prompts": prompts_key(task.prompts),
            "decoding": task.decoding.model_dump(),
            "dtype": self.suite.merge.dtype,
            "seed": model.seed,
            "code": source_hash(*making.GENERATION_CODE),
            "engines": self._engine_versions(),
        }
        return self.store.stage("completions", content_key("completions", inputs))

    def make_completions(self, model: Model, task: TaskRecipe, label: str) -> Stage:
        """Generate what is missing of a model's answers."""
        stage = self.completions(model, task)
        with self.stages.begin(stage, "generate", f"{label} {task.name}") as todo:
            if todo:
                making.make_completions(self, stage, model, task, label)
        return stage

    def baseline(self, task: TaskRecipe) -> str:
        """Key of the answers that a task's win rates are against."""
        return answers_key(task.baseline) if task.baseline else self.completions(self.stages.base, task).key

    # -- scores ----------------------------------------------------------------------------------------------

    def scores(self, model: Model, task: TaskRecipe) -> Stage:
        """The scores of a model on a task."""
        judge = self.judges.get(task.name)
        inputs: dict[str, Any] = {
            "scorer": task.scorer,
            "options": task.options,
            "files": {key: option_key(value) for key, value in task.options.items()},
            "data": resolve_object(DATA[task.scorer], {}, "data")(task) if task.scorer in DATA else None,
            "judge": _judging_key(self.store, judge) if judge else None,
            "code": source_hash(*making.SCORING_CODE),
            "users_code": [users_code(name) for name in (task.scorer, *task.options.values())],
        }
        if task.prompts is None:
            engines = {**self._engine_versions(), **self.scoring_versions}
            inputs |= {"model": model.key, "base": self.stages.base.key, "engines": engines}
        else:
            inputs |= {"completions": self.completions(model, task).key, "baseline": self.baseline(task)}
        return self.store.stage("scores", content_key("scores", inputs))

    def make_answers(self, model: Model, task: TaskRecipe, label: str) -> None:
        """Generate everything that scoring will read, and reports show: the model's answers and the baseline's."""
        if task.prompts is None:
            return
        to_score = not self.finished(model, task)
        if to_score and task.baseline is None and not self.answered(self.stages.base, task):
            self.make_completions(self.stages.base, task, "SFT")
        if not self.answered(model, task):
            self.make_completions(model, task, label)

    def make_scores(self, model: Model, task: TaskRecipe, label: str) -> Stage:
        """Score a model on a task, after its answers; measurements that failed before are tried again."""
        self.make_answers(model, task, label)
        stage = self.scores(model, task)
        redo = stage.done and bool(stage.manifest.get(FAILED))
        with self.stages.begin(stage, "score", f"{label} {task.name}", redo) as todo:
            if todo:
                making.make_scores(self, stage, model, task, label)
        return stage

    def canaries(self, task: TaskRecipe) -> Stage:
        """What is known of the biases of a task's judge."""
        assert task.prompts is not None
        inputs: dict[str, Any] = {
            "scorer": task.scorer,
            "options": task.options,
            "data": resolve_object(DATA[task.scorer], {}, "data")(task) if task.scorer in DATA else None,
            "judge": _judging_key(self.store, self.judges[task.name]),
            "prompts": prompts_key(task.prompts),
            "baseline": self.baseline(task),
            # How many items of each kind is part of it, so that a result of fewer never stands for one of more.
            "code": source_hash(*CANARY_CODE, *making.SCORING_CODE),
        }
        return self.store.stage("canaries", content_key("canaries", inputs))

    def make_canaries(self, task: TaskRecipe) -> Stage:
        """Check the judge of a task for bias, unless that was done; needs the baseline's answers."""
        stage = self.canaries(task)
        redo = stage.done and bool(stage.manifest.get(FAILED))
        with self.stages.begin(stage, "canaries", f"{self.judges[task.name].name} {task.name}", redo) as todo:
            if todo:
                making.make_canaries(self, stage, task)
        return stage

    def answered(self, model: Model, task: TaskRecipe) -> bool:
        """Whether a model's answers to a task's prompts are in the store; true of a task without prompts."""
        return task.prompts is None or self.completions(model, task).done

    def finished(self, model: Model, task: TaskRecipe) -> bool:
        """Whether a task is scored, no measurement of it failed and its judge said anything."""
        stage = self.scores(model, task)
        return stage.done and not stage.manifest.get(FAILED) and not stage.manifest.get(making.UNREAD)

    def make_variant_scores(self, task: TaskRecipe, temperature: float) -> Stage:
        """The base model decoded at another temperature and seed, against itself as the task decodes it."""
        assert task.decoding is not None
        changes = {"temperature": temperature, "seed": task.decoding.seed + VARIANT_SEED}
        variant = task.model_copy(update={"decoding": task.decoding.model_copy(update=changes)})
        answers = self.make_completions(self.stages.base, variant, f"SFT T={temperature:g}")
        baseline = self.make_completions(self.stages.base, task, "SFT")
        inputs = {"answers": answers.key, "baseline": baseline.key, "code": source_hash(*making.SCORING_CODE)}
        stage = self.store.stage("scores", content_key("scores", {**inputs, "options": task.options}))
        with stage.begin(self.progress.note) as todo:
            if todo:
                making.score_variant(stage, task, answers, baseline)
        return stage


def _judging_key(store: Store, judge: JudgeRecipe) -> str:
    """A judge, and the registered files, among which are the prompts that it is asked with."""
    registered: dict[str, Any] = {entry.name: entry.sha256 for entry in entries()}
    return content_key("judging", {"judge": judge_key(store, judge), "assets": registered})
