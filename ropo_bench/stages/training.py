"""The stages of training, each as a content key and a way to make its folder; made once, shared by every run.

pairs -> reference -> policy -> merged. Keys need no torch: a repeated run only reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ropo_bench.making import training as making
from ropo_bench.preferences.marks import special_tokens
from ropo_bench.recipes.load import settings
from ropo_bench.recipes.method import OBJECT, MethodRecipe, TrainRecipe
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.runs.provenance import package_versions
from ropo_bench.sources.models import model_folder
from ropo_bench.sources.pairs import pinned_data
from ropo_bench.store import Stage, Store, content_key, source_hash
from ropo_bench.terminal.progress import Progress
from ropo_bench.training.team.launch import ALONE, Launch
from ropo_bench.weights.files import is_adapter

SHOWN_PAIRS = 5
SHOWN_KEYS = 12
ENGINES = ("torch", "transformers", "peft", "accelerate")


@dataclass(frozen=True, slots=True)
class Model:
    """A model to evaluate: the content key of its weights, its folder, and the offset of its decoding seed.

    The base has 0 and a model of training seed s has s + 1: no model shares random numbers with the baseline that
    it is compared with, whatever its seed, so that all seeds estimate the same thing.
    """

    key: str
    folder: Path
    seed: int = 0


def pairs_key(content: str, special: Sequence[str]) -> str:
    """The key of pairs: the data, and the special tokens that no text may hold; content: a file's hash, or a name."""
    code = source_hash("ropo_bench.preferences")
    return content_key("pairs", {"data": content, "code": code, "special_tokens": list(special)})


def pairs_notes(stage: Stage) -> list[str]:
    """What a user should know of freshly read pairs: what was left out, what is odd, what nobody reads."""
    left_out, counts, unread = (stage.manifest[key] for key in ("left_out", "counts", "unread_keys"))
    lines = [f"pair {pair['id']} left out: {pair['reason']}" for pair in left_out[:SHOWN_PAIRS]]
    if len(left_out) > SHOWN_PAIRS:
        lines.append(f"{len(left_out) - SHOWN_PAIRS} pairs more left out; all are in {stage.path}")
    total = stage.manifest["num_pairs"]
    lines += [f"pairs: {count:,} of {total:,} {what}" for what, count in counts.items()]
    if unread:
        shown = ", ".join(f"{key[:40]} ({count:,})" for key, count in list(unread.items())[:SHOWN_KEYS])
        more = f", and {len(unread) - SHOWN_KEYS} more" if len(unread) > SHOWN_KEYS else ""
        lines.append(f"pairs: keys that are not read, with their rows: {shown}{more}")
    return lines


