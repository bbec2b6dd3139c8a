"""What RUNS/<name>/run.json holds, typed: what was asked for, and what became of every row.

Whoever reads a run takes a `runs.reading.Run`, which finds the stages that a record names.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.rates import Rates
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.recipes.task import TaskRecipe

SFT = "SFT"
"""The row of the base model, which others are trained from and measured against."""
DONE, PENDING = "done", "pending"
FAILED, INCOMPLETE = "failed: ", "incomplete: "
"""Beginnings of a state that goes on with the reason."""


RETIRED_LIMIT = "surviving_share"


class _Record(BaseModel):
    """Closed: a key that this version does not know is another version's."""

    model_config = ConfigDict(extra="forbid")


class RequestRecord(_Record):
    """What a user asked for, every recipe as it was resolved."""

    suite: SuiteRecipe
    """The suite, with what the command line changed of it."""
    tasks: list[TaskRecipe]
    """The tasks in the order of their columns, decoded as the suite wants it."""
    methods: list[MethodRecipe]
    """The methods that are trained, in the order of their rows."""
    seeds: int
    """How many training seeds every method has."""
    checkpoints: dict[str, str]
    """Row name -> folder or hub id of a model that was trained elsewhere."""
    judges: dict[str, JudgeRecipe]
    """Task name -> who judges it."""
    canaries: bool
    """Whether judges are checked for bias before they judge."""
    first_seed: int = 0
    """The first of every method's seeds, which are counted up from it."""
    rates: Rates | None = None
    """How the learning rates were chosen; None in a record from before this was written down."""


class DataRecord(_Record):
    """The preference pairs that every method trained on."""

    key: str
    """Key of the pairs stage."""
    num_pairs: int
    """Pairs that were read."""
    left_out: list[dict[str, str]]
    """The "id" of every pair that was not used, and the "reason"."""
    sha256: str
    """Of the content that was read."""
    counts: dict[str, int] = {}
    """What is odd about pairs that were used -> how many they are."""
    unread_keys: dict[str, int] = {}
    """Key that nothing reads -> number of rows that have it."""


class RowRecord(_Record):
    """One trained model (or the base) of a run: which stages made it and what it cost."""

    name: str
    """The row's name, which all seeds of a method share."""
    seed: int
    """Training seed; 0 of a model that is not trained here."""
    state: str = PENDING
    """How far it is: "done", "pending", or "failed: " or "incomplete: " and the reason."""
    training: dict[str, Any] | None = None
    """What its training recorded of itself: parameters, steps, seconds, peak memory in bytes; None where none was."""
    certificate: dict[str, Any] | None = None
    """What the merged model was held to and what was found; None where nothing was merged."""
    scores: dict[str, str] = {}
    """Task name -> key of its scores stage."""
    completions: dict[str, str] = {}
    """Task name -> key of the answers that are scored, where the task has prompts."""
    policy: str | None = None
    """Key of the stage that trained it; None where nothing did, and in a record of schema 2."""
    merged: str | None = None
    """Key of the stage with its merged weights; None where nothing was merged, and in a record of schema 2."""


class RunRecord(_Record):
    """A run, finished or not. Records of schema 2 are read too: what newer ones have beside them gets its default."""

    request: RequestRecord
    """What was asked for."""
    base: str
    """Content key of the base model's folder."""
    data: DataRecord | None
    """The preference data; None where nothing is trained."""
    rows: list[RowRecord]
    """Every row, one entry a seed, in the order of the table."""
    canaries: dict[str, dict[str, Any]]
    """Task name -> what is known of its judge's biases, as the canaries stage recorded it."""
    complete: bool
    """Whether every row is done."""
    provenance: dict[str, Any]
    """Code, versions, hardware and time (UTC) of the command that made its last number, see runs.provenance."""

    @model_validator(mode="before")
    @classmethod
    def _with_the_limits_of_then(cls, fields: Any) -> Any:
        """Certificates once judged by weights: a limit that recipes lack now stands with what was held to it."""
        merge = _at(fields, "request", "suite", "merge")
        if not isinstance(merge, dict) or RETIRED_LIMIT not in merge:
            return fields
        fields = deepcopy(fields)
        limits = dict(merge)
        del fields["request"]["suite"]["merge"][RETIRED_LIMIT]
        for row in fields.get("rows", ()):
            if isinstance(row, dict) and isinstance(row.get("certificate"), dict):
                row["certificate"].setdefault("limits", limits)
        return fields

    @property
    def data_sha256(self) -> str | None:
        """The content of the preference data; None where nothing is trained."""
        return None if self.data is None else self.data.sha256


def _at(value: Any, *path: str) -> Any:
    """What stands at a path of nested mappings; None where nothing does."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def row_state(failed: Mapping[str, int], unread: Mapping[str, str]) -> str:
    """DONE, or what judges did not say of a row.

    failed: by task, how many items were not measured. unread: tasks on which no answer of the judge held a verdict,
    and the judge's key.
    """
    missing = [f"{number:,} of {task}" for task, number in failed.items() if number]
    if missing:
        return f"{INCOMPLETE}not scored: {', '.join(missing)}; the same command tries again"
    if unread:
        tasks = [f"{task} (its answers: cache/judge/{judge}/answers.jsonl)" for task, judge in unread.items()]
        return (
            f"{INCOMPLETE}the judge gave no verdict that can be read on {', '.join(tasks)}; take another with"
            " --judge, or correct its params"
        )
    return DONE
