"""The options of an lm-eval task, under the names of lm-eval's own command line."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ropo_bench.recipes.method import Recipe


class LmEvalOptions(Recipe):
    """What lm-eval is asked for.

    task: a task, group or tag. num_fewshot: None is the task's own. apply_chat_template: true, or a template's name.
    fewshot_as_multiturn: None is whether a template is applied. gen_kwargs: over the task's generation_kwargs. limit:
    rows of each task, below 1 a share. batch_size: of the hf engine. include_path: a folder of definitions.
    dataset_path, dataset_name, dataset_kwargs: in place of the task's own data. metadata: for tasks that want some.
    confirm_run_unsafe_code: run what the model writes.
    """

    task: str
    num_fewshot: int | None = Field(default=None, ge=0)
    apply_chat_template: bool | str = False
    fewshot_as_multiturn: bool | None = None
    system_instruction: str | None = None
    gen_kwargs: dict[str, Any] = Field(default_factory=dict)
    limit: int | float | None = Field(default=None, gt=0)
    batch_size: int | Literal["auto"] = 1
    include_path: str | None = None
    dataset_path: str | None = None
    dataset_name: str | None = None
    dataset_kwargs: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    confirm_run_unsafe_code: bool = False

    @property
    def overrides(self) -> dict[str, Any]:
        """What replaces keys of the definition; local data have no configuration's name but a given one."""
        changes: dict[str, Any] = {}
        if self.dataset_path is not None:
            changes |= {"dataset_path": self.dataset_path, "dataset_name": self.dataset_name}
        elif self.dataset_name is not None:
            changes["dataset_name"] = self.dataset_name
        return changes | ({"dataset_kwargs": self.dataset_kwargs} if self.dataset_kwargs else {})