class Stages:
    """Every stage of one base model and one preference data set, in a store."""

    def __init__(self, store: Store, suite: SuiteRecipe, progress: Progress, launch: Launch = ALONE) -> None:
        self.store, self.suite, self.progress, self.launch = store, suite, progress, launch
        self.versions = package_versions()
        self.engines = {name: self.versions.get(name) for name in ENGINES}

    # -- what everything starts from -------------------------------------------------------------------------

    @cached_property
    def base(self) -> Model:
        """The base model, which is the reference of the losses and the baseline of the win rates."""
        folder = model_folder(self.suite.base)
        return Model(self.store.folder_hash(folder), folder)

    def checkpoint(self, name: str) -> Model:
        """A model that was trained elsewhere: a folder or a hub id."""
        folder = model_folder(name)
        return Model(self.store.folder_hash(folder), folder, 1)

    @cached_property
    def pairs(self) -> Stage:
        """The preference data as pairs, with what was left out and why."""
        source = pinned_data(self.suite.data)
        content = self.store.file_hash(Path(source)) if Path(source).is_file() else source
        special = special_tokens(self.base.folder)
        stage = self.store.stage("pairs", pairs_key(content, special))
        with self.begin(stage, "pairs", "data") as todo:
            if todo:
                making.make_pairs(stage, source, special)
                for line in pairs_notes(stage):
                    self.progress.note(line)
        return stage

    def preflight(self, methods: Sequence[MethodRecipe]) -> dict[str, str]:
        """Why a method cannot be trained, by name; raises UsageError for what is wrong in a recipe or the data."""
        return making.preflight(self, methods)

    # -- training --------------------------------------------------------------------------------------------

    def reference(self, train: TrainRecipe) -> Stage:
        """Reference log-probabilities of all pairs: base, pairs, template and lengths fix them, no method does.

        In float32 the core's switches and sizes leave them as they are, to 1e-4 nats a sequence (a law of the tests),
        and all methods share one pass. In bfloat16 packed and padded rows differ by a tenth of a nat, as much as
        training changes in its first steps: there a reference holds for passes of the same switches and sizes only.
        """
        key = content_key(
            "reference",
            {
                "base": self.base.key,
                "pairs": self.pairs.key,
                "lengths": [train.max_length, train.max_prompt_length],
                "dtype": train.dtype,
                "passes": None if train.dtype == "float32" else _passes(train),
                "code": source_hash(*making.REFERENCE_CODE),
                "engines": self.engines,
            },
        )
        return self.store.stage("reference", key)

    def policy(self, method: MethodRecipe, seed: int) -> Stage:
        """The trained policy: an adapter folder, or a whole model for full fine-tuning."""
        key = content_key(
            "policy",
            {
                "reference": self.reference(method.train).key,
                "settings": settings(method),
                "seed": seed,
                "code": source_hash(*making.POLICY_CODE),
                "users_code": [users_code(method.adapter.name), users_code(method.loss.name)],
                "engines": self.engines,
            },
        )
        return self.store.stage("policy", key)

    def make_policy(self, method: MethodRecipe, seed: int) -> Stage:
        """Train one method with one seed, unless that was done; computes the reference first where needed."""
        stage = self.policy(method, seed)
        with self.begin(stage, "train", method.name) as todo:
            if todo:
                self.pairs.folder()  # what training reads from them, large as it may be, is as it was finished
                reference = self.reference(method.train)
                if reference.done:
                    reference.folder()
                making.make_policy(self, stage, method, seed)
        return stage

    def merged(self, method: MethodRecipe, seed: int) -> Stage:
        """The merged model and its certificate."""
        return self._merged_of(self.policy(method, seed).key)

    def make_merged(self, method: MethodRecipe, seed: int) -> Model:
        """Merge a trained policy and certify the result; raises CertificateFailed."""
        policy = self.policy(method, seed)
        return self._make_merged(policy.key, lambda: policy.folder("policy"), method.name, seed)

    def merged_checkpoint(self, adapter: Model) -> Stage:
        """The merge of an adapter that was trained elsewhere."""
        return self._merged_of(adapter.key)

    def make_checkpoint(self, name: str, label: str) -> tuple[Model, dict[str, Any] | None]:
        """A model trained elsewhere; an adapter folder is merged into the base first, and has a certificate."""
        model = self.checkpoint(name)
        if not is_adapter(model.folder):
            return model, None
        merged = self._make_merged(model.key, lambda: model.folder, label, 0)
        return merged, dict(self.merged_checkpoint(model).manifest["certificate"])

    def merged_model(self, stage: Stage, seed: int) -> Model:
        """The model in a finished merged stage, its weights not looked at: who loads them asks `make_merged`."""
        return Model(stage.key, stage.path / "model", seed + 1)

    def _merged_of(self, policy_key: str) -> Stage:
        limits = self.suite.merge.model_dump()
        code = source_hash(*making.MERGE_CODE)
        inputs: dict[str, Any] = {
            "policy": policy_key,
            "base": self.base.key,
            "pairs": self.pairs.key,
            "merge": limits,
            "code": code,
        }
        return self.store.stage("merged", content_key("merged", inputs))

    def _make_merged(self, policy_key: str, policy: Callable[[], Path], label: str, seed: int) -> Model:
        stage = self._merged_of(policy_key)
        with self.begin(stage, "merge", label) as todo:
            if todo:
                making.make_merged(self, stage, policy(), label)
        stage.folder("model")
        return self.merged_model(stage, seed)

    def begin(self, stage: Stage, what: str, label: str, redo: bool = False) -> Any:
        """Begin a stage, or tell that it was done before; redo: make it again, what is there stands until then."""
        if stage.done and not redo:
            self.progress.cached(what, label)
        return stage.begin(self.progress.note, redo)


def _passes(train: TrainRecipe) -> dict[str, Any]:
    """What a forward pass of the training looks like: below float32 its numbers depend on it."""
    sizes = {"pairs": train.micro_batch_size, "tokens": train.micro_batch_tokens}
    return {**train.core.model_dump(), **sizes}


def users_code(name: Any) -> str | None:
    """Hash of the module behind "module:object"; None for other values and for the project's own modules."""
    if not isinstance(name, str) or not OBJECT.fullmatch(name) or name.startswith(("ropo_bench.", "pocket:")):
        return None
    return source_hash(name.partition(":")[0])
