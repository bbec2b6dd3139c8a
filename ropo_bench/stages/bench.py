"""What all stages of one base model and one preference data set share: the store, the models, the judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ropo_bench.errors import CertificateFailed, MethodFailed, first_line
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.runs.provenance import package_versions
from ropo_bench.sources.models import model_folder
from ropo_bench.sources.prompts import read_prompts
from ropo_bench.stages.judges import JudgeRoom
from ropo_bench.store import Stage, Store
from ropo_bench.store.files import JSON
from ropo_bench.store.source import code_of
from ropo_bench.terminal.progress import Progress
from ropo_bench.training.team.launch import ALONE, Launch
from ropo_bench.types import Prompt

if TYPE_CHECKING:
    from ropo_bench.judging.ledger import Budget
    from ropo_bench.types.engines import Engine


@dataclass(frozen=True, slots=True)
class Model:
    """A model to evaluate: the content key of its weights, its folder, and the offset of its decoding seed.

    The base has 0 and a model of training seed s has s + 1: no model shares random numbers with the baseline that
    it is compared with, whatever its seed, so that all seeds estimate the same thing.
    """

    key: str
    folder: Path
    seed: int = 0


class Bench:
    """One base model and preference data set with everything that their stages need; making it touches no disk.

    judges: by the name of the task that they judge. At most one model is in memory at a time; `with` gives its
    memory back.
    """

    def __init__(
        self,
        store: Store,
        suite: SuiteRecipe,
        progress: Progress,
        launch: Launch = ALONE,
        judges: Mapping[str, JudgeRecipe] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.store, self.suite, self.progress, self.launch = store, suite, progress, launch
        self.judges = dict(judges or {})
        self.room = JudgeRoom(store, progress, budget)
        self.engine_error: float | None = None
        """Of the model in memory, where its certificate left tokens to ask for: see merging.engine."""
        self._engine: tuple[str, Engine] | None = None
        self._known: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.room.close()
        self.close_engine()

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

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """The result of some work, done at its first call on this bench."""
        if name not in self._known:
            self._known[name] = work()
        return self._known[name]

    def prompts(self, name: str) -> Sequence[Prompt]:
        """The prompts that a task names, read once."""
        prompts: Sequence[Prompt] = self.once(f"prompts {name}", lambda: read_prompts(name))
        return prompts

    # -- keys ------------------------------------------------------------------------------------------------

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """Installed versions of the packages that numbers may depend on."""
        return package_versions()

    def engines(self, *names: str) -> dict[str, str | None]:
        """The versions of packages as they stand in keys: major.minor; None for one that is not installed."""
        return {name: _minor(self.versions.get(name)) for name in names}

    def code(self, version: int, *modules: str) -> dict[str, JSON]:
        """What of the code stands in a stage's key, other stages left out: they enter by their keys."""
        return code_of(version, *modules, beside=__package__)

    def begin(self, stage: Stage, what: str, label: str, redo: bool = False) -> AbstractContextManager[bool]:
        """Begin a stage, or tell that it was done before; redo: make it again, what is there stands until then."""
        if stage.done and not redo:
            self.progress.cached(what, label)
        return stage.begin(self.progress.note, redo)

    # -- the model in memory ---------------------------------------------------------------------------------

    @cached_property
    def backend(self) -> str:
        """The backend that generates here: the suite's, where it says auto vLLM if it can serve the base."""
        from ropo_bench.generation import choose_backend

        return choose_backend(self.base.folder, self.suite.backend)

    def engine_versions(self) -> dict[str, Any]:
        """Of what generates here, for keys."""
        own = ("vllm",) if self.backend == "vllm" else ()
        return {"backend": self.backend, **self.engines("torch", "transformers", *own)}

    def engine(self, model: Model) -> Engine:
        """The model in memory, in place of whatever was there; raises CertificateFailed if it answers otherwise."""
        if self._engine is None or self._engine[0] != model.key:
            self.room.close()
            self._engine = model.key, self._swapped_engine(model) or self._new_engine(model)
        return self._engine[1]

    def _swapped_engine(self, model: Model) -> Engine | None:
        """The running engine with another model's weights; None, and no engine runs, where it did not take them."""
        from ropo_bench.merging.engine import check_engine, swap_engine

        if self._engine is None:
            return None
        engine = self._engine[1]
        self._engine = "", engine  # with half of the weights it is no model's
        try:
            if swap_engine(engine, model.folder):
                self.engine_error = check_engine(engine, model.folder, self.suite.merge.dtype)
                return engine
        except (CertificateFailed, MethodFailed) as error:
            self.progress.note(f"the running engine did not take the weights, another starts: {first_line(error)}")
        self.close_engine()
        return None

    def _new_engine(self, model: Model) -> Engine:
        from ropo_bench.generation import start
        from ropo_bench.merging.engine import check_engine

        engine = start(model.folder, self.backend, self.suite.merge.dtype, self.suite.vllm)
        try:
            self.engine_error = check_engine(engine, model.folder, self.suite.merge.dtype)
        except BaseException:
            engine.close()
            raise
        return engine

    def close_engine(self) -> None:
        """Give the memory of the loaded model back."""
        if self._engine is not None:
            self._engine[1].close()
            self._engine = None


def _minor(version: str | None) -> str | None:
    """2.11.1+cpu -> 2.11: what is after it mends faults and changes no numbers that tests would not see."""
    return None if version is None else ".".join(version.partition("+")[0].split(".")[:2])
