"""Too little memory while a model is loaded is no fault of its folder: the error passes, and is exit 4 above."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers

from ropo_bench.errors import OutOfMemory
from ropo_bench.errors.failures import as_expected
from ropo_bench.judging.reward import RewardGrader
from ropo_bench.models.load import load_model


@pytest.mark.parametrize(
    ("auto", "load"),
    [
        ("AutoModelForCausalLM", lambda folder: load_model(folder, "float32")),
        ("AutoModelForSequenceClassification", RewardGrader),
    ],
)
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
def test_it_is_told_as_what_it_is(
    auto: str, load: Callable[[Path], Any], error: Exception, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(getattr(transformers, auto), "from_pretrained", fail)
    with pytest.raises(type(error)) as caught:
        load(base_folder)
    assert isinstance(as_expected(caught.value), OutOfMemory)
