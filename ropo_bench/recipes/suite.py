"""A suite is a table: base model, preference data, tasks, schedule and limits of the merge certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ropo_bench.errors import UsageError
from ropo_bench.recipes.method import Recipe
from ropo_bench.store.bounded import MAX_SEEDS

if TYPE_CHECKING:
    from ropo_bench.recipes.task import TaskRecipe


class MergeRecipe(Recipe):
    """The merged model's dtype and the limits of its certificate.

    mean_kl: most KL(policy || merged), in nats a token; None: 1e-5 in float32, 1e-3 below. top1_agreement: least
    share of probe tokens with the same argmax, in float32. merge_error: most |merged in memory - policy| in logits,
    over the change that training made. kept_change: least share of that change which is left after the cast.
    orthogonality: most max |R^T R - I|.
    """

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    top1_agreement: float = Field(default=0.999, ge=0, le=1)
    mean_kl: float | None = Field(default=None, ge=0)
    merge_error: float = Field(default=0.02, ge=0)
    kept_change: float = Field(default=0.1, ge=0, le=1)
    orthogonality: float = Field(default=1e-5, ge=0)


class VllmRecipe(Recipe):
    """How vLLM is started: GPUs over which a model is split, copies of it, the share of GPU memory, context."""

    tensor_parallel_size: int = Field(default=1, ge=1)
    data_parallel_size: int = Field(default=1, ge=1)
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    max_model_len: int | None = Field(default=None, ge=1)


class ShapeRecipe(Recipe):
    """Sizes of a Llama or Mistral model under their names in its config.json; head_dim: None is hidden / heads."""

    hidden_size: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    num_key_value_heads: int = Field(ge=1)
    vocab_size: int = Field(ge=1)
    head_dim: int | None = Field(default=None, ge=1)
    tie_word_embeddings: bool = False


class DecodingChange(Recipe):
    """What of a task's decoding depends on the base model; None keeps the task's own."""

    temperature: float | None = Field(default=None, ge=0)
    max_new_tokens: int | None = Field(default=None, ge=1)


class GateRecipe(Recipe):
    """What the nightly gate watches: rows and columns ("task.metric"; None: every method, every tested column).

    margins: by column, in its unit: the loss that is no regression yet. Without one it is the smallest loss that the
    gate finds in four of five cases.
    """

    rows: list[str] | None = Field(default=None, min_length=1)
    columns: list[str] | None = Field(default=None, min_length=1)
    margins: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)


class PrimaryRecipe(Recipe):
    """The comparisons that a table is made for, tested first: every row against one, on one column a task.

    against: a row. columns: "task.metric"; None: the first tested column of every task.
    """

    against: str = "SFT"
    columns: list[str] | None = Field(default=None, min_length=1)


class SuiteRecipe(Recipe):
    """`suites/NAME.yaml`.

    base: "pocket:sft", a model folder or a hub id. data: preference pairs ("pocket:preference", a file, a hub
    id). validation: the task whose first column `ropo-bench tune` selects by. tuning: its record, a name in
    results/tuning or a file. train: keys of TrainRecipe for all
    methods. overrides: method -> {"train.lr": value}, for figures that depend on the base model and were found
    with the same budget for all methods. backend: which engine generates; auto is vLLM where it is installed.
    judge: the recipe in judges/ that judges every task, in place of the tasks' own. decoding: task -> changes.
    shape, num_pairs: of base and data, for a plan made before they are on the machine. published: the base model's
    name in results/published, whose rows stand beside ours in a paper's table. primary: what its tables test first.
    """

    name: str
    description: str = Field(min_length=1)
    base: str
    data: str
    validation: str | None = None
    tuning: str | None = None
    tasks: list[str] = Field(min_length=1)
    train: dict[str, Any] = Field(default_factory=dict)
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    merge: MergeRecipe = MergeRecipe()
    backend: Literal["auto", "vllm", "hf"] = "auto"
    vllm: VllmRecipe = VllmRecipe()
    judge: str | None = None
    decoding: dict[str, DecodingChange] = Field(default_factory=dict)
    published: str | None = None
    shape: ShapeRecipe | None = None
    num_pairs: int | None = Field(default=None, ge=1)
    seeds: int = Field(default=1, ge=1, le=MAX_SEEDS)
    gate: GateRecipe = GateRecipe()
    primary: PrimaryRecipe | None = None

    def with_decoding(self, task: TaskRecipe) -> TaskRecipe:
        """The task as this suite decodes it; raises UsageError where it has no decoding that could be changed."""
        change = self.decoding.get(task.name)
        if change is None:
            return task
        if task.decoding is None:
            raise UsageError(f"suite {self.name}: decoding: task {task.name} decodes nothing; remove that key")
        decoding = task.decoding.model_copy(update=change.model_dump(exclude_none=True))
        return task.model_copy(update={"decoding": decoding})
